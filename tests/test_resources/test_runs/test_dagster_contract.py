"""What our storage takes for granted of this Dagster: each claim fails by name when an upgrade breaks it."""

import ast
import inspect
import textwrap

import pytest
from dagster import DagsterEventType
from dagster._core.events import ASSET_CHECK_EVENTS, ASSET_EVENTS, PIPELINE_EVENTS, STEP_EVENTS
from dagster._core.instance.types import _EventListenerLogHandler
from dagster._core.storage.event_log import SqlEventLogStorage
from dagster._core.storage.event_log.schema import SqlEventLogStorageTable
from dagster._core.storage.runs import SqlRunStorage
from dagster_postgres.event_log import PostgresEventLogStorage
from dagster_postgres.run_storage import PostgresRunStorage
from dagster_postgres.schedule_storage import PostgresScheduleStorage

from resources.runs.storage.event_log import BARRIERS, LINKED, RUN_STATUSES, TOLERANT

STORAGES = (PostgresRunStorage, PostgresEventLogStorage, PostgresScheduleStorage)

DIRECT = {
    "run_connection",
    "index_connection",
    "store_event",
    "store_event_batch",
    "has_table",
    "alembic_version",
    "upgrade",
    "_init_db",
    "__init__",
    "optimize_for_webserver",
    "_gen_event_log_entry_from_cursor",
}
"""What of the event log's storage uses a connection past `run_connection` and `index_connection`, which commit first.

None of them reads a run's events but the last, which nobody calls.
"""
KNOWN_STEP_EVENTS = {
    *("STEP_INPUT", "STEP_START", "STEP_OUTPUT", "STEP_FAILURE", "STEP_SUCCESS", "STEP_SKIPPED", "STEP_RESTARTED"),
    *("STEP_UP_FOR_RETRY", "STEP_EXPECTATION_RESULT", "ASSET_MATERIALIZATION", "ASSET_OBSERVATION"),
    *("ASSET_CHECK_EVALUATION", "OBJECT_STORE_OPERATION", "HANDLED_OUTPUT", "LOADED_INPUT"),
}


def parameters(function: object) -> list[str]:
    assert callable(function)
    return list(inspect.signature(function).parameters)


def uses(cls: type, *names: str) -> set[str]:
    """Methods of `cls` itself that name one of these attributes of self."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(cls)))
    body = tree.body[0]
    assert isinstance(body, ast.ClassDef)
    return {
        method.name
        for method in body.body
        if isinstance(method, ast.FunctionDef)
        and any(isinstance(node, ast.Attribute) and node.attr in names for node in ast.walk(method))
    }


@pytest.mark.parametrize("storage", STORAGES)
def test_a_storage_is_made_of_a_url_without_making_tables(storage: type) -> None:
    assert parameters(storage)[:2] == ["postgres_url", "should_autocreate_tables"]


@pytest.mark.parametrize("storage", STORAGES)
def test_a_storage_takes_every_connection_from_its_engine(storage: type) -> None:
    assert uses(storage, "_engine") & {"_connect", "connect"}
    assert parameters(storage.optimize_for_webserver) == [  # type: ignore[attr-defined]
        "self",
        "statement_timeout",
        "pool_recycle",
        "max_overflow",
    ]


def test_the_probes_that_are_remembered_are_asked_by_methods() -> None:
    for probe in ("has_run_stats_index_cols", "has_backfill_id_column"):
        assert parameters(getattr(SqlRunStorage, probe)) == ["self"]
        assert uses(SqlRunStorage, probe) - {probe}


def test_reads_of_the_event_log_go_through_the_two_connections_that_commit_first() -> None:
    assert uses(PostgresEventLogStorage, "_connect", "_engine") - {"_connect"} == DIRECT
    assert uses(SqlEventLogStorage, "_connect", "_engine") == set()
    assert parameters(PostgresEventLogStorage.run_connection) == ["self", "run_id"]
    assert parameters(PostgresEventLogStorage.index_connection) == ["self"]


def test_nobody_reads_an_entry_past_these_connections() -> None:
    for cls in (PostgresEventLogStorage, SqlEventLogStorage):
        assert uses(cls, "_gen_event_log_entry_from_cursor") == set()


def test_an_event_is_one_row_of_these_columns() -> None:
    assert parameters(SqlEventLogStorage._event_to_row) == ["self", "event"]
    assert parameters(SqlEventLogStorage.prepare_insert_event) == ["self", "event"]
    assert set(SqlEventLogStorageTable.c.keys()) == {
        *("id", "run_id", "event", "dagster_event_type", "timestamp", "step_key", "asset_key", "partition")
    }


def test_stock_writes_for_a_plain_event_only_its_row() -> None:
    """Besides the NOTIFY of `run_events`. What else it does, it does for these two kinds."""
    source = inspect.getsource(PostgresEventLogStorage.store_event)
    calls = {node.attr for node in ast.walk(ast.parse(textwrap.dedent(source))) if isinstance(node, ast.Attribute)}
    writers = {name for name in calls if name.startswith(("store_", "_store_"))}
    assert writers == {"_store_asset_event_tags", "_store_asset_event", "store_asset_check_event"}
    assert source.count("ASSET_EVENTS") == source.count("ASSET_CHECK_EVENTS") == 1
    assert frozenset({*ASSET_EVENTS, *ASSET_CHECK_EVENTS}) == LINKED


def test_every_status_of_a_run_is_a_barrier() -> None:
    assert set(PIPELINE_EVENTS) == RUN_STATUSES
    assert RUN_STATUSES <= BARRIERS


def test_the_events_of_a_step_are_known() -> None:
    """A new one may be one to commit before continuing: see `BARRIERS`."""
    assert {kind.value for kind in STEP_EVENTS} == KNOWN_STEP_EVENTS


def test_the_end_of_a_failed_run_is_always_written() -> None:
    assert {DagsterEventType.RUN_FAILURE, DagsterEventType.RUN_CANCELED, DagsterEventType.ENGINE_EVENT} <= TOLERANT


def test_an_error_of_the_storage_reaches_the_run() -> None:
    """Dagster's log handler raises what storing an event of its own raised."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(_EventListenerLogHandler.emit)))
    assert [node for node in ast.walk(tree) if isinstance(node, ast.Raise)]


def test_watching_has_this_shape() -> None:
    assert parameters(PostgresEventLogStorage.watch) == ["self", "run_id", "cursor", "callback"]
    assert parameters(PostgresEventLogStorage.end_watch) == ["self", "run_id", "handler"]
