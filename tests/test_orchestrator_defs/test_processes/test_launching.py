"""Launches from the daemon: what the launcher cannot do now is no reason to fail a process."""

from collections.abc import Callable

import pytest

from ops.steps.step import begin, step
from orchestrator_defs.jobs.decorators import task
from orchestrator_defs.processes import launching
from orchestrator_defs.processes.process_runs import ProcessRuns
from resources.errors import TransportError
from tests.engine import Engine


@step("Do it")
def do_it() -> None: ...


@task("Work")
def work():
    return begin >> do_it


@pytest.mark.parametrize("error", TransportError.__subclasses__())
def test_process_is_not_failed_because_the_database_is_away_at_its_launch(
    engine_of: Callable[..., Engine], monkeypatch: pytest.MonkeyPatch, error: type[TransportError]
) -> None:
    engine = engine_of(work)
    process_id = engine.service.starts.start("work", {}, user="a")

    def refuse(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(launching, "launches_to_workers", lambda _: True)
    monkeypatch.setattr(ProcessRuns, "launch", refuse)
    launched = launching.launch_all(engine.service, [process_id])

    assert "is not launched yet" in launched.problems[0]
    assert engine.process(process_id).last_status == "created"
