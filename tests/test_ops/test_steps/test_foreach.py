"""The same steps for each item of a list: what each item finds and gives, and where it continues."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta

import pytest
from dagster import DagsterExecutionInterruptedError
from sqlalchemy import text

from ops.steps.context import StepContext
from ops.steps.forms import SubmitFormPage
from ops.steps.step import begin, conditional, focussteps, step, step_group
from ops.waiting.parallel import foreach, parallel
from ops.waiting.wait_steps import inputstep, poll_step, retrystep
from orchestrator_defs.jobs.decorators import task
from resources import clock
from resources.database.session import current_session
from resources.errors import WorkflowDeclarationError
from resources.processes import ledger
from resources.types import Assignee, ProcessStatus

PORTS = ["a", "b", "c", "d"]


@pytest.fixture
def configure(calls):
    @step("Configure")
    def configure(port: str, context: StepContext):
        calls.note(port)
        return {"done": port.upper(), "key": context.idempotency_key}

    return configure


def over(each, *, ports=PORTS, behind=begin):
    """A task that gives a list of ports and does something for each."""

    @step("Find the ports")
    def find_ports():
        return {"ports": ports}

    @task("Configure all")
    def configure_all():
        return begin >> find_ports >> each >> behind

    return configure_all


def results_of(engine, process_id, key="configure_results"):
    return engine.process(process_id).state[key]


# --- the declaration ---


class Name(SubmitFormPage):
    """What a person is asked."""

    name: str


@inputstep("Ask", Assignee.NOC)
def ask():
    answer = yield Name
    return {"name": answer.name}


@step("Plain")
def plain() -> None: ...


@pytest.mark.parametrize(
    "steps",
    [step_group("Group", plain), parallel(plain, plain), foreach("ports", plain), ask, begin],
    ids=["group", "branches", "foreach", "input", "nothing"],
)
def test_foreach_takes_plain_steps_only(steps):
    with pytest.raises(WorkflowDeclarationError):
        foreach("ports", steps)


def test_item_needs_a_name_of_its_own():
    with pytest.raises(WorkflowDeclarationError, match="another name"):
        foreach("ports", plain, as_="ports")


def test_steps_that_differ_in_who_may_retry_need_a_word():
    """Which of them counts is not to be guessed."""
    guarded = [step(name, retry_auth_callback=lambda context: True)(plain.function) for name in ("One", "Two")]
    with pytest.raises(WorkflowDeclarationError, match="differ in who may retry"):
        foreach("ports", begin >> guarded[0] >> guarded[1])


# --- items ---


def test_results_stand_in_the_order_of_the_list(engine_of, configure):
    engine = engine_of(over(foreach("ports", configure, as_="port")))
    process_id = engine.run("configure_all")
    assert [one["done"] for one in results_of(engine, process_id)] == ["A", "B", "C", "D"]


def test_each_item_has_a_line_in_the_ledger_and_a_key_of_its_own(engine_of, configure):
    engine = engine_of(over(foreach("ports", configure, as_="port")))
    process_id = engine.run("configure_all")
    lines = engine.ledger(process_id)
    assert [key for key in lines if key.startswith("configure")] == [
        *(f"configure[{index}]" for index in range(4)),
        "configure",
    ]
    assert lines["configure[2]"].set["key"] == f"{process_id}:configure[2]"


def test_item_and_what_it_gave_are_not_left_in_the_state(engine_of, configure):
    """Else the items would get into each other's way."""
    engine = engine_of(over(foreach("ports", configure, as_="port", results="made")))
    state = engine.process(engine.run("configure_all")).state
    assert not {"port", "done", "key"} & set(state)
    assert len(state["made"]) == 4


def test_steps_for_an_item_see_what_those_before_gave_for_it(engine_of, configure):
    @step("Check")
    def check(port: str, done: str):
        return {"checked": port + done}

    each = foreach("ports", begin >> configure >> check, as_="port", name="each_port")
    engine = engine_of(over(each))
    process_id = engine.run("configure_all")
    assert [one["checked"] for one in results_of(engine, process_id, "each_port_results")] == ["aA", "bB", "cC", "dD"]
    assert "each_port[1].check" in engine.ledger(process_id)


def test_list_without_items_gives_one(engine_of, configure):
    engine = engine_of(over(foreach("ports", configure, as_="port"), ports=[]))
    assert results_of(engine, engine.run("configure_all")) == []


@pytest.mark.parametrize(("ports", "message"), [("abc", "is not a list"), ({"a": 1}, "is not a list")])
def test_what_is_no_list_fails_the_step(engine_of, configure, ports, message):
    engine = engine_of(over(foreach("ports", configure, as_="port"), ports=ports))
    process_id = engine.run("configure_all")
    assert message in engine.process(process_id).failed_reason
    assert engine.statuses(process_id)["configure"] == "failed"


