"""Reports to Dagster how products stand, where a process ends: what it has changed, and the verdict of the checks.

A change is a materialization, so that assets and sensors of an organisation's own can follow it. Dagster hides the
result of a check when another run materializes its asset, so the same run evaluates the checks again behind it. All of
it is reported after the commit: a run that is killed in between reports nothing, and the counts are right.
"""

import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, Protocol, TypeAlias, runtime_checkable

from dagster import (
    AssetCheckEvaluation,
    AssetCheckSeverity,
    AssetKey,
    AssetMaterialization,
    AssetObservation,
    MetadataValue,
)

from ops.running.report import difference_table, table
from ops.running.segment import Segment
from resources import clock
from resources.errors import RunMayNotAct
from resources.settings import public_url, settings
from resources.subscriptions.history import ProcessChange, changes_by
from resources.types import State, Target
from resources.validations.pace import maximum_age
from resources.validations.standing import DRIFT, IN_TIME, NEVER, Standing, products_validated_by, standing_of

log = logging.getLogger(__name__)

VALIDATED = "validated"
"""The key under which the state of a batch has how many subscriptions it has validated, by result."""
MOST_CHANGES = 10
"""Of how many subscriptions to a product one event shows the changes."""
WORST_COLUMNS = ("subscription", "system", "path", "expected", "found", "severity", "id")
RESULTS = ("passed", "drifted", "unreachable", "failed", NEVER)

Metadata: TypeAlias = dict[str, Any]
Report: TypeAlias = AssetMaterialization | AssetObservation | AssetCheckEvaluation


@dataclass(frozen=True, slots=True)
class ProductAssets:
    """The assets of a location's products, by the product's name; `checked`: those that have a validate workflow."""

    keys: Mapping[str, AssetKey] = field(default_factory=dict)
    checked: Collection[str] = ()


@runtime_checkable
class HasProductAssets(Protocol):
    """The resource `database` of a code location whose products are assets."""

    product_assets: ProductAssets


def reports_of(segment: Segment, state: State) -> list[Report]:
    """What to report when a process has ended. Raises nothing."""
    location: object = segment.op.job_def.resource_defs.get("database")
    if not (isinstance(location, HasProductAssets) and location.product_assets.keys and settings().report_assets):
        return []
    try:
        with segment.database.transaction(read_only=True):
            return _reports(segment, state, location.product_assets)
    except Exception:
        log.exception("Process %s is not reported on its products; the counts are right.", segment.process_id)
        return []


def reports_of_failure(segment: Segment, state: State, failure: BaseException) -> list[Report]:
    """What to report when a process has failed: the verdict, if it is a validation, for that is how one finds drift."""
    is_result = segment.workflow.target is Target.VALIDATE and not isinstance(failure.__cause__, RunMayNotAct)
    return reports_of(segment, state) if is_result else []


def _reports(segment: Segment, state: State, assets: ProductAssets) -> list[Report]:
    validated = _validated(segment, state)
    is_validation = segment.workflow.target is Target.VALIDATE
    changed = [] if is_validation else changes_by(segment.process_id, most=MOST_CHANGES)
    changed = [change for change in changed if change.product in assets.keys]
    products = assets.keys.keys() & {*validated, *(change.product for change in changed)}
    if not products:
        return []
    standing = standing_of(products)
    return [
        *(
            AssetMaterialization(
                assets.keys[name],
                description=segment.workflow.description,
                metadata={**_about_process(segment, changes := [*found]), **_about(changes), **numbers(standing[name])},
            )
            for name, found in groupby(changed, lambda change: change.product)
        ),
        *verdicts(assets, standing),
    ]


def _validated(segment: Segment, state: State) -> Collection[str]:
    """The products of the subscriptions that a process has validated."""
    if segment.workflow.target is Target.VALIDATE:
        return {state["product_name"]} if "product_name" in state else ()
    counts = state.get(VALIDATED)
    return products_validated_by(segment.process_id) if isinstance(counts, dict) and any(counts.values()) else ()


def observations(assets: ProductAssets, standing: Mapping[str, Standing]) -> Iterator[AssetObservation]:
    """The counts of each product, as numbers that Dagster plots."""
    for name, found in standing.items():
        yield AssetObservation(assets.keys[name], metadata=numbers(found))


def verdicts(assets: ProductAssets, standing: Mapping[str, Standing]) -> Iterator[AssetCheckEvaluation]:
    """The present result of both checks of each product that has checks."""
    for name, found in standing.items():
        if name in assets.checked:
            yield drift(assets.keys[name], found)
            yield in_time(assets.keys[name], found, name)


def drift(key: AssetKey, found: Standing) -> AssetCheckEvaluation:
    """Whether the newest validation of every subscription found it as it should be; the worst differences."""
    drifted = found.number("drifted")
    is_error = any(one.get("severity") != "warning" for one in found.worst)
    metadata: Metadata = {result: found.number(result) for result in RESULTS}
    if found.worst:
        rows = [[one.get(column) for column in WORST_COLUMNS] for one in found.worst]
        metadata["worst differences"] = table(WORST_COLUMNS, rows)
    return AssetCheckEvaluation(
        asset_key=key,
        check_name=DRIFT,
        passed=not drifted,
        severity=AssetCheckSeverity.ERROR if is_error or not found.worst else AssetCheckSeverity.WARN,
        description=f"{drifted:,} of {sum(found.by_result.values()):,} {'differs' if drifted == 1 else 'differ'}"
        " from what the subscription says.",
        metadata=metadata,
    )


def in_time(key: AssetKey, found: Standing, product: str) -> AssetCheckEvaluation:
    """Whether no active subscription's last validation is older than the product's maximum age."""
    longest, oldest = maximum_age(product), found.oldest
    hours = (clock.now() - oldest.at).total_seconds() / 3600 if oldest else 0.0
    longest_hours = longest.total_seconds() / 3600
    metadata: Metadata = {"oldest age (h)": round(hours, 3), "maximum age (h)": round(longest_hours, 3)}
    if oldest is not None:
        metadata |= {"oldest": oldest.description or str(oldest.subscription_id), "id": str(oldest.subscription_id)}
    return AssetCheckEvaluation(
        asset_key=key,
        check_name=IN_TIME,
        passed=hours <= longest_hours,
        severity=AssetCheckSeverity.WARN,
        description=f"The oldest validation is {hours:,.2f} hours old; {longest_hours:,.2f} are allowed.",
        metadata=metadata,
    )


def numbers(found: Standing) -> Metadata:
    """Counts by status and by newest result."""
    return {**found.by_status, **{result: found.number(result) for result in RESULTS}}


def _about_process(segment: Segment, changes: Sequence[ProcessChange]) -> Metadata:
    return {
        "workflow": segment.workflow.name,
        "process": MetadataValue.url(public_url(f"/api/processes/{segment.process_id}")),
        "person": changes[0].created_by or str(segment.user),
    }


def _about(changes: Sequence[ProcessChange]) -> Metadata:
    """What was changed: of one subscription each value, of several which."""
    if len(changes) == 1:
        (one,) = changes
        return {
            "subscription": one.description or str(one.subscription_id),
            "subscription id": str(one.subscription_id),
            "version": one.version,
            "difference": difference_table(one.difference),
        }
    rows = [[one.description, one.version, len(one.difference), one.subscription_id] for one in changes]
    return {
        "subscriptions": changes[0].number,
        "changed": table(("subscription", "version", "values changed", "id"), rows),
    }
