"""How the subscriptions of products stand: counts, the worst differences, and the oldest comparison."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import insert, update
from sqlalchemy.orm import Session

from resources import clock
from resources.database.fleet_tables import ValidationHistoryTable, ValidationTable
from resources.database.session import StatementCount
from resources.database.tables import SubscriptionTable
from resources.validations.standing import NEVER, WORST, Standing, standing_of
from tests.test_resources.test_domain.domain import add_product
from tests.test_resources.test_validations.test_due import SUBSCRIBE

HOUR = timedelta(hours=1)


class Fleet:
    """A product `a`, whose subscriptions were validated so many hours ago."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.product_id = add_product("a")

    def add(self, result: str | None = None, hours: float = 1, **values: Any) -> UUID:
        made = {"product_id": self.product_id, "status": values.pop("status", "active"), "number": 1}
        subscription_id: UUID = self.session.scalars(SUBSCRIBE, made).one()
        at = clock.now() - hours * HOUR
        row = {"result": result, "finished_at": at} if result else {"due_at": at}
        self._set(ValidationTable, subscription_id, **row, **values)
        return subscription_id

    def header(self, subscription_id: UUID, **values: Any) -> None:
        self._set(SubscriptionTable, subscription_id, **values)

    def history(self, subscription_id: UUID, result: str, hours: float) -> None:
        row = {"subscription_id": subscription_id, "result": result, "finished_at": clock.now() - hours * HOUR}
        self.session.execute(insert(ValidationHistoryTable).values(row))

    def _set(self, table: Any, subscription_id: UUID, **values: Any) -> None:
        self.session.execute(update(table).where(table.subscription_id == subscription_id).values(values))

    def standing(self) -> Standing:
        return standing_of(["a"])["a"]

    def oldest(self) -> UUID | None:
        found = self.standing().oldest
        return found.subscription_id if found else None


@pytest.fixture
def fleet(session: Session) -> Fleet:
    return Fleet(session)


def difference(path: str, severity: str = "error") -> dict[str, str]:
    return {"system": "lab", "path": path, "severity": severity}


def test_subscriptions_are_counted_by_status_and_by_newest_result(fleet: Fleet) -> None:
    fleet.add("passed")
    fleet.add("drifted")
    fleet.add(status="provisioning")
    found = fleet.standing()
    assert found.by_status == {"active": 2, "provisioning": 1}
    assert found.by_result == {"passed": 1, "drifted": 1, NEVER: 1}


def test_errors_are_worse_than_warnings(fleet: Fleet) -> None:
    fleet.add("drifted", severity="warning", differences=[difference("c", "warning")], hours=3)
    fleet.add("drifted", severity="error", differences=[difference("b", "warning"), difference("a")])
    assert [one["path"] for one in fleet.standing().worst] == ["a", "c", "b"]


def test_the_worst_are_few(fleet: Fleet) -> None:
    for _ in range(3):
        fleet.add("drifted", severity="error", differences=[difference(str(number)) for number in range(30)])
    assert len(fleet.standing().worst) == WORST


def test_what_is_drifted_and_terminated_is_nobodys_concern(fleet: Fleet) -> None:
    fleet.add("drifted", differences=[difference("a")], due_at=None)
    assert fleet.standing().worst == []


@pytest.mark.parametrize("others", [("passed", "drifted"), ("drifted", "passed"), ("passed", None), (None, "passed")])
def test_the_oldest_comparison_counts(fleet: Fleet, others: tuple[str | None, str | None]) -> None:
    older, newer = others
    expected = fleet.add(older, hours=5)
    fleet.add(newer, hours=2)
    assert fleet.oldest() == expected


def test_no_answer_makes_a_comparison_no_younger(fleet: Fleet) -> None:
    unreachable = fleet.add("unreachable", hours=0.1)
    fleet.history(unreachable, "passed", hours=30)
    fleet.history(unreachable, "unreachable", hours=0.1)
    fleet.add("passed", hours=2)
    assert fleet.oldest() == unreachable


@pytest.mark.parametrize(
    "values", [{"status": "terminated"}, {"insync": False}, {"insync": False, "out_of_sync_by": "process"}]
)
def test_what_cannot_be_validated_now_is_left_out(fleet: Fleet, values: dict[str, Any]) -> None:
    fleet.header(fleet.add("passed", hours=99), **values)
    expected = fleet.add("passed")
    assert fleet.oldest() == expected


def test_what_a_validation_has_marked_counts(fleet: Fleet) -> None:
    marked = fleet.add("drifted", hours=99)
    fleet.header(marked, insync=False, out_of_sync_by="validation")
    assert fleet.oldest() == marked


def test_the_statements_are_as_many_for_any_number(fleet: Fleet, statements: StatementCount) -> None:
    for number in range(20):
        fleet.add("drifted", hours=number)
    add_product("b")
    statements.clear()
    standing_of(["a", "b", "no such product"])
    assert statements.count == 4