def test_missing_list_is_named(engine_of, configure):
    engine = engine_of(over(foreach("parts", configure, as_="port")))
    assert "'parts'" in engine.process(engine.run("configure_all")).failed_reason


# --- stops ---


def test_failed_item_is_where_the_process_goes_on(engine_of, configure, calls):
    """The items before it are not done again."""
    engine = engine_of(over(foreach("ports", configure, as_="port")))
    calls.broken = {"c"}
    process_id = engine.run("configure_all")
    process = engine.process(process_id)
    assert (process.last_status, process.last_step) == ("failed", "Configure [2]")
    calls.broken = set()
    assert engine.resume(process_id) is ProcessStatus.COMPLETED
    assert calls == {"a": 1, "b": 1, "c": 2, "d": 1}
    assert [one["done"] for one in results_of(engine, process_id)] == ["A", "B", "C", "D"]


def test_crash_between_items_repeats_none(engine_of, calls, monkeypatch):
    """The run is gone without a word, and another one continues."""

    @step("Configure")
    def configure(port: str):
        calls.note(port)
        if port == "c" and calls["c"] == 1:
            raise DagsterExecutionInterruptedError

    engine = engine_of(over(foreach("ports", configure, as_="port")))
    process_id = engine.service.starts.start("configure_all", None, user="tester")
    with monkeypatch.context() as gone, suppress(DagsterExecutionInterruptedError):
        gone.setattr(ledger, "record_failure", lambda *arguments, **options: None)
        engine.service.runs.execute(process_id, user="tester")
    assert engine.process(process_id).last_status == "running"
    assert engine.resume(process_id) is ProcessStatus.COMPLETED
    assert calls == {"a": 1, "b": 1, "c": 2, "d": 1}


def test_lost_answer_of_a_commit_repeats_no_item(engine_of, configure, calls, monkeypatch):
    """The server has committed the item; only its answer did not come."""
    engine = engine_of(over(foreach("ports", configure, as_="port")))
    real, lost = ledger.record_step, []

    def record(record, **options):
        real(record, **options)
        if record.step_key == "configure[1]" and not lost:
            lost.append(1)
            current_session().commit()
            raise ConnectionError("no answer")

    monkeypatch.setattr(ledger, "record_step", record)
    process_id = engine.run("configure_all")
    assert engine.process(process_id).last_status == "completed"
    assert [one["done"] for one in results_of(engine, process_id)] == ["A", "B", "C", "D"]
    assert calls["b"] == 1


def test_skipped_item_gives_what_the_person_says(engine_of, configure, calls):
    engine = engine_of(over(foreach("ports", configure, as_="port")))
    calls.broken = {"b"}
    process_id = engine.run("configure_all")
    assert (
        engine.service.interventions.skip(process_id, user="noc", reason="by hand", changes={"done": "hand"})
        == "configure[1]"
    )
    assert "done" not in engine.process(process_id).state
    assert engine.resume(process_id) is ProcessStatus.COMPLETED
    assert [one["done"] for one in results_of(engine, process_id)] == ["A", "hand", "C", "D"]
    assert calls["b"] == 1


def test_going_back_to_the_step_does_all_items_again(engine_of, configure, calls):
    """Under other idempotency keys, for it is done again on purpose."""

    @step("Behind")
    def behind():
        calls.note("behind")

    engine = engine_of(over(foreach("ports", configure, as_="port"), behind=begin >> behind))
    calls.broken = {"behind"}
    process_id = engine.run("configure_all")
    engine.service.interventions.go_back(process_id, "configure", user="noc", reason="again")
    calls.broken = set()
    assert engine.resume(process_id) is ProcessStatus.COMPLETED
    assert {calls[port] for port in PORTS} == {2}
    assert results_of(engine, process_id)[0]["key"] == f"{process_id}:configure[0]:1"


def test_going_back_before_a_half_done_list_forgets_its_items(engine_of, configure, calls):
    """The list may be another one then."""
    engine = engine_of(over(foreach("ports", configure, as_="port")))
    calls.broken = {"c"}
    process_id = engine.run("configure_all")
    engine.service.interventions.go_back(process_id, "find_ports", user="noc", reason="again")
    calls.broken = set()
    assert engine.resume(process_id) is ProcessStatus.COMPLETED
    assert calls == {"a": 2, "b": 2, "c": 2, "d": 1}


def test_pause_begins_no_further_item(engine_of, calls):
    def set_pause(paused):
        with engine.database.transaction() as session:
            session.execute(text("UPDATE engine_settings SET global_lock = :paused"), {"paused": paused})

    @step("Configure")
    def configure(port: str):
        calls.note(port)
        if port == "b":
            set_pause(True)

    engine = engine_of(over(foreach("ports", configure, as_="port")))
    process_id = engine.run("configure_all")
    assert (engine.process(process_id).last_status, dict(calls)) == ("waiting", {"a": 1, "b": 1})
    set_pause(False)
    assert engine.wake() == [ProcessStatus.COMPLETED]
    assert dict(calls) == {"a": 1, "b": 1, "c": 1, "d": 1}


