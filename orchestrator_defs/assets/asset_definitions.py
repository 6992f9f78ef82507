"""What the products of a location are in Dagster besides their workflows: assets, checks, and their counts."""

from dagster import Definitions

from ops.running.asset_reports import ProductAssets
from orchestrator_defs.assets.asset_names import asset_keys
from orchestrator_defs.assets.product_assets import product_assets
from orchestrator_defs.assets.product_checks import product_checks
from orchestrator_defs.assets.product_counts import product_counts
from resources.catalogue.catalogue import Catalogue
from resources.types import Target


def assets_of(catalogue: Catalogue) -> ProductAssets:
    """The keys of the products of a catalogue, and which of them are validated."""
    validations = {entry.name for entry in catalogue.workflows if entry.target is Target.VALIDATE}
    rows = catalogue.rows.products
    return ProductAssets(asset_keys(rows), {name for name, row in rows.items() if row.workflows & validations})


def asset_definitions(catalogue: Catalogue, assets: ProductAssets) -> Definitions:
    """The definitions of a location's assets; none without products."""
    if not assets.keys:
        return Definitions()
    job, schedule = product_counts(assets, catalogue.owner)
    return Definitions(
        assets=product_assets(catalogue, assets.keys),
        asset_checks=product_checks(assets),
        jobs=[job],
        schedules=[schedule],
    )
