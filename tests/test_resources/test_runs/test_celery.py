"""Runs on many machines: whatever happens to a worker, every run ends truly and no step takes effect twice."""

import importlib
import inspect
import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
import psycopg
import pytest
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import EmptyWorkspaceTarget
from dagster._daemon.monitoring.run_monitoring import execute_run_monitoring_iteration
from dagster_celery.launcher import CeleryRunLauncher

from resources.database.embedded import EmbeddedServer
from resources.database.throwaway import fresh_database
from resources.errors import SettingsError
from resources.runs.dispatch import Loaded
from resources.runs.dispatch_statements import LIVENESS
from resources.runs.launching.celery_launcher import Attempt, OrchestratorCeleryLauncher
from resources.runs.launching.launcher import end_run, execution_of
from resources.runs.workers.liveness import DirectClaim
from resources.settings import settings
from tests.scale import Scaled
from tests.test_resources.test_runs.celery_machines import REDIS, Machines, configure, redis_server
from tests.waiting import GENEROUS_SECONDS, eventually

pytestmark = [
    pytest.mark.skipif(REDIS is None, reason="there is no redis-server; on Debian: apt-get install redis-server"),
    pytest.mark.slow,
    pytest.mark.xdist_group("celery"),  # one Redis for all
]
LOGGER = logging.getLogger("monitoring")
ATTEMPTS = 2
FIVE = [f"effect_{number}" for number in range(5)]


@pytest.fixture(scope="module")
def installation(server: EmbeddedServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machines]:
    """What the machines share, made once: it takes longer than most tests here."""
    folder = tmp_path_factory.mktemp("shared")
    with (
        pytest.MonkeyPatch.context() as patch,
        redis_server(folder) as broker,
        fresh_database(server) as database,
    ):
        module = configure(folder, broker, server.uri(f"{database.engine.url.database}_dagster"))
        url = server.uri(database.engine.url.database)
        environment = {"DATABASE_URI": url, "DAGSTER_HOME": str(folder), "TRACE": str(folder / "trace")}
        for name, value in environment.items():
            patch.setenv(name, value)
        settings.cache_clear()
        patch.syspath_prepend(str(folder))
        toys = importlib.import_module(module)
        with database.transaction() as session:
            toys.orchestrator.catalogue.apply()
            session.connection().exec_driver_sql("CREATE TABLE effects (process text, key text, host text)")
        with dg.DagsterInstance.from_config(str(folder)) as instance:
            yield Machines(instance, folder, {**os.environ, **environment}, module)
            instance.run_launcher.celery.close()  # type: ignore[attr-defined]
        toys.orchestrator.database.dispose()
        del sys.modules[module]
    settings.cache_clear()


@pytest.fixture
def machines(installation: Machines) -> Iterator[Machines]:
    """All switched off, with nothing in Redis."""
    yield installation
    installation.stop()
    with installation.launcher.celery.connection_for_read() as connection:
        connection.default_channel.client.flushall()


def monitored(machines: Machines, is_done: Callable[[], bool], seconds: float = 240) -> None:
    """As the daemon monitors runs, until something is so."""
    give_up = time.monotonic() + seconds
    with WorkspaceProcessContext(machines.instance, EmptyWorkspaceTarget()) as workspace:
        while not is_done():
            assert time.monotonic() < give_up, machines.begun()
            errors = [error for error in execute_run_monitoring_iteration(workspace, LOGGER) if error]
            assert not errors
            time.sleep(0.5)


def all_finished(machines: Machines, runs: list[str]) -> bool:
    unfinished = dg.RunsFilter(run_ids=runs, statuses=[s for s in dg.DagsterRunStatus if s.value not in ENDS])
    return machines.instance.get_runs_count(unfinished) == 0


ENDS = ("SUCCESS", "FAILURE", "CANCELED")


def test_trouble_on_a_living_machine_ends_truly(machines: Machines) -> None:
    """An op that sleeps is interrupted, one that does not react dies with its process, one that kills has an end."""
    machines.start("ams1", concurrency=2)
    sleeping, deaf = map(machines.launch, ("long", "deaf"))
    places = eventually(lambda: (known := places_of(machines)) and {sleeping, deaf} <= set(known) and known)
    assert is_executed(machines, sleeping)
    assert machines.launcher.terminate(sleeping)
    assert machines.launcher.terminate(deaf)
    monitored(machines, lambda: all_finished(machines, [sleeping, deaf]))
    assert machines.status(sleeping) == "CANCELED"
    assert Path(f"/proc/{places[sleeping]}").exists()
    assert machines.status(deaf) == "CANCELED"
    eventually(lambda: not Path(f"/proc/{places[deaf]}").exists())

    aborted = machines.launch("deaf")
    place = eventually(lambda: places_of(machines).get(aborted))
    end_run(machines.instance, aborted, 1)
    eventually(lambda: not Path(f"/proc/{place}").exists())
    eventually(
        lambda: not (entry := execution_of(machines.instance, aborted)).has_live_worker and entry.seconds_left < 0
    )

    poison = machines.launch("poison")
    monitored(machines, lambda: all_finished(machines, [poison]))
    assert machines.status(poison) == "FAILURE"
    assert len([process for process, _, _ in machines.begun() if process == poison]) == 1 + ATTEMPTS
    assert "which had claimed the run, is gone" in machines.messages(poison)


