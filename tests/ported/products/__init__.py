"""The products, by name."""

from orchestrator.core.domain import SUBSCRIPTION_MODEL_REGISTRY

from products.product_types.ring import Ring
from products.product_types.site import Site
from products.product_types.uplink import Uplink

# Every name is a row that a migration has made.
SUBSCRIPTION_MODEL_REGISTRY.update(
    {
        "Site": Site,
        "Uplink 1G": Uplink,
        "Uplink 10G": Uplink,
        "Ring": Ring,
    }
)
