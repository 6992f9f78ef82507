"""An import that runs again: after it was killed, after a change there, after a change here."""

from typing import Any

import psycopg
import pytest

from orchestrator_defs.testing import Testbed
from resources.core_import import importing
from resources.core_import.findings import Outcome, Report
from resources.core_import.importing import CoreImport, Options
from resources.core_import.source import CoreDatabase
from resources.domain.subscription_model import SubscriptionModel
from resources.errors import DatabaseUnreachable, SettingsError
from resources.subscriptions.lists import count_subscriptions
from tests.test_resources.test_core_import.conftest import Import
from tests.test_resources.test_core_import.test_equality import assert_equal

SOME_NODE = (
    "SELECT s.subscription_id FROM subscriptions s JOIN products p USING (product_id) WHERE p.name = 'Node Nokia'"
)


def some_node(core: psycopg.Connection) -> Any:
    row = core.execute((SOME_NODE + " ORDER BY 1 LIMIT 1").encode()).fetchone()
    assert row is not None
    return row[0]


def snapshot(bed: Testbed) -> list[Any]:
    """All rows that an import writes."""
    tables = ("subscriptions", "subscription_versions", "subscription_instances", "processes", "process_steps")
    with bed.database.transaction(read_only=True) as session:
        connection = session.connection()
        return [connection.exec_driver_sql(f"SELECT t::text FROM {table} t ORDER BY 1").all() for table in tables]


def of(report: Report, key: object) -> list[tuple[str, str]]:
    return [(one.outcome.value, one.reason) for one in report.findings if one.id == str(key)]


def test_a_dry_run_says_the_same_and_writes_nothing(bed: Testbed, imported: Import) -> None:
    before = snapshot(bed)
    dry = imported(is_dry=True)
    assert snapshot(bed) == before
    assert dry.as_json() == imported().as_json()


def test_a_second_run_changes_nothing(bed: Testbed, imported: Import) -> None:
    first = imported()
    before = snapshot(bed)
    second = imported()
    assert snapshot(bed) == before
    assert second.counts["subscription"]["unchanged"] == first.counts["subscription"]["imported"]
    assert second.counts["process"]["unchanged"] == first.counts["process"].total()


