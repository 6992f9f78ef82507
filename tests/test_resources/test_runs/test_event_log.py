"""The event log over real PostgreSQL: what is committed when, seen by whom, and what a failure leaves."""

import asyncio
import json
import multiprocessing
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import dagster as dg
import psycopg
import pytest
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import EmptyWorkspaceTarget
from dagster_postgres.event_log import PostgresEventLogStorage
from dagster_webserver.app import create_app_from_workspace_process_context

from resources.database.embedded import EmbeddedServer
from resources.errors import EventsNotWritten, SettingsError
from resources.runs.storage import event_groups
from resources.runs.storage.event_log import GroupedEventLogStorage, PooledEventLogStorage
from tests.test_resources.test_database.own_server import OwnServer, server_of_its_own
from tests.test_resources.test_runs.dagster_instances import custom, dagster_database, instance_on
from tests.waiting import GENEROUS_SECONDS, eventually

pytestmark = pytest.mark.xdist_group("event log")  # one worker: its server and database are made once

IN_PROCESS: dict[str, Any] = {
    "executor_def": dg.in_process_executor,
    "resource_defs": {"io_manager": dg.mem_io_manager},
}
ROOT = Path(__file__).parents[3]
SOON = 10.0
"""Seconds for what takes less than one when the machine is quiet."""
Looks = list[list[str]]


class Life:
    """What the ops of these tests do, set by each test."""

    def __init__(self) -> None:
        self.look: Callable[[], None] = lambda: None


LIFE = Life()


@dg.op
def first(context: dg.OpExecutionContext) -> None:
    context.log.info("in first")


@dg.op(ins={"before": dg.In(dg.Nothing)})
def second(context: dg.OpExecutionContext) -> None:
    context.log.info("in second")
    LIFE.look()


@dg.op(ins={"before": dg.In(dg.Nothing)})
def third(context: dg.OpExecutionContext) -> None:
    context.log.info("in third")


@dg.job(**IN_PROCESS)
def three() -> None:
    third(second(first()))


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("dagster")


@pytest.fixture(scope="module")
def url(server: EmbeddedServer) -> Iterator[str]:
    with dagster_database(server) as url:
        yield url


@pytest.fixture(params=["pooled", "grouped"])
def any_mode(request: pytest.FixtureRequest, url: str, home: Path) -> Iterator[dg.DagsterInstance]:
    with instance_on(home, custom(url, mode=request.param)) as instance:
        yield instance


@pytest.fixture
def instance(url: str, home: Path) -> Iterator[dg.DagsterInstance]:
    with instance_on(home, custom(url)) as instance:
        yield instance


@pytest.fixture(autouse=True)
def life() -> Iterator[Life]:
    LIFE.__init__()  # type: ignore[misc]
    yield LIFE


def execute(instance: dg.DagsterInstance, job: dg.JobDefinition = three) -> str:
    return job.execute_in_process(instance=instance, raise_on_error=False).run_id


def committed(url: str, run_id: str | None = None) -> list[str]:
    """Events of a run (of the newest) that another connection sees, in order: their types, `-` for a message."""
    with psycopg.connect(url) as connection:
        newest = "(SELECT run_id FROM runs ORDER BY id DESC LIMIT 1)"
        rows = connection.execute(
            f"SELECT dagster_event_type FROM event_logs WHERE run_id = coalesce(%s, {newest}) ORDER BY id", (run_id,)
        )
        return [kind or "-" for (kind,) in rows]


def status(url: str, run_id: str) -> str:
    with psycopg.connect(url) as connection:
        row = connection.execute("SELECT status FROM runs WHERE run_id = %s", (run_id,)).fetchone()
    assert row is not None
    return str(row[0])


# --- modes ---


@pytest.mark.parametrize(
    ("mode", "expected"),
    [("stock", PostgresEventLogStorage), ("pooled", PooledEventLogStorage), ("grouped", GroupedEventLogStorage)],
)
def test_the_mode_is_chosen_in_dagster_yaml(url: str, home: Path, mode: str, expected: type) -> None:
    with instance_on(home, custom(url, mode=mode)) as instance:
        assert type(instance.event_log_storage) is expected


