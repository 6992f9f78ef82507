"""The system of customers."""

from products.product_blocks.site import SiteBlockProvisioning

KNOWN: dict[int, str] = {}


def register(site: SiteBlockProvisioning) -> int:
    """Tell it of a site; the id there."""
    number = len(KNOWN) + 1
    KNOWN[number] = site.site_code
    return number
