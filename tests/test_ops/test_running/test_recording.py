"""What is recorded and shown of a process, whatever its texts are and its exceptions do."""

import asyncio
import json
from typing import Any

import pytest
from pydantic import SecretStr

from ops.running import execution
from ops.running.report import failure_metadata
from ops.steps.state import readable
from ops.steps.step import begin, step
from orchestrator_defs.api.security.problems import problem
from orchestrator_defs.jobs.decorators import task
from resources.errors import InconsistentData, ProcessFailure, StepsChanged
from tests.test_ops.counted_steps import failure_of

ESCAPES = {"escape": "\\u0000", "backslash": "C:\\", "escaped surrogate": "\\ud800", "escaped escape": '\\\\u0000"'}
CHARACTERS = {"nul": "\x00", "low half": "\udc00", "high half": "\ud800"}
TEXTS = {**ESCAPES, **CHARACTERS}
any_text = pytest.mark.parametrize("odd", TEXTS.values(), ids=TEXTS)
any_character = pytest.mark.parametrize("odd", CHARACTERS.values(), ids=CHARACTERS)


def doing(function: Any) -> Any:
    """A task of one step."""

    @step("Only")
    def only() -> Any:
        return function()

    @task("Single")
    def single() -> Any:
        return begin >> only

    return single


def raising(error: BaseException) -> Any:
    def fail() -> None:
        raise error

    return doing(fail)


class Hostile(Exception):
    """Whatever is asked of it raises."""

    def __str__(self) -> str:
        raise RuntimeError("no text")

    @property
    def details(self) -> Any:
        raise RuntimeError("no details")


class Leaving(BaseException):
    """Whatever is asked of it leaves Python."""

    def __str__(self) -> str:
        raise SystemExit(9)

    @property
    def details(self) -> Any:
        raise KeyboardInterrupt


class Unclear:
    """As an array: neither true nor false, and without words."""

    def __bool__(self) -> bool:
        raise ValueError("ambiguous")

    def __repr__(self) -> str:
        raise ValueError("no words")


def endless() -> list[Any]:
    held: list[Any] = [1]
    held.append({"again": held, "__secret__": 1})
    return held


def deep() -> Any:
    value: Any = "bottom"
    for _ in range(5000):
        value = [value]
    return value


# --- failures ---


@any_text
def test_failure_is_recorded_whatever_its_texts(engine_of: Any, odd: str) -> None:
    """In its message, and in keys and values of its details."""
    error = ProcessFailure(f"seen {odd} in it", details=[{odd: odd, "nested": {odd: [odd, (odd,)]}}])
    error.add_note(odd)
    engine = engine_of(raising(error))
    result = engine.launch("single")
    process, line = engine.process(result.run_id), engine.ledger(result.run_id)["only"]
    assert (process.last_status, process.failed_reason[:5]) == ("failed", "seen ")
    assert "seen" in failure_of(result) and line.error["details"]
    assert odd in CHARACTERS.values() or odd in process.failed_reason


@pytest.mark.parametrize("details", [Unclear(), endless(), deep(), {"n": 10**5000}, {(1, None): {2.5: {b"\xff"}}}])
def test_failure_is_recorded_whatever_its_details(engine_of: Any, details: Any) -> None:
    engine = engine_of(raising(ProcessFailure("odd", details=details)))
    assert engine.process(engine.run("single")).failed_reason == "odd"


@pytest.mark.parametrize("error", [Hostile(), Leaving()], ids=["raises", "leaves"])
def test_failure_is_recorded_whatever_the_exception_does(engine_of: Any, error: BaseException) -> None:
    engine = engine_of(raising(error))
    process = engine.process(engine.run("single"))
    assert (process.last_status, process.failed_reason) == ("failed", f"{type(error).__name__}: it has no text")


@any_text
def test_metadata_of_a_failure_is_made_of_any_text(odd: str) -> None:
    found = failure_metadata(InconsistentData("drift", details=[{odd: odd}]))
    assert json.dumps(found["details"].value.records[0].data).encode()  # type: ignore[union-attr]


