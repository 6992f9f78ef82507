"""Which subscriptions are due, and who may claim them: by an index, within budgets, nothing twice."""

import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import event, text
from sqlalchemy.orm import Session

from resources import clock
from resources.domain.models.registry import VALIDATED_WITHIN
from resources.settings import settings
from resources.types import SubscriptionLifecycle
from resources.validations import due
from resources.validations.due import Validated
from tests.scale import Scaled
from tests.test_resources.test_domain.domain import add_product

ACTIVE = frozenset({SubscriptionLifecycle.ACTIVE})
SUBSCRIBE = text("""
INSERT INTO subscriptions (subscription_id, product_id, customer_id, description, status, insync)
SELECT gen_random_uuid(), :product_id, 'customer', 'made up', :status, true FROM generate_series(1, :number)
RETURNING subscription_id
""")
MINUTE = timedelta(minutes=1)


class Fleet:
    """Products `a`, `b` and so on, with subscriptions that have been due for so many minutes."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.products: dict[str, Validated] = {}
        self.ids: dict[str, UUID] = {}
        self.holder = uuid4()

    def add(
        self, product: str, number: int = 1, minutes: float = 10, status: str = "active", **options: Any
    ) -> list[UUID]:
        if product not in self.ids:
            self.ids[product] = add_product(product)
            self.products[product] = Validated(product, ACTIVE, **options)
        values = {"product_id": self.ids[product], "status": status, "number": number}
        made = list(self.session.scalars(SUBSCRIBE, values))
        self.set(made, due_at=clock.now() - minutes * MINUTE)
        return made

    def set(self, made: list[UUID], table: str = "validations", **values: Any) -> None:
        columns = ", ".join(f"{name} = :{name}" for name in values)
        query = text(f"UPDATE {table} SET {columns} WHERE subscription_id = ANY(:made)")
        self.session.execute(query, {"made": made, **values})

    def row(self, subscription_id: UUID) -> Any:
        query = text("SELECT due_at, claimed_by FROM validations WHERE subscription_id = :id")
        return self.session.execute(query, {"id": subscription_id}).one()

    def claim(self, limit: int = 100, **options: Any) -> list[UUID]:
        taken, self.passed_over = due.claim(self.products, self.holder, limit=limit, **options)
        return sorted(one.subscription_id for one in taken)  # the database answers them in any order

    def backlog(self) -> dict[str, due.Backlog]:
        return {one.product: one for one in due.backlog(self.products.values())}


@pytest.fixture
def fleet(session: Session) -> Fleet:
    return Fleet(session)


@pytest.fixture
def budgets(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    monkeypatch.setenv("VALIDATIONS_PER_SYSTEM", '{"netbox": 3}')
    settings.cache_clear()
    yield monkeypatch
    monkeypatch.undo()
    settings.cache_clear()


# --- the backlog ---


def test_it_says_how_many_are_due_since_when_and_when_more_are(fleet: Fleet) -> None:
    fleet.add("a", 3, minutes=5)
    fleet.add("a", 1, minutes=-7)
    fleet.add("b", 1, minutes=-9)
    found = fleet.backlog()
    assert (found["a"].due, found["b"].due, found["b"].oldest) == (3, 0, None)
    assert abs((clock.now() - (found["a"].oldest or clock.now())) - 5 * MINUTE) < MINUTE / 6
    assert abs(((found["a"].next_at or clock.now()) - clock.now()) - 7 * MINUTE) < MINUTE / 6


def test_it_counts_no_further_than_anybody_reads(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(due, "MOST_COUNTED", 4)
    fleet.add("a", 6)
    assert fleet.backlog()["a"].due == 4


def test_a_product_without_a_validation_stands_in_nobodys_way(fleet: Fleet) -> None:
    fleet.add("never validated", 50, minutes=600)
    del fleet.products["never validated"]
    wanted = fleet.add("a")
    assert fleet.claim(limit=1) == wanted


# --- the claim ---


def test_those_that_wait_longest_are_claimed_first(fleet: Fleet) -> None:
    fleet.add("a", 5, minutes=10)
    oldest = [*fleet.add("b", minutes=30), *fleet.add("b", minutes=20)]
    assert fleet.claim(limit=2) == sorted(oldest)


def test_what_is_claimed_is_claimed_by_nobody_else_until_its_lease_ends(fleet: Fleet) -> None:
    made = fleet.add("a", 3)
    assert fleet.claim() == sorted(made)
    assert fleet.claim() == []
    with clock.moved(due.LEASE + MINUTE):
        assert fleet.claim() == sorted(made)


def test_a_lease_is_renewed_and_given_up(fleet: Fleet) -> None:
    made = fleet.add("a")
    fleet.claim()
    with clock.moved(due.LEASE - MINUTE):
        due.renew(fleet.holder)
    with clock.moved(due.LEASE + MINUTE):
        assert fleet.claim() == []
        due.release(fleet.holder, clock.now())
        assert fleet.claim() == sorted(made)


def test_what_a_process_holds_is_left_alone_and_looked_at_again_later(fleet: Fleet) -> None:
    made = fleet.add("a")
    fleet.session.execute(text("ALTER TABLE subscriptions DROP CONSTRAINT fk_subscriptions_locked_by"))
    fleet.set(made, "subscriptions", locked_by=uuid4())
    assert (fleet.claim(), fleet.passed_over) == ([], 1)
    assert clock.now() < fleet.row(made[0]).due_at < clock.now() + 6 * MINUTE


@pytest.mark.parametrize(("by", "is_taken"), [("validation", True), (None, False)])
def test_only_a_validations_own_mark_is_looked_at_again(fleet: Fleet, by: str | None, is_taken: bool) -> None:
    made = fleet.add("a")
    fleet.set(made, "subscriptions", insync=False, out_of_sync_by=by)
    assert bool(fleet.claim()) is is_taken


def test_a_setting_has_all_that_is_out_of_sync_validated(fleet: Fleet, budgets: pytest.MonkeyPatch) -> None:
    made = fleet.add("a")
    fleet.set(made, "subscriptions", insync=False)
    budgets.setenv("VALIDATE_OUT_OF_SYNC_SUBSCRIPTIONS", "true")
    settings.cache_clear()
    assert fleet.claim() == sorted(made)


def test_what_cannot_be_validated_in_its_status_rests_until_that_changes(fleet: Fleet) -> None:
    made = fleet.add("a", status="provisioning")
    assert (fleet.claim(), fleet.row(made[0]).due_at) == ([], None)
    fleet.set(made, "subscriptions", status="active")
    assert fleet.claim(before=clock.now() + MINUTE) == sorted(made)


def test_what_was_claimed_for_a_process_of_its_own_is_no_batchs(fleet: Fleet) -> None:
    made = fleet.add("a", 3, is_single=True)
    assert len(fleet.claim(singles=2)) == 2
    rows = [fleet.row(one) for one in made]
    assert sorted(row.due_at > clock.now() for row in rows) == [False, True, True]
    assert {row.claimed_by for row in rows} == {None}


# --- budgets ---


def test_a_system_is_asked_for_no_more_at_a_time_than_its_budget(fleet: Fleet, budgets: object) -> None:
    fleet.add("a", 2, minutes=20, systems=frozenset({"netbox"}))
    fleet.add("b", 5, systems=frozenset({"netbox", "playbooks"}))
    fleet.add("c", 5, minutes=5, systems=frozenset({"playbooks"}))
    assert len(fleet.claim()) == 3 + 5
    assert fleet.claim() == []


def test_a_full_system_keeps_nobody_waiting_who_does_not_need_it(fleet: Fleet, budgets: object) -> None:
    fleet.add("a", 9, minutes=60, systems=frozenset({"netbox"}))
    fleet.claim()
    others = fleet.add("b", 2, systems=frozenset({"playbooks"}))
    assert fleet.claim() == sorted(others)


# --- the pace ---


def test_a_shorter_age_brings_forward_what_is_due_too_late(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    """And nothing else; a claim keeps its lease."""
    late, soon = fleet.add("a", minutes=-23 * 60), fleet.add("a", minutes=-20)
    fleet.set(late, finished_at=clock.now() - 30 * MINUTE)
    assert not fleet.backlog()["a"].has_shorter_age
    monkeypatch.setitem(VALIDATED_WITHIN, "a", timedelta(hours=1))
    before = fleet.row(soon[0])
    due.follow_shorter_ages(fleet.backlog().values())
    assert timedelta() < fleet.row(late[0]).due_at - clock.now() < 30 * MINUTE
    assert fleet.row(soon[0]) == before
    assert not fleet.backlog()["a"].has_shorter_age


def test_all_can_be_made_due_in_pages(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(due, "CHUNK", 2)
    fleet.add("a", 3, minutes=-600)
    fleet.add("b", 4, minutes=-600)
    resting = fleet.add("a", status="terminated")
    products, now, after = [fleet.products["a"]], clock.now(), UUID(int=0)
    made = []
    while after is not None:
        number, after = due.make_all_due(products, now, after)
        made.append(number)
    assert sum(made) == 3 and len(made) > 3
    assert {name: one.due for name, one in fleet.backlog().items()} == {"a": 3 + 1, "b": 0}
    assert fleet.row(resting[0]).due_at < now


# --- at scale ---


def plan_of(session: Session, statement: str, work: Any, options: str = "") -> Any:
    """How PostgreSQL executes the statement that `work` sends: lines of text, or a tree of JSON."""
    sent: list[Any] = []

    def note(*arguments: Any) -> None:
        if statement in arguments[2]:
            sent.append(arguments[2:4])

    connection = session.connection()
    event.listen(connection, "before_cursor_execute", note)
    work()
    event.remove(connection, "before_cursor_execute", note)
    ((query, values),) = sent
    found = connection.exec_driver_sql(f"EXPLAIN {options} {query}", values).scalars().all()
    return found[0][0]["Plan"] if "JSON" in options else "\n".join(found)


def rows_read(node: Any) -> Iterator[tuple[str, int]]:
    """What each part of a plan has read: a table or a sort, and how many rows, those that it dropped too."""
    rows = node["Actual Rows"] + node.get("Rows Removed by Filter", 0) + node.get("Rows Removed by Index Recheck", 0)
    yield f"{node['Node Type']} {node.get('Relation Name', '')}", int(rows * node["Actual Loops"])
    for part in node.get("Plans", ()):
        yield from rows_read(part)


@pytest.mark.parametrize("statement", ["count(*) AS number, min(one.due_at)", "SKIP LOCKED"])
def test_an_index_finds_what_is_due_among_many(fleet: Fleet, statement: str) -> None:
    """Among some thousand rows, of which few are due: no table of subscriptions or validations is read whole."""
    fleet.add("a", 4_000, minutes=-600)
    fleet.add("a", 40)
    fleet.session.execute(text("ANALYZE validations"))
    fleet.session.execute(text("ANALYZE subscriptions"))
    plan = plan_of(fleet.session, statement, lambda: fleet.claim(limit=5))  # so few that a small table pays no scan
    assert "ix_validations_due" in plan
    assert re.findall(r"Seq Scan on (validations|subscriptions)", plan) == []


def test_the_statements_are_as_many_for_any_number(fleet: Fleet, statements: Any) -> None:
    counts: list[int] = []
    for number in (1, 300):
        fleet.add("a", number)
        statements.clear()
        fleet.claim(limit=number)
        counts.append(statements.count)
    assert counts == [3, 3]


@pytest.mark.scale
def test_no_statement_reads_or_sorts_more_when_very_many_are_due(fleet: Fleet, scaled: Scaled) -> None:
    """Each reads as far as it counts, claims, or makes due at a time, in the order of an index."""
    for product in "abc":
        fleet.add(product, scaled(100_000) // 3)
    for table in ("validations", "subscriptions"):
        fleet.session.execute(text(f"ANALYZE {table}"))

    def work() -> None:
        fleet.claim(limit=96)
        due.make_all_due(fleet.products.values(), clock.now(), UUID(int=0))

    most = 3 * due.CHUNK
    for statement in ("count(*) AS number, min(one.due_at)", "SKIP LOCKED", "FROM page"):
        plan = plan_of(fleet.session, statement, work, "(ANALYZE, TIMING off, FORMAT JSON)")
        assert [(part, rows) for part, rows in rows_read(plan) if rows > most] == [], statement
