"""Matches the products of orchestrator-core with ours, by name, else by tag."""

from collections.abc import Iterable, Mapping
from dataclasses import fields
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from resources.core_import.findings import Outcome, Report
from resources.core_import.source import Row
from resources.database.session import current_session
from resources.database.tables import ProductTable
from resources.domain.models.registry import SUBSCRIPTION_MODEL_REGISTRY
from resources.domain.saving.records import ProductRecord


def match_products(theirs: Iterable[Row], report: Report) -> dict[UUID, ProductRecord]:
    """Our products by the ids that they have there; tells of those with subscriptions that have none."""
    ours = _ours()
    found: dict[UUID, ProductRecord] = {}
    for row in theirs:
        match = _match(row, ours)
        if isinstance(match, str):
            if number := row["subscriptions"]:
                left = f"{number:,} subscription{'s' * (number != 1)} left out"
                report.tell("product", row["name"], Outcome.LEFT_OUT, f"{match}; {left}.")
        else:
            found[row["product_id"]] = match
    return found


def _ours() -> list[ProductRecord]:
    columns = (getattr(ProductTable, field.name) for field in fields(ProductRecord))
    rows = current_session().execute(sa.select(*columns))
    return [one for row in rows if (one := ProductRecord(*row)).name in SUBSCRIPTION_MODEL_REGISTRY]


def _match(row: Row, ours: list[ProductRecord]) -> ProductRecord | str:
    named = [one for one in ours if one.name == row["name"]]
    tagged = [one for one in ours if one.tag == row["tag"] and not _difference(row["fixed_inputs"], one.fixed_inputs)]
    match named or tagged:
        case []:
            return f"The code declares no product of this name, nor one with tag {row['tag']} and these fixed inputs"
        case [one]:
            differs = _difference(row["fixed_inputs"], one.fixed_inputs)
            return f"{differs} (product '{one.name}')" if differs else one
        case several:
            return f"Several products of the code have tag {row['tag']}: {', '.join(one.name for one in several)}"


def _difference(theirs: Mapping[str, str], ours: Mapping[str, Any]) -> str:
    """Which fixed inputs differ, in words; those that only one side has do not count."""
    differing = [
        f"fixed input {name} is '{text}' there and '{ours[name]}' here"
        for name, text in theirs.items()
        if name in ours and str(ours[name]).casefold() != text.casefold()
    ]
    return ", ".join(differing)
