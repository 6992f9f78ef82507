"""Runs on many machines: whatever happens to a worker, every run ends truly and no step takes effect twice."""

import importlib
import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import dagster as dg
import psycopg
import pytest
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import EmptyWorkspaceTarget
from dagster._daemon.monitoring.run_monitoring import execute_run_monitoring_iteration

from resources.celery_launcher import Attempt
from resources.database import SubscriptionDatabase
from resources.embedded import EmbeddedServer
from resources.run_claim import RunClaim, is_held
from resources.settings import settings
from tests.test_resources.celery_machines import REDIS, TOYS, Machines, configure, redis_server
from tests.test_resources.warm import eventually

pytestmark = [
    pytest.mark.skipif(REDIS is None, reason="there is no redis-server; on Debian: apt-get install redis-server"),
    pytest.mark.xdist_group("celery"),
]
LOGGER = logging.getLogger("monitoring")
FIVE = [f"effect_{number}" for number in range(5)]


@pytest.fixture
def machines(
    dagster_instance: dg.DagsterInstance,
    database: SubscriptionDatabase,
    server: EmbeddedServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Machines]:
    (tmp_path / "client").mkdir()
    with redis_server(tmp_path) as broker:
        module = configure(tmp_path, broker)
        (tmp_path / "client" / f"{module}.py").write_text(TOYS)
        url = server.uri(database.engine.url.database)
        environment = {"DATABASE_URI": url, "DAGSTER_HOME": str(tmp_path), "TRACE": str(tmp_path / "trace")}
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        settings.cache_clear()
        monkeypatch.syspath_prepend(str(tmp_path / "client"))
        toys = importlib.import_module(module)
        with database.transaction() as session:
            toys.orchestrator.catalogue.apply()
            session.connection().exec_driver_sql("CREATE TABLE effects (process text, key text, host text)")
        with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
            machines = Machines(instance, tmp_path, {**os.environ, **environment}, module)
            try:
                yield machines
            finally:
                machines.stop()
                machines.launcher.celery.close()
        toys.orchestrator.database.dispose()
        del sys.modules[module]
    settings.cache_clear()


def monitored(machines: Machines, is_done: Callable[[], bool], seconds: float = 120) -> None:
    """As the daemon looks after runs, until something is so."""
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


def kill_one_in_the_middle(machines: Machines, runs: int) -> None:
    """The claim of the whole: one of two machines is lost while there is work, and nothing is lost or done twice."""
    machines.start("ams1", concurrency=2)
    machines.start("utr1", concurrency=2)
    launched = [machines.launch("five") for _ in range(runs)]
    eventually(lambda: len(machines.effects()) > runs // 4 and "ams1" in machines.hosts(), 120)
    machines.kill("ams1")
    monitored(machines, lambda: all_finished(machines, launched), 300)
    assert {machines.status(run) for run in launched} == {"SUCCESS"}
    effects = machines.effects()
    assert len(effects) == runs
    assert all(keys == FIVE for keys in effects.values())
    assert machines.hosts() == {"ams1", "utr1"}


def test_a_machine_lost_in_the_middle_of_forty_runs_loses_none_and_repeats_no_step(machines: Machines) -> None:
    kill_one_in_the_middle(machines, 40)


@pytest.mark.slow
def test_a_machine_lost_in_the_middle_of_two_hundred_runs(machines: Machines) -> None:
    kill_one_in_the_middle(machines, 200)