def test_a_mode_that_is_not_there_is_named(url: str, home: Path) -> None:
    refused = pytest.raises(SettingsError, match=r"no mode `fast`; dagster.yaml may say stock, pooled, grouped")
    with refused, instance_on(home, custom(url, mode="fast")):
        pass


# --- what is committed when ---


def test_before_the_body_of_an_op_its_start_and_all_before_it_are_committed(
    instance: dg.DagsterInstance, url: str, life: Life
) -> None:
    seen: Looks = []
    life.look = lambda: seen.append(committed(url))
    run_id = execute(instance)
    last_start = max(number for number, kind in enumerate(seen[0]) if kind == "STEP_START")
    assert seen[0].count("STEP_START") == 2
    assert seen[0][: last_start + 1] == committed(url, run_id)[: last_start + 1]
    assert set(seen[0][last_start + 1 :]) <= {"-", "LOGS_CAPTURED"}


def test_when_a_run_has_ended_all_is_committed(instance: dg.DagsterInstance, url: str) -> None:
    run_id = execute(instance)
    assert committed(url, run_id)[-1] == "PIPELINE_SUCCESS"
    assert len(committed(url, run_id)) == len(instance.all_logs(run_id))


def test_a_run_of_three_ops_commits_few_times(instance: dg.DagsterInstance, url: str) -> None:
    run_id = execute(instance)
    with psycopg.connect(url) as connection:
        row = connection.execute(
            "SELECT count(*), count(DISTINCT xmin::text) FROM event_logs WHERE run_id = %s", (run_id,)
        ).fetchone()
    assert row is not None
    events, commits = row
    assert events > 15
    assert commits <= 9  # start, three bodies, before success, success; and what the thread adds on a busy machine


def test_ids_rise_in_the_order_of_time(instance: dg.DagsterInstance) -> None:
    records = instance.event_log_storage.get_records_for_run(execute(instance)).records
    moments = [record.event_log_entry.timestamp for record in records]
    assert moments == sorted(moments)


def test_a_read_sees_what_was_stored_before_it(instance: dg.DagsterInstance) -> None:
    run = instance.create_run_for_job(three)
    for number in range(5):
        instance.report_engine_event(f"number {number}", run)
        assert len(instance.all_logs(run.run_id)) == number + 1


def test_a_message_is_committed_by_itself_in_time(instance: dg.DagsterInstance, url: str) -> None:
    run = instance.create_run_for_job(three)
    instance.report_engine_event("somebody says something", run)
    assert eventually(lambda: committed(url, run.run_id)) == ["ENGINE_EVENT"]


# --- the live log ---


@pytest.mark.slow
def test_watchers_are_told_soon_after_a_long_silence(any_mode: dg.DagsterInstance) -> None:
    run = any_mode.create_run_for_job(three)
    received: list[str] = []

    def handler(event: dg.EventLogEntry, _cursor: str) -> None:
        received.append(event.message)

    any_mode.watch_event_logs(run.run_id, None, handler)
    time.sleep(3)
    any_mode.report_engine_event("at last", run)
    eventually(lambda: received, seconds=SOON)
    any_mode.end_watch_event_logs(run.run_id, handler)
    any_mode.report_engine_event("to nobody", run)
    time.sleep(0.7)
    assert received == ["at last"]


