"""The pictures of the documents show what the code does: each status, each change of it, each room."""

import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from threading import Thread
from typing import Any

import pytest
from sqlalchemy import text

from ops.steps.context import StepContext
from ops.steps.forms import SubmitFormPage
from ops.steps.step import begin, step
from ops.waiting.wait_steps import callback_step, inputstep, retrystep
from orchestrator_defs.jobs.decorators import task
from orchestrator_defs.testing import Testbed
from resources.database.session import SubscriptionDatabase
from resources.errors import ExternalSystemUnavailable, InconsistentData
from resources.processes.interventions import NOT_RUNNING, UNFINISHED
from resources.types import ProcessStatus, SubscriptionLifecycle
from tests.architecture import FLOORS, ROOT
from tests.rooms import ALLOWED

ENDS = "[*]"
Edges = set[tuple[str, str]]


def picture(page: str, kind: str) -> str:
    """The only picture of this kind on a page."""
    found = re.findall(rf"```mermaid\n{kind}[^\n]*\n(.*?)```", (ROOT / "docs" / page).read_text(), re.DOTALL)
    (only,) = found
    return str(only)


def drawn(page: str) -> Edges:
    return set(re.findall(r"^ *(\S+) --> ([^\s:]+)", picture(page, "stateDiagram-v2"), re.MULTILINE))


def statuses(edges: Edges) -> set[str]:
    return {status for edge in edges for status in edge} - {ENDS}


def test_picture_of_a_process_has_every_status() -> None:
    edges = drawn("processes.md")

    assert statuses(edges) == set(ProcessStatus)
    assert {before for before, after in edges if after == ENDS} == set(ProcessStatus) - UNFINISHED
    assert {before for before, after in edges if after == "resumed"} == NOT_RUNNING | {"running"}


def test_picture_of_a_life_has_statuses_of_subscriptions() -> None:
    assert statuses(drawn("model_a_product.md")) <= set(SubscriptionLifecycle)


def test_picture_of_the_floors_has_rooms_that_exist() -> None:
    names = {room.rpartition(".")[2] for room in ALLOWED} | set(FLOORS)
    words = re.sub(r'"[^"]*"', "", picture("architecture.md", "flowchart"))
    shown = set(re.findall(r"\b[a-z_]{3,}\b", words)) - {
        "subgraph",
        "direction",
        "end",
        "top",
        "middle",
        "bottom",
        "face",
    }

    assert {word for word in shown if word not in names} <= {"doors", "ptop", "pmiddle", "pbottom", "rows"}


# --- what really happens ---

DONE: set[str] = set()


class Kind(SubmitFormPage):
    kind: str


class Answer(SubmitFormPage):
    answer: str


@step("Act")
def act(kind: str, context: StepContext) -> None:
    """Fails at first, as its kind says."""
    if kind in DONE:
        return
    DONE.add(kind)
    errors = {"failed": RuntimeError("no"), "api_unavailable": ExternalSystemUnavailable("no")}
    errors["inconsistent_data"] = InconsistentData("no")
    if kind == "aborting":
        person = Thread(target=ABORT[0], args=[context.process_id])
        person.start()
        person.join()
    else:
        raise errors[kind]


ABORT: list[Callable[[Any], Any]] = []


@task("Act", initial_input_form=Kind)
def act_out() -> Any:
    return begin >> act


@inputstep("Ask", "NOC")
def ask() -> Any:
    return Answer


@step("Send")
def send(callback_route: str) -> None: ...


@step("Look")
def look() -> None: ...


@retrystep("Try", quick_tries=0, first_pause=timedelta(minutes=1))
def attempt() -> None:
    if "waiting" not in DONE:
        DONE.add("waiting")
        raise RuntimeError("not yet")


@task("Wait for everything")
def wait_for_everything() -> Any:
    return begin >> ask >> callback_step("Call", action_step=send, validate_step=look) >> attempt


@pytest.fixture
def changes(database: SubscriptionDatabase) -> Iterator[Callable[[], Edges]]:
    """Every change of a process's status in the database, whoever makes it."""
    with database.transaction() as session:
        session.execute(text("create table seen (before text, after text)"))
        session.execute(
            text(
                "create function see() returns trigger language plpgsql as $$ begin"
                " if tg_op = 'INSERT' then insert into seen values ('[*]', new.last_status);"
                " elsif old.last_status <> new.last_status then"
                " insert into seen values (old.last_status, new.last_status); end if; return null; end $$"
            )
        )
        session.execute(
            text("create trigger see after insert or update on processes for each row execute function see()")
        )

    def seen() -> Edges:
        with database.transaction(read_only=True) as session:
            return {(before, after) for before, after in session.execute(text("select distinct * from seen"))}

    yield seen
    with database.transaction() as session:
        session.execute(text("drop trigger see on processes"))
        session.execute(text("drop function see"))
        session.execute(text("drop table seen"))


def test_processes_change_their_status_as_the_picture_shows(
    changes: Callable[[], Edges], testbed_of: Callable[..., Testbed]
) -> None:
    DONE.clear()
    bed = testbed_of([act_out, wait_for_everything])
    ABORT[:] = [lambda process_id: bed.processes.interventions.abort(process_id, user="tester")]

    for kind in ("failed", "api_unavailable", "inconsistent_data"):
        run = bed.run("act_out", {"kind": kind})
        run.assert_status(kind)
        run.retry().assert_completed()
    bed.run("act_out", {"kind": "aborting"}).assert_aborted()
    bed.run("wait_for_everything").answer({"answer": "yes"}).callback({}).retry().assert_completed()

    ends = {(before, after) for before, after in drawn("processes.md") if after == ENDS}
    assert changes() == drawn("processes.md") - ends - {("running", "resumed")}  # which a lost worker's test has
