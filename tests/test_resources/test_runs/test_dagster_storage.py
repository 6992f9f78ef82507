"""Dagster's storage: dagster-postgres underneath, found by itself, pooled."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from uuid import uuid4

import dagster as dg
import psycopg
import pytest
import sqlalchemy as sa
from dagster_postgres import DagsterPostgresStorage
from psycopg import sql

from resources.database.embedded import EmbeddedServer
from resources.database.session import postgres_url
from resources.errors import DatabaseUnreachable
from resources.runs.storage.dagster_storage import OrchestratorStorage, PooledRunStorage
from resources.runs.storage.event_log import ENDS
from resources.runs.storage.pool import dagster_urls, prepare
from resources.settings import settings
from tests.test_resources.test_runs.dagster_instances import custom, dagster_database, instance_on

ROOT = Path(__file__).parents[3]
TOY = """
import dagster as dg

@dg.op
def one(): ...

@dg.job(executor_def=dg.in_process_executor)
def toy(): one()

defs = dg.Definitions(jobs=[toy])
"""


@dg.op
def greet(context: dg.OpExecutionContext) -> None:
    context.log.info("hello")


@dg.op(ins={"before": dg.In(dg.Nothing)})
def part(context: dg.OpExecutionContext) -> None:
    context.log_event(dg.AssetMaterialization("router"))


@dg.job(executor_def=dg.in_process_executor, resource_defs={"io_manager": dg.mem_io_manager})
def talk() -> None:
    part(greet())


@dg.job(executor_def=dg.in_process_executor, resource_defs={"io_manager": dg.mem_io_manager})
def chat() -> None:
    greet()


def run(instance: dg.DagsterInstance, job: dg.JobDefinition = talk) -> str:
    return job.execute_in_process(instance=instance).run_id


def storage(instance: dg.DagsterInstance) -> PooledRunStorage:
    runs = instance.run_storage
    assert isinstance(runs, PooledRunStorage)
    return runs


def records(instance: dg.DagsterInstance, run_id: str) -> Sequence[dg.EventLogRecord]:
    return instance.event_log_storage.get_records_for_run(run_id).records


@pytest.fixture
def variables(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Sets environment variables for the product."""

    def set_all(**values: str) -> None:
        for name, value in values.items():
            monkeypatch.setenv(name, value)
        settings.cache_clear()

    yield set_all
    monkeypatch.undo()
    settings.cache_clear()


def test_a_run_is_kept(dagster_instance: dg.DagsterInstance) -> None:
    kept = dagster_instance.get_run_by_id(run(dagster_instance))
    assert kept is not None
    assert kept.status == dg.DagsterRunStatus.SUCCESS


def test_the_stock_storage_reads_what_ours_wrote(dagster_instance: dg.DagsterInstance) -> None:
    run_id = run(dagster_instance)
    stock = DagsterPostgresStorage(storage(dagster_instance).postgres_url)
    ours = list(dagster_instance.all_logs(run_id))
    original = [record.event_log_entry for record in stock.event_log_storage.get_records_for_run(run_id).records]
    assert original == ours
    assert list(stock.run_storage.get_runs()) == [dagster_instance.get_run_by_id(run_id)]
    assert stock.event_log_storage.has_asset_key(dg.AssetKey("router"))
    assert len(ours) > 10


def test_ours_reads_what_the_stock_storage_wrote(dagster_instance: dg.DagsterInstance, tmp_path: Path) -> None:
    url = storage(dagster_instance).postgres_url
    other = tmp_path / "stock"
    other.mkdir()
    configuration = {"storage": {"postgres": {"postgres_url": url}}, "telemetry": {"enabled": False}}
    (other / "dagster.yaml").write_text(json.dumps(configuration))
    with dg.DagsterInstance.from_config(str(other)) as stock:
        run_id = run(stock)
    assert dagster_instance.get_run_by_id(run_id) is not None


def test_a_run_opens_no_connection_per_event(dagster_instance: dg.DagsterInstance) -> None:
    run(dagster_instance)
    opened: list[object] = []
    engine = storage(dagster_instance)._engine
    sa.event.listen(engine, "connect", lambda *arguments: opened.append(arguments))
    run(dagster_instance)
    assert opened == []