def test_a_watcher_is_told_from_its_cursor_on_and_survives_an_error(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = instance.create_run_for_job(three)
    instance.report_engine_event("old", run)
    cursor = instance.get_records_for_run(run.run_id).cursor
    received: list[str] = []
    storage = instance.event_log_storage
    read = storage.get_records_for_run
    with monkeypatch.context() as broken:
        broken.setattr(storage, "get_records_for_run", lambda *_, **__: (_ for _ in ()).throw(OSError("gone")))
        instance.watch_event_logs(run.run_id, cursor, lambda event, _: received.append(event.message))
        time.sleep(0.5)
    assert storage.get_records_for_run == read
    instance.report_engine_event("new", run)
    eventually(lambda: received)
    assert received == ["new"]


SUBSCRIBE = """
    subscription($run: ID!) { pipelineRunLogs(runId: $run) {
        ... on PipelineRunLogsSubscriptionSuccess { messages { __typename ... on MessageEvent { message } } }
    } }
"""


class Browser:
    """A WebSocket to an ASGI application."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self._incoming: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._outgoing: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    async def __aenter__(self) -> "Browser":
        headers = [(b"host", b"here"), (b"sec-websocket-protocol", b"graphql-ws")]
        scope = {"type": "websocket", "path": "/graphql", "raw_path": b"/graphql", "query_string": b"", "scheme": "ws"}
        scope |= {"headers": headers, "subprotocols": ["graphql-ws"], "server": ("here", 80), "client": ("me", 1)}
        self._task = asyncio.create_task(self._app(scope, self._incoming.get, self._outgoing.put))
        await self._incoming.put({"type": "websocket.connect"})
        await self._outgoing.get()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._incoming.put({"type": "websocket.disconnect", "code": 1000})
        await asyncio.wait_for(self._task, GENEROUS_SECONDS)

    async def say(self, **message: Any) -> None:
        await self._incoming.put({"type": "websocket.receive", "text": json.dumps(message)})

    async def hear(self) -> Any:
        message = await asyncio.wait_for(self._outgoing.get(), GENEROUS_SECONDS)
        return json.loads(message["text"])

    async def hear_events(self) -> list[str]:
        found = (await self.hear())["payload"]["data"]["pipelineRunLogs"]["messages"]
        return [message["message"] for message in found]


@pytest.mark.slow
def test_the_webservers_subscription_sees_another_processes_events_soon(
    any_mode: dg.DagsterInstance, url: str, home: Path
) -> None:
    run = any_mode.create_run_for_job(three)

    async def watch(app: Any, writer: dg.DagsterInstance) -> tuple[list[str], float]:
        async with Browser(app) as browser:
            await browser.say(type="connection_init")
            assert (await browser.hear())["type"] == "connection_ack"
            await browser.say(type="start", id="1", payload={"query": SUBSCRIBE, "variables": {"run": run.run_id}})
            assert await browser.hear_events() == []
            await asyncio.sleep(2)
            said = time.monotonic()
            writer.report_engine_event("from elsewhere", run)
            return await browser.hear_events(), time.monotonic() - said

    with (
        instance_on(home / "writer", custom(url)) as writer,
        WorkspaceProcessContext(any_mode, EmptyWorkspaceTarget()) as workspace,
    ):
        events, took = asyncio.run(watch(create_app_from_workspace_process_context(workspace), writer))
    assert events == ["from elsewhere"]
    assert took < SOON


# --- the end of a process ---

DIES = """
import os, sys
import dagster as dg

@dg.op
def first(context) -> None:
    context.log.info("in first")

@dg.op(ins={"before": dg.In(dg.Nothing)})
def second(context) -> None:
    os._exit(7)

@dg.job(executor_def=dg.in_process_executor, resource_defs={"io_manager": dg.mem_io_manager})
def dying():
    second(first())

if __name__ == "__main__":
    with dg.DagsterInstance.from_config(sys.argv[1]) as instance:
        dying.execute_in_process(instance=instance)
"""
SAYS = """
import sys
import dagster as dg

@dg.job
def quiet(): ...

instance = dg.DagsterInstance.from_config(sys.argv[1])
run = instance.create_run_for_job(quiet)
instance.report_engine_event("last words", run)
"""


def python(script: str, *arguments: str) -> int:
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore"}
    command = [sys.executable, "-c", script, *arguments]
    return subprocess.run(command, env=environment, timeout=120, check=False, capture_output=True).returncode


def test_a_process_that_dies_in_a_body_leaves_the_start_and_all_before_it(
    instance: dg.DagsterInstance, url: str, home: Path
) -> None:
    whole = committed(url, execute(instance))
    assert python(DIES, str(home)) == 7
    left = committed(url)
    second_start = [number for number, kind in enumerate(whole) if kind == "STEP_START"][1]
    assert left == whole[: second_start + 1]


def test_a_process_that_ends_commits_its_last_words(instance: dg.DagsterInstance, url: str, home: Path) -> None:
    assert instance
    assert python(SAYS, str(home)) == 0
    assert committed(url) == ["ENGINE_EVENT"]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_forked_child_of_multiprocessing_commits_its_last_words(instance: dg.DagsterInstance, url: str) -> None:
    run = instance.create_run_for_job(three)
    child = multiprocessing.get_context("fork").Process(
        target=instance.report_engine_event, args=("from the child", run)
    )
    child.start()
    child.join(GENEROUS_SECONDS)
    assert child.exitcode == 0
    assert committed(url, run.run_id) == ["ENGINE_EVENT"]


def test_a_fork_in_the_middle_of_a_run_writes_no_event_twice(
    instance: dg.DagsterInstance, url: str, life: Life, forked: Callable[..., int]
) -> None:
    whole = committed(url, execute(instance))
    runs: list[int] = []

    def fork() -> None:
        life.look = lambda: None
        runs.append(forked(lambda: execute(instance)))

    life.look = fork
    run_id = execute(instance)
    assert runs == [0]
    assert committed(url, run_id) == whole
    assert committed(url) == whole  # the child's own


# --- a database that stops ---


@pytest.fixture(scope="module")
def stoppable() -> Iterator[OwnServer]:
    with server_of_its_own() as server:
        yield server


@pytest.mark.slow
def test_a_read_right_after_a_restart_takes_a_new_connection(stoppable: OwnServer, tmp_path: Path) -> None:
    with instance_on(tmp_path, custom(stoppable.url, mode="pooled")) as instance:
        before = instance.get_runs_count()
        stoppable.stop()
        stoppable.start()
        assert instance.get_runs_count() == before


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [0, 3])
def test_a_run_outlives_a_restart_of_the_database(
    stoppable: OwnServer, tmp_path: Path, life: Life, seconds: float
) -> None:
    with instance_on(tmp_path, custom(stoppable.url)) as instance:
        whole = committed(stoppable.url, execute(instance))
        later = threading.Timer(seconds, stoppable.start)

        def restart() -> None:
            stoppable.stop()
            later.start()
            if not seconds:
                later.join()

        life.look = restart
        run_id = execute(instance)
        later.join()
        assert status(stoppable.url, run_id) == "SUCCESS"
        assert committed(stoppable.url, run_id) == whole


@pytest.mark.slow
def test_a_database_that_stays_away_fails_the_run_and_loses_nothing_that_was_taken(
    stoppable: OwnServer, tmp_path: Path, life: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_groups.EventGroups.flush, "__defaults__", (1.0,))
    with instance_on(tmp_path, custom(stoppable.url)) as instance:
        whole = committed(stoppable.url, execute(instance))
        life.look = stoppable.stop
        with pytest.raises(Exception) as ended:
            three.execute_in_process(instance=instance)
        stoppable.start()
        instance.event_log_storage.dispose()
        left = committed(stoppable.url)
    causes = []
    error: BaseException | None = ended.value
    while error is not None:
        causes.append(type(error))
        error = error.__cause__ or error.__context__
    assert EventsNotWritten in causes
    third_start = [number for number, kind in enumerate(whole) if kind == "STEP_START"][2]
    assert left == whole[:third_start]


@pytest.mark.slow
def test_a_run_whose_log_has_a_hole_fails_though_the_database_is_back(
    stoppable: OwnServer, tmp_path: Path, life: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    with instance_on(tmp_path, custom(stoppable.url)) as instance:

        def lose_messages() -> None:
            stoppable.stop()
            with monkeypatch.context() as impatient, suppress(EventsNotWritten):
                impatient.setattr(event_groups.EventGroups.flush, "__defaults__", (0.0,))
                for number in range(event_groups.LARGEST + 1):
                    dg.OpExecutionContext.get().log.info("message %s", number)
            stoppable.start()

        life.look = lose_messages
        run_id = execute(instance)
        assert status(stoppable.url, run_id) == "FAILURE"
        assert committed(stoppable.url, run_id)[-1] == "PIPELINE_FAILURE"
