"""What was imported is equal, value for value, to what orchestrator-core has."""

import os
import resource
import sys
import time
from uuid import UUID

import psycopg
import pytest

from orchestrator_defs.testing import Testbed
from resources.core_import.findings import Outcome, Report
from resources.subscriptions.lists import count_subscriptions, list_subscriptions
from resources.subscriptions.search import search_condition
from tests.scale import Scaled
from tests.test_resources.test_core_import.comparison import (
    description_differences,
    process_differences,
    subscription_differences,
)
from tests.test_resources.test_core_import.conftest import Import, run_import

OF_ITS_OWN = os.environ.get("ORCHESTRATOR_CORE_URI")
"""A database that `core_project/make_database.py` has made, in place of the dump of one."""
UNFINISHED = b"SELECT pid FROM processes WHERE last_status NOT IN ('completed', 'aborted')"
MULTIPLY = """
CREATE FUNCTION other(id uuid, number int) RETURNS uuid LANGUAGE sql IMMUTABLE
AS 'SELECT md5(id::text || number)::uuid';
INSERT INTO subscriptions (subscription_id, description, status, product_id, customer_id, insync, start_date, note)
SELECT other(subscription_id, n), description, status, product_id, customer_id, insync, start_date, note
FROM subscriptions, generate_series(1, {0}) n;
INSERT INTO subscription_instances (subscription_instance_id, subscription_id, product_block_id, label)
SELECT other(subscription_instance_id, n), other(subscription_id, n), product_block_id, label
FROM subscription_instances, generate_series(1, {0}) n;
INSERT INTO subscription_instance_values (subscription_instance_id, resource_type_id, value)
SELECT other(subscription_instance_id, n), resource_type_id, value
FROM subscription_instance_values, generate_series(1, {0}) n;
INSERT INTO subscription_instance_relations (in_use_by_id, depends_on_id, order_id, domain_model_attr)
SELECT other(in_use_by_id, n), other(depends_on_id, n), order_id, domain_model_attr
FROM subscription_instance_relations, generate_series(1, {0}) n;
INSERT INTO processes (pid, assignee, last_status, last_step, started_at, last_modified_at, is_task, workflow_id)
SELECT other(pid, n), assignee, last_status, last_step, started_at, last_modified_at, is_task, workflow_id
FROM processes, generate_series(1, {0}) n;
INSERT INTO process_steps (pid, name, status, state, created_by, completed_at, started_at)
SELECT other(pid, n), name, status, state, created_by, completed_at, started_at
FROM process_steps, generate_series(1, {0}) n;
INSERT INTO processes_subscriptions (pid, subscription_id, created_at)
SELECT other(pid, n), other(subscription_id, n), created_at FROM processes_subscriptions, generate_series(1, {0}) n;
ANALYZE
"""
"""So many copies of all subscriptions and processes, with other ids."""


def ids_of(report: Report, kind: str, outcome: Outcome) -> list[UUID]:
    return [UUID(one.id) for one in report.findings if (one.kind, one.outcome) == (kind, outcome)]


def assert_equal(bed: Testbed, core: psycopg.Connection, report: Report) -> None:
    """Every subscription that the report does not name, and every process."""
    unequal = ids_of(report, "subscription", Outcome.LEFT_OUT) + ids_of(report, "subscription", Outcome.PART_LEFT_OUT)
    ended = {row[0] for row in core.execute(UNFINISHED)}
    with bed.database.transaction(read_only=True):
        assert list(subscription_differences(bed, core, unequal)) == []
        assert list(description_differences(core)) == []
        missing = ids_of(report, "subscription", Outcome.LEFT_OUT)
        assert list(process_differences(core, ended, missing)) == []


def test_everything_is_equal(bed: Testbed, imported: Import, core: psycopg.Connection) -> None:
    """Headers, blocks, values in their order, blocks of others, fixed inputs, descriptions, metadata, processes."""
    assert_equal(bed, core, imported())


@pytest.mark.skipif(OF_ITS_OWN is None, reason="ORCHESTRATOR_CORE_URI names no database of orchestrator-core")
def test_a_database_of_its_own_is_equal(bed: Testbed) -> None:
    """As orchestrator-core made it, with its extensions, views and triggers."""
    uri = str(OF_ITS_OWN)
    with psycopg.connect(uri) as core:
        assert_equal(bed, core, run_import(bed, uri))


@pytest.mark.scale
@pytest.mark.timeout(7200)
def test_many_are_equal(
    bed: Testbed, imported: Import, core: psycopg.Connection, scaled: Scaled, capsys: pytest.CaptureFixture[str]
) -> None:
    """A thousand subscriptions, or a hundred thousand; tells the CPU time of each side, and the wall's."""
    number = scaled(100_000, least=1000)
    core.execute(MULTIPLY.format(number // 35).encode())
    wall, cpu = time.monotonic(), time.process_time()
    report = imported()
    wall, cpu = time.monotonic() - wall, time.process_time() - cpu
    size = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    with capsys.disabled():
        sys.stdout.write(f"\n{number:,} subscriptions: {wall:.1f} s, {cpu:.1f} s of CPU, at most {size} MB\n")
    assert report.counts["subscription"]["imported"] >= number * 0.9
    if number <= 1000:
        assert_equal(bed, core, report)


def test_words_are_found(bed: Testbed, imported: Import) -> None:
    """Of values, and of lists: by the search that people use."""
    imported()
    with bed.database.transaction(read_only=True):
        found = list_subscriptions([search_condition("node.node_name:node3")], limit=None)
        assert found and all("Node 3" in line.description for line in found)


def test_counters_and_validations_know_them(bed: Testbed, imported: Import) -> None:
    report = imported()
    with bed.database.transaction(read_only=True) as session:
        number = report.counts["subscription"]["imported"]
        assert count_subscriptions() == number
        assert session.connection().exec_driver_sql("SELECT count(*) FROM validations").scalar() == number