def places_of(machines: Machines) -> dict[str, int]:
    """Process to the pid that began its long step last."""
    return {process: pid for process, _, pid in machines.begun()}


def test_a_machine_lost_in_the_middle_loses_no_run_and_repeats_no_step(machines: Machines, scaled: Scaled) -> None:
    count = scaled(200, least=16)
    machines.start("ams1", concurrency=2)
    machines.start("utr1", concurrency=2)
    launched = [machines.launch("five") for _ in range(count)]
    eventually(lambda: len(machines.effects(launched)) > count // 4 and "ams1" in machines.hosts(launched))
    machines.kill("ams1")
    monitored(machines, lambda: all_finished(machines, launched), 300)
    assert {machines.status(run) for run in launched} == {"SUCCESS"}
    effects = machines.effects(launched)
    assert len(effects) == count
    assert all(keys == FIVE for keys in effects.values())
    assert machines.hosts(launched) == {"ams1", "utr1"}


# --- without a worker beside: what launcher, message and claim do ---


@pytest.fixture
def execute_job(machines: Machines) -> Callable[[str, int], str]:
    """The task as a worker's process would do it, in this one."""
    worker = importlib.import_module("resources.runs.launching.celery_worker")
    function: Callable[[str, int], str] = worker.execute_job
    return function


def queued(machines: Machines) -> list[str]:
    """The messages in Redis, first those that are served first."""
    with machines.launcher.celery.connection_for_read() as connection:
        client = connection.default_channel.client
        steps = ["dagster", *(f"dagster\x06\x16{level}" for level in range(1, 10))]
        return [message.decode() for step in steps for message in reversed(client.lrange(step, 0, -1))]


def test_a_message_says_which_run_and_nothing_of_the_instance(machines: Machines) -> None:
    run_id = machines.launch("five")
    (message,) = queued(machines)
    assert run_id in message
    assert "postgres" not in message


def test_a_higher_priority_is_served_first(machines: Machines) -> None:
    runs = [machines.launch("five", tags={"dagster/priority": priority}) for priority in ("-1", "0", "3", "999")]
    assert [run for message in queued(machines) for run in runs if run in message] == runs[::-1]


def test_a_run_canceled_while_it_waits_is_never_executed(
    machines: Machines, execute_job: Callable[[str, int], str]
) -> None:
    run_id = machines.launch("five")
    assert machines.launcher.terminate(run_id)
    assert machines.status(run_id) == "CANCELED"
    assert execute_job(run_id, 0) == "nothing to do"
    assert not machines.launcher.terminate(run_id)
    assert machines.effects([run_id]) == {}


def test_a_message_delivered_again_executes_nothing(machines: Machines, execute_job: Callable[[str, int], str]) -> None:
    run_id = machines.launch("five")
    with held(machines, run_id):
        assert execute_job(run_id, 0) == "another worker has it"
    assert execute_job(run_id, 0) == "executed"
    assert execute_job(run_id, 0) == "nothing to do"
    assert machines.effects([run_id]) == {run_id: FIVE}


def test_a_message_left_by_a_dead_worker_is_the_daemons_to_judge(
    machines: Machines, execute_job: Callable[[str, int], str]
) -> None:
    run_id = taken_by_a_worker_that_died(machines)
    assert execute_job(run_id, 0) == "left to the run monitoring"
    machines.instance.resume_run(run_id, None, 1)  # type: ignore[arg-type]
    assert execute_job(run_id, 0) == "nothing to do"
    assert execute_job(run_id, 1) == "executed"
    assert machines.status(run_id) == "SUCCESS"


def test_a_run_that_kills_its_workers_before_it_starts_is_given_up(
    machines: Machines, execute_job: Callable[[str, int], str]
) -> None:
    run_id = machines.launch("five")
    for _ in range(3):
        machines.instance.add_run_tags(run_id, taken(machines, run_id))
    assert execute_job(run_id, 0) == "given up"
    assert machines.status(run_id) == "FAILURE"
    assert "3 workers died while they loaded the run" in machines.messages(run_id)


def test_code_that_cannot_be_loaded_fails_its_run_with_the_reason(
    machines: Machines, execute_job: Callable[[str, int], str]
) -> None:
    machines.module, module = "no_such_module", sys.modules[machines.module]
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "no_such_module", module)
        run_id = machines.launch("five")
    assert execute_job(run_id, 0) == "its code cannot be loaded"
    assert "no_such_module" in machines.messages(run_id)
    assert machines.status(run_id) == "FAILURE"
    machines.module = module.__name__


def test_a_worker_is_given_up_only_when_its_absence_lasts(machines: Machines) -> None:
    run_id = taken_by_a_worker_that_died(machines)
    states = []
    for _ in range(3):
        states.append(machines.launcher.check_run_worker_health(machines.run(run_id)).status.value)
        machines.launcher.dispatch._rows("UPDATE orchestrator_dispatch SET lost_at = lost_at - interval '4 s'")
    assert states == ["RUNNING", "RUNNING", "FAILED"]


