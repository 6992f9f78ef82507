"""A secret that a step uses does not come out with what goes wrong: not in the reason, the traceback or an event."""

from typing import Any

import pytest
from dagster import EventLogEntry, deserialize_value
from pydantic import SecretStr

from ops.steps.failure_words import details_of, reason_of, traceback_of
from ops.steps.step import begin, step
from orchestrator_defs.jobs.decorators import task
from resources import secrecy
from resources.errors import ProcessFailure
from resources.runs.storage.event_log import PooledEventLogStorage
from resources.secrecy import MASK, redacted

PASSWORD = 'p4ss"w\\rd-of-the-device'


@pytest.fixture(autouse=True)
def _forget(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(secrecy, "_known", {})
    secrecy._pattern.cache_clear()
    yield
    secrecy._pattern.cache_clear()


def row_of(event: EventLogEntry) -> str:
    """An event as it is stored."""
    return str(PooledEventLogStorage._event_to_row(object.__new__(PooledEventLogStorage), event)["event"])


@step("Take")
def take() -> dict[str, Any]:
    return {"password": SecretStr(PASSWORD)}


@step("Use")
def use(password: SecretStr) -> None:
    login = f"ssh admin:{password.get_secret_value()}@router refused {password.get_secret_value()!r}"
    try:
        raise ValueError(login)
    except ValueError as error:
        raise ProcessFailure(f"no login: {login}", {"tried": [login]}) from error


@task("Leaky")
def leaky() -> Any:
    return begin >> take >> use


def test_a_secret_of_the_state_is_in_no_record_of_a_failure(engine_of: Any) -> None:
    engine = engine_of(leaky)
    result = engine.launch("leaky")
    process, line = engine.process(result.run_id), engine.ledger(result.run_id)["use"]
    recorded = [process.failed_reason, process.traceback, str(line.error)]
    events = [row_of(event) for event in engine.instance.all_logs(result.run_id)]
    assert "no login" in process.failed_reason
    assert MASK in process.failed_reason
    assert not [text for text in (*recorded, *events) if "p4ss" in str(text)]


@pytest.mark.parametrize("secret", [PASSWORD, "leaky-run", "DagsterEvent", "STEP_FAILURE", "step_key"])
def test_an_event_is_stored_without_secrets_and_can_be_read(engine_of: Any, secret: str) -> None:
    """Also when a secret is a word that Dagster's own events have."""
    engine = engine_of(leaky)
    events = engine.instance.all_logs(engine.launch("leaky").run_id)
    secrecy.remember(secret)
    for event in events:
        told = event._replace(user_message=f"seen {secret} here")
        read = deserialize_value(row_of(told), EventLogEntry)
        assert read.user_message == f"seen {MASK} here"
        assert (read.run_id, read.step_key, read.dagster_event_type) == (
            event.run_id,
            event.step_key,
            event.dagster_event_type,
        )


def test_a_failure_is_told_without_what_is_known_to_be_secret() -> None:
    secrecy.remember(PASSWORD)
    error = ProcessFailure(
        f"no login with {PASSWORD}", {"login": {"with": [PASSWORD, PASSWORD.encode(), repr(PASSWORD)]}}
    )
    try:
        raise error
    except ProcessFailure:
        told = [reason_of(error), details_of(error), traceback_of(error)]
    assert "no login with " + MASK in told[0]
    assert "p4ss" not in str(told)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("GET / with Authorization: Bearer eyJhbGciOi.eyJzdWIi.c2ln", f"GET / with Authorization: Bearer {MASK}"),
        ("postgresql://orchestrator:hush@db/x", f"postgresql://orchestrator:{MASK}@db/x"),
        ("POST /api/processes/1/callback/abcdefghijkl/progress", f"POST /api/processes/1/callback/{MASK}/progress"),
        ("see https://example.org:8080/a and mail me@example.org", None),
        ("the bearer of this", None),
    ],
)
def test_tokens_are_masked_wherever_they_stand(text: str, shown: str | None) -> None:
    assert redacted(text) == (shown or text)


def test_a_short_secret_does_not_mask_parts_of_words() -> None:
    secrecy.remember("lab")
    assert redacted("a label of the lab") == "a label of the lab"


def test_the_secrets_that_are_remembered_are_limited() -> None:
    for number in range(secrecy.MOST + 10):
        secrecy.remember(f"secret {number}")
    assert len(secrecy._known) == secrecy.MOST
    assert redacted(f"secret {secrecy.MOST + 5}") == MASK