def test_a_run_looks_at_no_columns(dagster_instance: dg.DagsterInstance) -> None:
    run(dagster_instance)
    sent: list[str] = []
    engine = storage(dagster_instance)._engine
    sa.event.listen(engine, "before_cursor_execute", lambda *arguments: sent.append(arguments[2]))
    run(dagster_instance, chat)
    assert not [statement for statement in sent if "pg_catalog" in statement or "NOTIFY" in statement]


def test_the_three_storages_share_one_pool(dagster_instance: dg.DagsterInstance) -> None:
    parts = (dagster_instance.run_storage, dagster_instance.event_log_storage, dagster_instance.schedule_storage)
    engines = {id(part._engine) for part in parts}  # type: ignore[union-attr]
    assert len(engines) == 1


def test_a_forked_child_runs_beside_its_parent(
    dagster_instance: dg.DagsterInstance, forked: Callable[..., int]
) -> None:
    run(dagster_instance)
    assert forked(lambda: run(dagster_instance)) == 0
    run(dagster_instance)
    assert dagster_instance.get_runs_count() == 3


def test_a_lost_connection_is_replaced(dagster_instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch) -> None:
    run(dagster_instance)
    url = postgres_url(storage(dagster_instance).postgres_url, "psycopg").set(drivername="postgresql")
    with psycopg.connect(url.render_as_string(hide_password=False)) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    monkeypatch.setattr("resources.database.session.IDLE_SECONDS", 0.0)
    run(dagster_instance)


CUT = """
    CREATE SEQUENCE calls;
    CREATE FUNCTION cut() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        IF nextval('calls') % 2 = 1 THEN PERFORM pg_terminate_backend(pg_backend_pid()); END IF; RETURN NULL;
    END $$;
"""


@pytest.mark.parametrize("table", ["UPDATE ON runs", "INSERT ON event_logs"])
def test_a_connection_cut_in_the_middle_of_a_statement_disturbs_no_run(
    dagster_instance: dg.DagsterInstance, table: str
) -> None:
    whole = [record.event_log_entry.message for record in records(dagster_instance, run(dagster_instance, chat))]
    with storage(dagster_instance).connect() as connection:
        connection.execute(sa.text(CUT))
        connection.execute(sa.text(f"CREATE TRIGGER cut AFTER {table} EXECUTE FUNCTION cut()"))
    run_id = run(dagster_instance, chat)
    assert (dagster_instance.get_run_by_id(run_id) or pytest.fail()).status is dg.DagsterRunStatus.SUCCESS
    assert len(records(dagster_instance, run_id)) == len(whole)
    with storage(dagster_instance).connect() as connection:
        assert connection.scalar(sa.text("SELECT last_value FROM calls")) > 3


def test_a_connection_cut_in_the_middle_of_reading_is_not_noticed(dagster_instance: dg.DagsterInstance) -> None:
    runs = storage(dagster_instance)
    with runs.connect() as connection:
        connection.execute(sa.text("CREATE SEQUENCE calls"))
    cut = sa.text(
        "SELECT n, CASE WHEN n % 2 = 1 THEN pg_terminate_backend(pg_backend_pid()) END FROM nextval('calls') n"
    )
    assert [row["n"] for row in runs.fetchall(cut)] == [2]
    assert (runs.fetchone(cut) or pytest.fail())["n"] == 4


def test_the_webserver_cuts_statements_short(dagster_instance: dg.DagsterInstance) -> None:
    dagster_instance.optimize_for_webserver(statement_timeout=1234, pool_recycle=-1, max_overflow=1)
    with storage(dagster_instance).connect() as connection:
        assert connection.scalar(sa.text("SHOW statement_timeout")) == "1234ms"


def test_without_a_server_of_yours_it_is_the_embedded_one(server: EmbeddedServer) -> None:
    url, _ = dagster_urls()
    assert url.database == "dagster"
    assert url.query["host"] == str(server.data)
    assert url.drivername == "postgresql+psycopg2"


def test_beside_your_database_it_is_of_its_name(variables: Callable[..., None]) -> None:
    variables(DATABASE_URI="postgresql://noc:secret@db.example/core")
    url, _ = dagster_urls()
    assert url.render_as_string(hide_password=False) == "postgresql+psycopg2://noc:secret@db.example/core_dagster"


def test_a_database_of_its_own_can_be_named(variables: Callable[..., None]) -> None:
    variables(DATABASE_URI="postgresql://noc@db.example/core", DAGSTER_DATABASE_URI="postgres://noc@log.example/runs")
    assert dagster_urls()[0].render_as_string() == "postgresql+psycopg2://noc@log.example/runs"


