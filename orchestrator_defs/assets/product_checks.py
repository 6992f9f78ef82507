"""The checks of products, which ask the database how it stands and no external system: to execute them is harmless."""

from collections.abc import Iterator

from dagster import (
    AssetCheckExecutionContext,
    AssetCheckResult,
    AssetChecksDefinition,
    AssetCheckSpec,
    multi_asset_check,
)

from ops.running.asset_reports import ProductAssets, verdicts
from resources.validations.standing import DRIFT, IN_TIME, standing_of

DESCRIPTIONS = {
    DRIFT: "The newest validation of each subscription found the network as it should be.",
    IN_TIME: "No active subscription's last validation is older than the product's maximum age.",
}


def product_checks(assets: ProductAssets) -> list[AssetChecksDefinition]:
    """The checks `drift` and `validated_in_time` of each product that has a validate workflow."""
    specs = [
        AssetCheckSpec(name, asset=assets.keys[product], description=description)
        for product in assets.keys
        if product in assets.checked
        for name, description in DESCRIPTIONS.items()
    ]
    if not specs:
        return []

    @multi_asset_check(
        name="product_checks",
        description="How the subscriptions of each product stand, by the results in the database.",
        specs=specs,
        can_subset=True,
        required_resource_keys={"database"},
    )
    def evaluate(context: AssetCheckExecutionContext) -> Iterator[AssetCheckResult]:
        asked = context.selected_asset_check_keys
        products = [name for name, key in assets.keys.items() if any(one.asset_key == key for one in asked)]
        with context.resources.database.transaction(read_only=True):
            standing = standing_of(products)
        for found in verdicts(assets, standing):
            if found.asset_check_key in asked:
                yield AssetCheckResult(
                    asset_key=found.asset_key,
                    check_name=found.check_name,
                    passed=found.passed,
                    severity=found.severity,
                    description=found.description,
                    metadata=found.metadata,
                )

    return [evaluate]