def test_abort_stops_before_the_next_item(engine_of, calls):
    @step("Configure")
    def configure(port: str, context: StepContext):
        calls.note(port)
        if port == "b":
            with ThreadPoolExecutor(1) as somebody:  # in a transaction of their own
                somebody.submit(engine.service.interventions.abort, context.process_id, user="noc").result()

    engine = engine_of(over(foreach("ports", configure, as_="port")))
    process_id = engine.run("configure_all")
    assert (engine.process(process_id).last_status, dict(calls)) == ("aborted", {"a": 1, "b": 1})


def test_retry_step_waits_at_its_item(engine_of, calls):
    @retrystep("Configure", quick_tries=0)
    def configure(port: str):
        calls.note(port)

    engine = engine_of(over(foreach("ports", configure, as_="port")))
    calls.broken = {"b"}
    process_id = engine.run("configure_all")
    assert engine.process(process_id).last_status == "waiting"
    calls.broken = set()
    with clock.moved(timedelta(minutes=2)):
        assert engine.wake() == [ProcessStatus.COMPLETED]
    assert calls == {"a": 1, "b": 2, "c": 1, "d": 1}


def test_retry_step_is_tried_at_once_at_its_item(engine_of, calls):
    @retrystep("Configure", quick_tries=1)
    def configure(port: str):
        calls.note(port)
        if port == "c" and calls["c"] == 1:
            raise ConnectionError("away")

    engine = engine_of(over(foreach("ports", configure, as_="port")))
    assert engine.process(engine.run("configure_all")).last_status == "completed"
    assert calls == {"a": 1, "b": 1, "c": 2, "d": 1}


def test_poll_step_looks_for_each_item(engine_of, calls):
    @poll_step("Look", every=timedelta(minutes=1))
    def look(port: str):
        calls.note(port)
        return {"up": True} if calls[port] > 1 else None

    engine = engine_of(over(foreach("ports", look, as_="port"), ports=["a", "b"]))
    process_id = engine.run("configure_all")
    with clock.moved(timedelta(minutes=1)):
        assert engine.wake() == [ProcessStatus.WAITING]
        with clock.moved(timedelta(minutes=1)):
            assert engine.wake() == [ProcessStatus.COMPLETED]
    assert results_of(engine, process_id, "look_results") == [{"up": True}, {"up": True}]


# --- around and inside ---


def test_condition_around_it_skips_all(engine_of, configure, calls):
    engine = engine_of(over(conditional(lambda state: False)(foreach("ports", configure, as_="port"))))
    process_id = engine.run("configure_all")
    assert engine.statuses(process_id)["configure"] == "skipped"
    assert not calls


def test_condition_inside_it_is_asked_for_each_item(engine_of, configure, calls):
    inside = conditional(lambda state: state["port"] != "b")(configure)
    engine = engine_of(over(foreach("ports", inside, as_="port")))
    process_id = engine.run("configure_all")
    assert engine.statuses(process_id)["configure[1]"] == "skipped"
    assert results_of(engine, process_id)[1] == {}
    assert calls == {"a": 1, "c": 1, "d": 1}


def test_list_and_results_stand_in_the_part_that_is_focused(engine_of, configure):
    @step("Prepare")
    def prepare(ports: list):
        return {"part": {"names": ports}}

    each = focussteps("part")(foreach("names", configure, as_="port"))
    engine = engine_of(over(begin >> prepare >> each))
    part = engine.process(engine.run("configure_all")).state["part"]
    assert [one["done"] for one in part["configure_results"]] == ["A", "B", "C", "D"]


def test_it_stands_in_a_group(engine_of, configure):
    engine = engine_of(over(step_group("Ports", foreach("ports", configure, as_="port"), key="all")))
    process_id = engine.run("configure_all")
    assert engine.process(process_id).last_status == "completed"
    assert engine.statuses(process_id)["all.configure[3]"] == "success"


def test_it_stands_in_a_branch(engine_of, configure, calls):
    each = foreach("ports", configure, as_="port")
    engine = engine_of(over(parallel(each, plain)))
    calls.broken = {"b"}
    process_id = engine.run("configure_all")
    calls.broken = set()
    assert engine.resume(process_id) is ProcessStatus.COMPLETED
    assert len(results_of(engine, process_id)) == 4


# --- cost ---


def test_each_item_costs_the_same_number_of_statements(engine_of, configure, statements):
    """However many there are."""
    counts = []
    for count in (2, 6, 10):
        engine = engine_of(over(foreach("ports", configure, as_="port"), ports=["x"] * count))
        process_id = engine.service.starts.start("configure_all", None, user="tester")
        statements.clear()
        engine.service.runs.execute(process_id, user="tester")
        counts.append(statements.count)
    assert counts[2] - counts[1] == counts[1] - counts[0]
    assert (counts[1] - counts[0]) / 4 <= 4