def test_a_missing_database_is_made(server: EmbeddedServer, variables: Callable[..., None]) -> None:
    name = f"core_{uuid4().hex}"
    with psycopg.connect(server.uri("postgres"), autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        variables(DATABASE_URI=server.uri(name))
        OrchestratorStorage().run_storage.dispose()
        with psycopg.connect(server.uri(f"{name}_dagster")) as made:
            assert made.info.dbname == f"{name}_dagster"
        for database in (name, f"{name}_dagster"):
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(database)))


def test_a_role_that_may_not_make_it_is_told_how(server: EmbeddedServer) -> None:
    role = f"noc_{uuid4().hex[:8]}"
    with psycopg.connect(server.uri("postgres"), autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE ROLE {} LOGIN").format(sql.Identifier(role)))
        url = postgres_url(server.uri("core_dagster"), "psycopg2").set(username=role)
        with pytest.raises(DatabaseUnreachable, match=f"createdb --owner={role} core_dagster"):
            prepare(url, url.set(database="postgres"))
        connection.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(role)))


def test_an_unreachable_server_is_named_without_its_password() -> None:
    with pytest.raises(DatabaseUnreachable) as refusal:
        OrchestratorStorage("postgresql://noc:secret@127.0.0.1:1/core_dagster")
    assert "database core_dagster on 127.0.0.1, port 1" in str(refusal.value)
    assert "secret" not in str(refusal.value)


@pytest.mark.slow
def test_four_first_jobs_at_once_from_the_shell(server: EmbeddedServer, tmp_path: Path) -> None:
    name = f"first_{uuid4().hex}"
    (tmp_path / "toy.py").write_text(TOY)
    (tmp_path / "dagster.yaml").write_text((ROOT / "dagster.yaml").read_text())
    environment = os.environ | {
        "PYTHONPATH": str(ROOT),
        "DAGSTER_DATABASE_URI": server.uri(name),
        "PYTHONWARNINGS": "ignore",
    }
    command = [sys.executable, "-m", "dagster", "job", "execute", "-m", "toy", "-j", "toy"]
    start = partial(subprocess.Popen[str], cwd=tmp_path, env=environment, text=True, stderr=subprocess.STDOUT)
    jobs = [start(command, stdout=subprocess.PIPE) for _ in range(4)]
    said = [job.communicate(timeout=120)[0] for job in jobs]
    assert [job.returncode for job in jobs] == [0, 0, 0, 0], said
    with psycopg.connect(server.uri(name)) as connection:
        assert connection.execute("SELECT count(*) FROM runs WHERE status = 'SUCCESS'").fetchone() == (4,)
    with psycopg.connect(server.uri("postgres"), autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def test_a_run_that_a_sensor_requested_is_in_the_group_of_its_tags(dagster_instance: dg.DagsterInstance) -> None:
    """Dagster's page shows the group by the fields of a run, and the daemon fills in the tags only."""
    tags = {"dagster/root_run_id": "first", "dagster/parent_run_id": "second"}
    run = dagster_instance.create_run_for_job(dg.GraphDefinition("empty").to_job(), tags=tags)
    found = dagster_instance.get_run_by_id(run.run_id)
    assert found is not None
    assert (found.root_run_id, found.parent_run_id) == ("first", "second")


@pytest.mark.parametrize("mode", ["grouped", "pooled"])
def test_a_run_keeps_its_first_end(server: EmbeddedServer, tmp_path: Path, mode: str) -> None:
    """A worker that was taken for dead comes back, and writes the end that it has seen."""
    with dagster_database(server) as url, instance_on(tmp_path, custom(url, mode=mode)) as instance:
        kept = chat.execute_in_process(instance=instance, raise_on_error=False).dagster_run
        instance.report_run_failed(kept, "Its worker is gone.")
        instance.report_run_canceled(kept)
        instance.report_engine_event("It goes on.", kept)
        ends = [one.event_log_entry.dagster_event_type for one in records(instance, kept.run_id)]
        run = instance.get_run_by_id(kept.run_id)
    assert [kind for kind in ends if kind in ENDS] == [dg.DagsterEventType.RUN_SUCCESS]
    assert ends[-1] is dg.DagsterEventType.ENGINE_EVENT and run is not None and run.is_success