@pytest.mark.parametrize("error", [SystemExit(3), asyncio.CancelledError()], ids=["exit", "cancelled"])
def test_step_that_leaves_python_is_no_termination(engine_of: Any, error: BaseException) -> None:
    """Only a person or the engine terminates a run, and the reason says what happened."""
    engine = engine_of(raising(error))
    reason = engine.process(engine.launch("single").run_id).failed_reason
    assert "terminated" not in reason and ("sys.exit(3)" in reason or "CancelledError" in reason)


# --- the engine's own errors ---


def test_error_of_the_recorder_fails_the_process_with_both_reasons(engine_of: Any, monkeypatch: Any) -> None:
    """A run that nobody could learn from is not repeated."""
    engine = engine_of(raising(ValueError("the step's own")))

    def broken(_error: BaseException) -> Any:
        raise TypeError("the recorder's own")

    monkeypatch.setattr(execution, "line_of", broken)
    process = engine.process(engine.launch("single").run_id)
    assert process.last_status == "failed"
    assert "the recorder's own" in process.failed_reason and "the step's own" in process.failed_reason


def test_error_after_the_commit_fails_the_process(engine_of: Any, monkeypatch: Any) -> None:
    """It is resumed after the committed step."""
    engine = engine_of(doing(dict))

    def broken(*_arguments: Any) -> Any:
        raise TypeError("no metadata")

    with monkeypatch.context() as patch:
        patch.setattr(execution, "step_metadata", broken)
        process_id = engine.launch("single").run_id
    assert "no metadata" in engine.process(process_id).failed_reason
    assert engine.resume(process_id) == "completed"


def test_engine_that_refuses_a_continued_run_says_so_at_once(engine_of: Any, monkeypatch: Any) -> None:
    """Three more runs would be refused, too."""
    engine = engine_of(doing(dict))
    process_id = engine.service.starts.start("single", None, user="starter")

    def changed(*_arguments: Any) -> None:
        raise StepsChanged("Steps are missing.")

    monkeypatch.setattr("ops.running.segment.check_may_act", changed)
    engine.service.runs.execute(process_id, user="starter")
    process = engine.process(process_id)
    assert (process.last_status, process.failed_reason) == ("failed", "Steps are missing.")


# --- values ---


@pytest.mark.parametrize("odd", ESCAPES.values(), ids=ESCAPES)
def test_escape_in_a_text_stays_as_it_is(engine_of: Any, odd: str) -> None:
    engine = engine_of(doing(lambda: {"text": odd, "deep": [{odd: odd}]}))
    state = engine.process(engine.run("single")).state
    assert (state["text"], state["deep"]) == (odd, [{odd: odd}])


@any_character
@pytest.mark.parametrize("place", ["value", "key", "deep key", "secret"])
def test_character_that_cannot_be_stored_is_refused_by_name(engine_of: Any, odd: str, place: str) -> None:
    result = {
        "value": {"text": odd},
        "key": {odd: 1},
        "deep key": {"held": [{odd: 1}]},
        "secret": {"held": SecretStr(odd)},
    }[place]
    engine = engine_of(doing(lambda: result))
    assert "which PostgreSQL cannot store; leave it out" in engine.process(engine.run("single")).failed_reason


# --- renderers ---


@any_text
def test_value_for_people_keeps_escapes_and_loses_only_what_cannot_be_stored(odd: str) -> None:
    shown = readable({odd: [odd]})
    ((key, (value,)),) = shown.items()
    assert key == value == (odd if odd in ESCAPES.values() else odd.replace("\0", "").encode(errors="replace").decode())


@any_text
def test_problem_is_rendered_whatever_it_repeats(odd: str) -> None:
    body = problem(400, f"{odd} is wrong", input={odd: odd}).body
    assert json.loads(bytes(body))["status"] == 400


def test_marked_secret_in_a_tuple_is_masked() -> None:
    assert "hush" not in str(readable({"pair": ({"__secret__": "hush"},)}))
