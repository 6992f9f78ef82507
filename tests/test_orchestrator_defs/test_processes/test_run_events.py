"""What was done to a process from outside of its run is read in that run."""

from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import pytest
from dagster import DagsterEventType, DagsterInstance

from orchestrator_defs.sensors.sweeper import Sweeper
from resources.runs.run_events import report_event
from tests.engine import Engine
from tests.test_orchestrator_defs.test_processes.toys import WHY, asking, set_row

DONE: dict[str, tuple[Callable[[Any, UUID], Any], str]] = {
    "retry": (
        lambda service, process_id: service.interventions.retry(process_id, user="ada"),
        "ada resumed the process from its last committed step.",
    ),
    "resume_all": (
        lambda service, process_id: service.interventions.resume_all(user="ada"),
        "ada resumed the process from its last committed step.",
    ),
    "skip": (
        lambda service, process_id: service.interventions.skip(
            process_id, user="ada", reason=WHY, changes={"second": 2}
        ),
        f"ada skipped the step 'Second': {WHY}",
    ),
    "go_back": (
        lambda service, process_id: service.interventions.go_back(process_id, "first", user="ada", reason=WHY),
        f"ada sent the process back to the step 'First': {WHY}",
    ),
    "abort": (
        lambda service, process_id: service.interventions.abort(process_id, user="ada", reason=WHY),
        f"ada aborted the process: {WHY}. It was failed.",
    ),
}


def told(instance: DagsterInstance, run_id: UUID | str | None) -> str:
    """The engine's events of a run, as people read them."""
    return "\n".join(
        entry.message
        for entry in instance.all_logs(str(run_id), of_type=DagsterEventType.ENGINE_EVENT)
        if "steps in process" not in entry.message
    )


@pytest.mark.parametrize("name", sorted(DONE))
def test_intervention_is_an_event_of_the_run_that_stopped(failed: tuple[Engine, UUID], name: str) -> None:
    """Who, what and why, whatever door it came through."""
    engine, process_id = failed
    act, sentence = DONE[name]
    act(engine.service, process_id)
    assert sentence in told(engine.instance, process_id)


def test_answer_is_an_event_of_the_run_that_asked(engine_of: Callable[..., Engine]) -> None:
    engine = engine_of(asking)
    process_id = engine.run("asking")
    engine.service.answers.answer(process_id, {"name": "x"}, user="ada")
    assert told(engine.instance, process_id) == "ada filled in the form; the process continues in its next run."


def test_run_that_a_person_makes_for_a_failed_process_is_named(failed: tuple[Engine, UUID]) -> None:
    engine, process_id = failed
    engine.service.runs.execute(process_id, user="ada")
    run_id = engine.process(process_id).run_id
    assert told(engine.instance, process_id) == f"ada resumed the process; it continues in run {run_id}."


def test_refused_intervention_is_no_event(engine_of: Callable[..., Engine]) -> None:
    engine = engine_of(asking)
    process_id = engine.run("asking")
    with pytest.raises(Exception, match="name"):
        engine.service.answers.answer(process_id, {}, user="ada")
    assert told(engine.instance, process_id) == ""


def test_recovery_is_an_event(failed: tuple[Engine, UUID]) -> None:
    """The run whose process continued without it says so, and where."""
    engine, process_id = failed
    set_row(engine, process_id, last_status="running")
    Sweeper(engine.service.served.first, engine.instance).sweep()
    run_id = engine.process(process_id).run_id
    sentence = f"Recovered: the process continues from its last committed step, in run {run_id}."
    assert told(engine.instance, process_id).startswith(sentence)


def test_process_that_the_sweeper_gives_up_says_so(failed: tuple[Engine, UUID]) -> None:
    engine, process_id = failed
    set_row(engine, process_id, last_status="running", recoveries=99)
    Sweeper(engine.service.served.first, engine.instance).sweep()
    assert told(engine.instance, process_id).startswith("The process has failed: Run ")


def test_event_log_that_cannot_be_written_changes_nothing(
    failed: tuple[Engine, UUID], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    engine, process_id = failed

    def away(*_: object) -> None:
        raise OSError("no database")

    monkeypatch.setattr(engine.instance, "report_engine_event", away)
    engine.service.interventions.retry(process_id, user="ada")
    assert (engine.process(process_id).last_status, "lacks this" in caplog.text) == ("resumed", True)


def test_event_of_a_run_that_dagster_has_no_more_goes_to_the_first(failed: tuple[Engine, UUID]) -> None:
    engine, process_id = failed
    report_event(engine.instance, process_id, str(uuid4()), "Lost.")
    assert told(engine.instance, process_id) == "Lost."