def test_a_killed_run_is_continued(
    bed: Testbed, imported: Import, core: psycopg.Connection, core_uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is committed stays, a batch is there or is not, and the next run brings the rest."""
    monkeypatch.setattr(importing, "SUBSCRIPTIONS", 5)
    batches = 0

    def done(_kind: str, _number: int) -> None:
        nonlocal batches
        batches += 1
        if batches == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), CoreDatabase.opened(core_uri) as source:
        CoreImport(source, bed.database, Options("tester"), Report(), done).run()
    with bed.database.transaction(read_only=True):
        there = count_subscriptions()
    assert there >= 10
    report = imported()
    assert report.counts["subscription"]["unchanged"] == there
    assert_equal(bed, core, report)


@pytest.fixture
def changed_there(imported: Import, core: psycopg.Connection) -> Any:
    """A node that was imported, then changed there."""
    imported()
    key = some_node(core)
    core.execute("UPDATE subscriptions SET note = 'moved' WHERE subscription_id = %s", (key,))
    return key


def test_a_change_there_is_reported_and_not_taken_over(bed: Testbed, imported: Import, changed_there: Any) -> None:
    before = snapshot(bed)
    [(outcome, reason)] = of(imported(), changed_there)
    assert outcome == "differs"
    assert "changed there" in reason and "note is 'moved' there" in reason and "--update" in reason
    assert snapshot(bed) == before


def test_a_change_there_is_taken_over_if_asked(
    bed: Testbed, imported: Import, core: psycopg.Connection, changed_there: Any
) -> None:
    """As the next version; nothing differs then."""
    report = imported(updates=True)
    assert of(report, changed_there)[0][0] == "updated"
    with bed.database.transaction(read_only=True):
        assert SubscriptionModel.from_subscription(changed_there).version == 2
    again = imported()
    assert of(again, changed_there) == []
    assert_equal(bed, core, again)


def test_a_change_here_is_not_overwritten(bed: Testbed, imported: Import, changed_there: Any) -> None:
    """Nor with --update; only --overwrite does."""
    with bed.database.transaction():
        subscription = SubscriptionModel.from_subscription(changed_there)
        subscription.description = "ours"
        subscription.save()
    [(outcome, reason)] = of(imported(updates=True), changed_there)
    assert outcome == "differs" and "changed here" in reason and "--overwrite" in reason
    assert of(imported(overwrites=True), changed_there)[0][0] == "updated"
    with bed.database.transaction(read_only=True):
        assert SubscriptionModel.from_subscription(changed_there).note == "moved"


def test_what_came_there_since_comes_with_the_next_run(
    bed: Testbed, imported: Import, core: psycopg.Connection
) -> None:
    imported()
    core.execute(
        b"INSERT INTO subscriptions (subscription_id, description, status, product_id, customer_id, insync)"
        b" SELECT gen_random_uuid(), 'new', 'initial', product_id, 'x', false FROM products WHERE name = 'Port 1G'"
    )
    left_out = imported().counts["subscription"]
    assert left_out["imported"] + left_out["left out"] >= 1


def test_an_unfinished_process_is_ended_and_followed_if_asked(
    bed: Testbed, imported: Import, core: psycopg.Connection
) -> None:
    """It is aborted here, with a sentence; when it has completed there, --update takes that over."""
    first = imported()
    row = core.execute(b"SELECT pid FROM processes WHERE last_status = 'suspended'").fetchone()
    assert row is not None
    [(outcome, reason)] = of(first, row[0])
    assert outcome == "ended" and reason.startswith("Its status was suspended at step")
    core.execute("UPDATE processes SET last_status = 'completed', last_modified_at = now() WHERE pid = %s", row)
    assert of(imported(), row[0])[0][0] == "differs"
    assert of(imported(updates=True), row[0])[0][0] == "updated"
    assert of(imported(), row[0]) == []


def test_what_does_not_fit_is_named(imported: Import) -> None:
    """A product that the code lacks, with its subscription; a value; a block that nothing holds."""
    reasons = {one.reason for one in imported().findings if one.outcome in (Outcome.LEFT_OUT, Outcome.PART_LEFT_OUT)}
    assert any("no product of this name" in reason and "1 subscription left out" in reason for reason in reasons)
    assert any("NodeBlock.loopback" in reason and "'10.0.0.256'" in reason for reason in reasons)
    assert any("block End" in reason and "nothing holds it" in reason for reason in reasons)


def test_users_of_a_block_that_is_left_out_are_left_out(imported: Import, core: psycopg.Connection) -> None:
    """The port on a node whose value does not fit, and the VPN on that port."""
    core.execute(
        b"UPDATE subscription_instance_values SET value = 'many' WHERE resource_type_id ="
        b" (SELECT resource_type_id FROM resource_types WHERE resource_type = 'ims_id')"
    )
    report = imported()
    assert report.counts["subscription"]["imported"] == 0
    assert any("which is left out" in one.reason or "ims_id" in one.reason for one in report.findings)


def test_a_row_that_the_database_refuses_keeps_only_itself_out(imported: Import, core: psycopg.Connection) -> None:
    """A customer's description may be longer there if its limits were lifted."""
    core.execute(b"ALTER TABLE subscription_customer_descriptions ALTER description TYPE text")
    core.execute(
        b"UPDATE subscription_customer_descriptions SET description = repeat('x', 2001) WHERE id ="
        b" (SELECT min(id::text)::uuid FROM subscription_customer_descriptions)"
    )
    counts = imported().counts["subscription"]
    assert counts["imported"] > 20
    assert counts["left out"] >= 3


def test_another_fixed_input_leaves_the_product_out(imported: Import, core: psycopg.Connection) -> None:
    core.execute(b"UPDATE fixed_inputs SET value = '100' WHERE name = 'speed' AND value = '10000'")
    [(outcome, reason)] = of(imported(), "Port 10G")
    assert outcome == "left out"
    assert reason.startswith("fixed input speed is '100' there and '10000' here")


def test_another_database_is_refused(bed: Testbed) -> None:
    with pytest.raises(SettingsError, match="is not of orchestrator-core 5"), CoreDatabase.opened(bed.database.uri):
        pass


def test_what_the_source_refuses_is_one_sentence(imported: Import, core: psycopg.Connection) -> None:
    """As it does for a role that may not read a table."""
    core.execute(b"ALTER TABLE subscriptions RENAME note TO remark")
    with pytest.raises(DatabaseUnreachable, match=r'^Reading database .* failed: column "note" does not exist$'):
        imported()
