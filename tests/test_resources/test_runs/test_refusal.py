"""Failures that Dagster shows as one sentence."""

from pathlib import Path

import dagster as dg
import pytest
from click.testing import CliRunner
from dagster._cli import create_dagster_cli

from resources.runs.refusal import InvalidRunConfig, Refusal

SENTENCE = "Subscription 17 is locked by process 4."


@dg.op(retry_policy=dg.RetryPolicy(max_retries=3))
def refuse() -> None:
    try:
        raise ValueError("the inside of the engine")
    except ValueError as error:
        raise Refusal(SENTENCE, {"details": dg.MetadataValue.json({"holder": 4})}) from error


@dg.job
def refusing() -> None:
    refuse()


def unusable(_: object) -> dict[str, object]:
    raise InvalidRunConfig(SENTENCE, {})


@dg.job(config=dg.ConfigMapping(unusable, {"inputs": dg.Field(str, is_required=False)}))
def misfed() -> None:
    refuse()


@pytest.fixture
def failure() -> dg.DagsterEvent:
    """The event of a refused step."""
    result = refusing.execute_in_process(raise_on_error=False)
    (event,) = [event for event in result.all_events if event.event_type is dg.DagsterEventType.STEP_FAILURE]
    return event


def test_refusal_is_its_sentence_alone(failure: dg.DagsterEvent) -> None:
    """What the run page shows: no stack, and not the error that was behind it."""
    error = failure.step_failure_data.error
    assert error is not None
    assert (error.to_string(), error.stack, error.cause) == (SENTENCE, [], None)


def test_refusal_keeps_its_details(failure: dg.DagsterEvent) -> None:
    data = failure.step_failure_data.user_failure_data
    assert data is not None
    assert (data.description, data.metadata["details"].value) == (SENTENCE, {"holder": 4})


def test_refusal_is_not_retried(failure: dg.DagsterEvent) -> None:
    assert failure.event_type is dg.DagsterEventType.STEP_FAILURE  # and no STEP_UP_FOR_RETRY


def fall() -> None:
    raise RuntimeError("fell")


def test_bug_is_shown_where_it_is() -> None:
    """Its own frames, and what caused it."""
    with pytest.raises(RuntimeError) as found:
        fall()
    (shown,) = Refusal("RuntimeError: fell", bug=found.value).user_code_process_error_infos
    assert (shown.message, shown.stack[-1].splitlines()[1].strip()) == (
        "RuntimeError: fell",
        'raise RuntimeError("fell")',
    )


def test_unusable_run_config_is_dagsters_own_error() -> None:
    with pytest.raises(dg.DagsterInvalidConfigError, match="is locked by process 4"):
        misfed.execute_in_process()


@pytest.mark.filterwarnings("ignore")  # Dagster announces its newer command
def test_unusable_run_config_is_one_sentence_in_the_shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    (tmp_path / "own.py").write_text("from tests.test_resources.test_runs.test_refusal import misfed\n")
    arguments = ["job", "execute", "-f", str(tmp_path / "own.py"), "-j", "misfed"]
    found = CliRunner().invoke(create_dagster_cli(), arguments)
    assert (found.exit_code, found.output.count(f"Error: {SENTENCE}\n"), "Traceback" in found.output) == (1, 1, False)