def test_a_run_that_waits_for_its_next_worker_is_healthy(machines: Machines, monkeypatch: pytest.MonkeyPatch) -> None:
    run_id = taken_by_a_worker_that_died(machines)
    machines.instance.resume_run(run_id, None, 1)  # type: ignore[arg-type]
    now = time.monotonic()
    states = []
    for seconds in (0, 100, machines.instance.run_monitoring_start_timeout_seconds + 1):
        monkeypatch.setattr("resources.runs.launching.celery_launcher.time.monotonic", lambda at=now + seconds: at)
        states.append(machines.launcher.check_run_worker_health(machines.run(run_id)).status.value)
    assert states == ["RUNNING", "RUNNING", "FAILED"]


def test_a_run_in_somebodys_own_process_is_not_the_launchers_to_judge(machines: Machines) -> None:
    job = sys.modules[machines.module].orchestrator.job("five")
    run = machines.instance.create_run_for_job(job_def=job)
    assert machines.launcher.check_run_worker_health(run).status.value == "RUNNING"
    assert not machines.launcher.terminate(run.run_id)


def test_a_broker_other_than_redis_is_refused(machines: Machines) -> None:
    with pytest.raises(SettingsError, match="must be Redis"):
        OrchestratorCeleryLauncher(broker="pyamqp://guest@localhost//", default_queue="dagster")


def test_a_worker_that_has_lost_its_session_keeps_its_run(machines: Machines, server: EmbeddedServer) -> None:
    run_id = machines.launch("five")
    with held(machines, run_id) as claim:
        cut_session(server, claim)
        eventually(lambda: is_executed(machines, run_id))
        assert machines.launcher.check_run_worker_health(machines.run(run_id)).status.value == "RUNNING"
    assert not is_executed(machines, run_id)


def test_a_worker_whose_run_went_to_another_ends_on_the_spot(
    machines: Machines, server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed = threading.Event()
    monkeypatch.setattr("resources.runs.workers.worker.end_this_process", lambda _: killed.set())
    monkeypatch.setattr("resources.runs.workers.worker.RETRY_SECONDS", 2)
    run_id = machines.launch("five")
    with held(machines, run_id) as claim:
        cut_session(server, claim)
        with held(machines, run_id):
            assert killed.wait(GENEROUS_SECONDS)


@contextmanager
def held(machines: Machines, run_id: str) -> Iterator[DirectClaim]:
    """A run in progress of another worker, which is this process."""
    claim = DirectClaim(machines.launcher.dispatch, run_id)
    claim.acquire()
    yield claim
    claim.release()


def is_executed(machines: Machines, run_id: str) -> bool:
    entry = machines.launcher.dispatch.entry(run_id)
    return entry is not None and entry.has_live_worker


def cut_session(server: EmbeddedServer, claim: DirectClaim) -> None:
    """End the session that holds a worker's lock; returns when that is free."""
    lock = "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND classid = %s AND objid = %s AND granted"
    with psycopg.connect(server.uri("postgres"), autocommit=True) as connection:
        pids = connection.execute(lock, (LIVENESS, claim.number)).fetchall()
        assert pids
        for pid in pids:
            connection.execute("SELECT pg_terminate_backend(%s, 1000)", pid)


def taken(machines: Machines, run_id: str) -> dict[str, str]:
    """What a worker writes down that takes a run."""
    attempt = Attempt.of(machines.run(run_id))
    assert attempt is not None
    return attempt.take("ams1:1")


def taken_by_a_worker_that_died(machines: Machines) -> str:
    """A run that has begun, and who has it in progress is dead."""
    run_id = machines.launch("five")
    machines.instance.add_run_tags(run_id, taken(machines, run_id))
    dispatch = machines.launcher.dispatch
    number = dispatch.register(Loaded("", "", dispatch.now()), "ams1", 0, 1)  # whose lock nobody holds
    assert dispatch.claim_directly(run_id, number)
    event = dg.DagsterEvent("PIPELINE_START", "five", message="begun")
    machines.instance.report_dagster_event(event, run_id)
    assert machines.status(run_id) == "STARTED"
    return run_id


# --- what is taken for granted of dagster-celery and of Dagster ---


def test_the_stock_launcher_still_has_what_ours_overrides() -> None:
    ours = {name for name in vars(OrchestratorCeleryLauncher) if not name.startswith("_")}
    assert ours - {"dispatch"} <= set(dir(CeleryRunLauncher))
    assert {"backend", "broker", "config_source", "default_queue", "include"} <= set(CeleryRunLauncher.config_type())


def test_the_stock_launcher_still_falls_short() -> None:
    """When one of these fails, look whether the wrapper is still needed."""
    terminate = inspect.getsource(CeleryRunLauncher.terminate)
    assert "report_run_canceling" not in terminate
    assert "pg_locks" not in inspect.getsource(CeleryRunLauncher.check_run_worker_health)
    assert "instance_ref=self._instance.get_ref()" in inspect.getsource(CeleryRunLauncher.launch_run)
