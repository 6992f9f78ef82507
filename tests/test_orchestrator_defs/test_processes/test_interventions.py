"""Hands on a process: what people can do with one that stands still or is at work, and what is kept of it."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from uuid import UUID

import pytest
from dagster import DagsterRunStatus
from pydantic import SecretStr
from sqlalchemy import text, update

from ops.steps.context import StepContext
from ops.steps.forms import SubmitFormPage
from ops.steps.step import begin, conditional, focussteps, step, step_group
from ops.waiting.wait_steps import callback_step, inputstep, retrystep, wait_until
from orchestrator_defs.jobs.decorators import task
from orchestrator_defs.location import build_definitions
from orchestrator_defs.processes.process_jobs import process_jobs
from resources import clock, tags
from resources.database.tables import ProcessTable, SubscriptionTable
from resources.errors import (
    KeyUsed,
    NotWaiting,
    ProcessError,
    StateError,
    SubscriptionLocked,
    UnknownProcess,
)
from resources.processes.process_fields import PROCESS_FIELDS
from resources.processes.process_lists import count_processes, list_processes
from resources.types import Assignee, ProcessStatus, Target
from tests.toy_network import DEVICE, OTHER, World, device_workflows

WHY = "because the test says so"


class Broken:
    """Which steps are told to fail, and how often each was called."""

    def __init__(self):
        self.steps = set()
        self.calls = []

    def __call__(self, name):
        self.calls.append(name)
        if name in self.steps:
            raise RuntimeError(f"{name} is broken")


@pytest.fixture
def broken():
    return Broken()


@pytest.fixture
def three(broken):
    """A task of three steps, of which the last takes what the second gives."""

    @step("First")
    def first():
        broken("first")
        return {"first": 1, "password": SecretStr("old")}

    @step("Second")
    def second(first: int):
        broken("second")
        return {"second": first + 1}

    @step("Third")
    def third(second: int, password: SecretStr):
        broken("third")
        return {"third": second + 1, "password_seen": password.get_secret_value() == "new"}

    @task("Three")
    def three():
        return begin >> first >> second >> third

    return three


@pytest.fixture
def failed(engine_of, three, broken):
    """An engine, and a process that failed at the second step; what broke it is gone."""
    engine = engine_of(three)
    broken.steps = {"second"}
    process_id = engine.run("three")
    assert engine.process(process_id).last_status == "failed"
    broken.steps = set()
    return engine, process_id


def proceed(engine, process_id):
    return engine.service.runs.execute(process_id, user="goer")


# --- retry, resume ---


def test_retry_tries_the_failed_step_again(failed, broken):
    engine, process_id = failed
    engine.service.interventions.retry(process_id, user="ada")
    assert proceed(engine, process_id) is ProcessStatus.COMPLETED
    assert broken.calls == ["first", "second", "second", "third"]


def test_retry_of_what_waits_for_better_times_does_not_wait(engine_of):
    tries = []

    @retrystep("Call", quick_tries=0)
    def call():
        tries.append(1)
        if len(tries) == 1:
            raise ConnectionError("away")

    @task("Calling")
    def calling():
        return begin >> call

    engine = engine_of(calling)
    process_id = engine.run("calling")
    engine.service.interventions.retry(process_id, user="ada")
    assert proceed(engine, process_id) is ProcessStatus.COMPLETED


def test_retry_of_what_has_ended_is_refused(failed):
    engine, process_id = failed
    engine.resume(process_id)
    with pytest.raises(NotWaiting, match="is completed and cannot be set going"):
        engine.service.interventions.retry(process_id, user="ada")


def test_retry_twice_sets_going_once(failed):
    engine, process_id = failed
    engine.service.interventions.retry(process_id, user="ada")
    with pytest.raises(NotWaiting, match="is resumed"):
        engine.service.interventions.retry(process_id, user="bob")


class Name(SubmitFormPage):
    name: str


@inputstep("Ask", Assignee.NOC)
def ask():
    page = yield Name
    return {"name": page.name}


@task("Asking")
def asking():
    return begin >> ask


def test_resume_answers_what_waits_for_input(engine_of):
    engine = engine_of(asking)
    process_id = engine.run("asking")
    engine.service.interventions.resume(process_id, {"name": "x"}, user="ada")
    assert proceed(engine, process_id) is ProcessStatus.COMPLETED
    assert engine.process(process_id).state["name"] == "x"


# --- resume all ---


def test_resume_all_sets_every_stopped_task_going_and_nothing_else(engine_of, three, broken):
    """Failures of each kind; not what has ended, nor what is no task."""
    engine = engine_of(three, asking)
    suspended, done = engine.run("asking"), engine.run("three")
    broken.steps = {"second"}
    stopped = {status: engine.run("three") for status in ("failed", "api_unavailable", "inconsistent_data", "waiting")}
    no_task = engine.run("three")
    for status, process_id in stopped.items():
        set_row(engine, process_id, last_status=status)
    set_row(engine, no_task, is_task=False)
    assert set(engine.service.interventions.resume_all(user="ada")) == set(stopped.values())
    assert {engine.process(process_id).last_status for process_id in stopped.values()} == {"resumed"}
    kept = [engine.process(process_id).last_status for process_id in (suspended, done, no_task)]
    assert kept == ["suspended", "completed", "failed"]


def test_two_that_resume_all_at_once_share_the_tasks(engine_of, three, broken):
    engine = engine_of(three)
    broken.steps = {"second"}
    stopped = sorted(engine.run("three") for _ in range(4))
    with ThreadPoolExecutor(2) as threads:
        barrier = threading.Barrier(2)

        def resume_all(user):
            barrier.wait()
            return engine.service.interventions.resume_all(user=user)

        one, other = threads.map(resume_all, ("ada", "bob"))
    assert sorted(one + other) == stopped


def test_resume_all_leaves_what_waits_for_a_moment(engine_of):
    @task("Later")
    def later():
        return begin >> wait_until(lambda state: clock.now() + timedelta(hours=1), name="wait_an_hour")

    engine = engine_of(later)
    engine.run("later")
    assert engine.service.interventions.resume_all(user="ada") == []


def set_row(engine, process_id, **values):
    with engine.database.transaction() as session:
        session.execute(update(ProcessTable).where(ProcessTable.process_id == process_id).values(**values))


# --- skip ---


def test_skipped_step_leaves_its_edits_and_the_process_goes_on(failed, broken):
    engine, process_id = failed
    assert engine.service.interventions.skip(process_id, user="ada", reason=WHY, changes={"second": 7}) == "second"
    assert proceed(engine, process_id) is ProcessStatus.COMPLETED
    assert engine.process(process_id).state["third"] == 8
    assert broken.calls == ["first", "second", "third"]


def test_ledger_keeps_who_skipped_why_and_what_was_before(failed):
    engine, process_id = failed
    engine.service.interventions.skip(process_id, user="ada", reason=WHY, changes={"second": 7, "first": 9})
    line = engine.ledger(process_id)["second"]
    assert (line.status, line.created_by, line.set) == ("skipped", "ada", {"second": 7, "first": 9})
    assert line.error == {
        "skipped_by": "ada",
        "reason": WHY,
        "status": "failed",
        "failure": "RuntimeError: second is broken",
        "before": {"first": 1},
    }


def test_skip_without_a_reason_is_refused(failed):
    engine, process_id = failed
    with pytest.raises(ProcessError, match="Say why"):
        engine.service.interventions.skip(process_id, user="ada", reason="  ", changes={"second": 7})


def test_skip_that_leaves_the_next_step_without_its_argument_is_refused(failed):
    """And changes nothing."""
    engine, process_id = failed
    with pytest.raises(StateError, match=r"'Third', could not begin after this skip.* needs 'second'"):
        engine.service.interventions.skip(process_id, user="ada", reason=WHY)
    assert engine.process(process_id).last_status == "failed"


def test_skip_with_a_value_that_the_next_step_cannot_take_is_refused(failed):
    engine, process_id = failed
    with pytest.raises(StateError, match="takes 'second' as int"):
        engine.service.interventions.skip(process_id, user="ada", reason=WHY, changes={"second": "many"})


def test_skip_may_not_remove_what_the_next_step_takes(failed):
    engine, process_id = failed
    with pytest.raises(StateError, match="needs 'password'"):
        engine.service.interventions.skip(
            process_id, user="ada", reason=WHY, changes={"second": 1}, removed=["password"]
        )


@pytest.mark.parametrize("edit", [{"changes": {"process_id": "x"}}, {"removed": ["reporter"]}])
def test_engine_keys_cannot_be_edited(failed, edit):
    engine, process_id = failed
    with pytest.raises(StateError, match="cannot be edited"):
        engine.service.interventions.skip(process_id, user="ada", reason=WHY, **edit)


def test_edited_secret_stays_a_secret(failed):
    """Text that takes a secret's place is one, and people do not see it."""
    engine, process_id = failed
    engine.service.interventions.skip(process_id, user="ada", reason=WHY, changes={"second": 7, "password": "new"})
    assert engine.process(process_id).state["password"] == {"__secret__": "new"}
    shown = str(engine.service.queries.detail(process_id))
    assert "'new'" not in shown
    assert "'old'" not in shown
    proceed(engine, process_id)
    assert engine.process(process_id).state["password_seen"] is True


def test_edit_that_has_no_json_form_is_refused(failed):
    engine, process_id = failed
    with pytest.raises(StateError, match="no JSON form"):
        engine.service.interventions.skip(process_id, user="ada", reason=WHY, changes={"second": object()})


def test_edits_of_a_step_in_a_lens_go_there(engine_of, broken):
    """As what the step itself returns would; its group is gone on with inside."""

    @step("One")
    def one():
        return {"one": 1}

    @step("Two")
    def two():
        broken("two")

    @step("Three")
    def three(one: int, two: int):
        return {"three": one + two}

    @task("Focused")
    def focused():
        return begin >> step_group("Group", focussteps("part")(begin >> one >> two >> three))

    engine = engine_of(focused)
    broken.steps = {"two"}
    process_id = engine.run("focused")
    assert engine.service.interventions.skip(process_id, user="ada", reason=WHY, changes={"two": 2}) == "one_group.two"
    assert proceed(engine, process_id) is ProcessStatus.COMPLETED
    assert engine.process(process_id).state["part"] == {"one": 1, "two": 2, "three": 3}


def test_step_after_a_condition_that_does_not_hold_is_the_next(engine_of, broken):
    """What is skipped anyway takes nothing."""

    @step("Breaking")
    def breaking():
        broken("breaking")

    @step("Taking")
    def taking(missing: int): ...

    @task("Choosing")
    def choosing():
        return begin >> breaking >> conditional(lambda state: "missing" in state)(taking)

    engine = engine_of(choosing)
    broken.steps = {"breaking"}
    process_id = engine.run("choosing")
    engine.service.interventions.skip(process_id, user="ada", reason=WHY)
    assert proceed(engine, process_id) is ProcessStatus.COMPLETED


@pytest.mark.parametrize("key", ["resync", "done"])
def test_engines_own_steps_cannot_be_skipped(engine_of, key):
    world = World()
    engine = engine_of(*device_workflows(world), products=[DEVICE, OTHER])
    process_id = engine.run("create_device", [{"product": "Test Device"}, {"hostname": "ams1"}])
    with engine.database.transaction() as session:
        positions = text(
            "DELETE FROM process_steps WHERE process_id = :id AND position >="
            " (SELECT position FROM process_steps WHERE process_id = :id AND step_key = :key)"
        )
        session.execute(positions, {"id": process_id, "key": key})
    set_row(engine, process_id, last_status="failed")
    with pytest.raises(ProcessError, match="cannot be skipped"):
        engine.service.interventions.skip(process_id, user="ada", reason=WHY)


def test_suspended_process_is_answered_not_skipped(engine_of):
    engine = engine_of(asking)
    process_id = engine.run("asking")
    with pytest.raises(NotWaiting, match="waits for input: answer it"):
        engine.service.interventions.skip(process_id, user="ada", reason=WHY)


# --- callbacks and hands ---


@pytest.fixture
def told():
    return []


@pytest.fixture
def calling_out(told, broken):
    @step("Tell")
    def tell(callback_route: str):
        told.append(callback_route)
        broken("tell")

    @step("Look")
    def look(callback_result: dict):
        broken("look")
        return {"looked": callback_result["n"]}

    @task("Calling out")
    def calling_out():
        return begin >> callback_step("Outside", tell, look)

    return calling_out


def test_skipped_callback_takes_the_result_that_a_person_gives(engine_of, calling_out, told):
    """And the call that comes after all is too late, politely."""
    engine = engine_of(calling_out)
    process_id = engine.run("calling_out")
    assert engine.process(process_id).last_status == "awaiting_callback"
    engine.service.interventions.skip(process_id, user="ada", reason=WHY, changes={"callback_result": {"n": 3}})
    assert engine.service.answers.callback(process_id, told[0].rpartition("/")[2], {"n": 4}) == "too late"
    assert proceed(engine, process_id) is ProcessStatus.COMPLETED
    assert engine.process(process_id).state["looked"] == 3


def test_skipped_action_leaves_its_token_good(engine_of, calling_out, told, broken):
    """A person told the external system what the step would have told it."""
    engine = engine_of(calling_out)
    broken.steps = {"tell"}
    process_id = engine.run("calling_out")
    engine.service.interventions.skip(process_id, user="ada", reason=WHY)
    assert proceed(engine, process_id) is ProcessStatus.AWAITING_CALLBACK
    engine.service.answers.callback(process_id, told[0].rpartition("/")[2], {"n": 5})
    assert proceed(engine, process_id) is ProcessStatus.COMPLETED


def test_callback_that_nobody_was_asked_for_is_not_waited_for(engine_of, calling_out, told):
    """Sent back to the wait itself, a process says what to do instead of waiting for ever."""
    engine = engine_of(calling_out)
    process_id = engine.run("calling_out")
    engine.service.answers.callback(process_id, told[0].rpartition("/")[2], {"n": "x"})
    proceed(engine, process_id)
    set_row(engine, process_id, last_status="failed")
    engine.service.interventions.go_back(process_id, "tell_group.await_tell", user="ada", reason=WHY)
    assert proceed(engine, process_id) is ProcessStatus.FAILED
    assert "Send the process back to 'tell_group.tell'" in engine.process(process_id).failed_reason


# --- back ---


def test_process_sent_back_does_its_steps_again_with_the_state_of_then(engine_of, three, broken):
    engine = engine_of(three)
    broken.steps = {"third"}
    process_id = engine.run("three")
    broken.steps = set()
    assert engine.service.interventions.go_back(process_id, "second", user="ada", reason=WHY) == "second"
    assert "second" not in engine.process(process_id).state
    assert proceed(engine, process_id) is ProcessStatus.COMPLETED
    assert broken.calls == ["first", "second", "third", "second", "third"]


def test_ledger_keeps_who_sent_back_why_and_what_was_taken_back(engine_of, three, broken):
    engine = engine_of(three)
    broken.steps = {"third"}
    process_id = engine.run("three")
    engine.service.interventions.go_back(process_id, "second", user="ada", reason=WHY)
    line = engine.ledger(process_id)["__back_1__"]
    assert (line.created_by, line.name) == ("ada", "Back to second")
    told = line.error
    assert (told["to"], told["by"], told["reason"], told["status"]) == ("second", "ada", WHY, "failed")
    assert [(one["key"], one["status"], one["set"]) for one in told["undone"]] == [
        ("second", "success", {"second": 2}),
        ("third", "failed", {}),
    ]


def test_what_is_done_again_has_another_idempotency_key(engine_of):
    """For it is wanted again."""
    keys = []

    @step("Note")
    def note_key(context: StepContext):
        keys.append(context.idempotency_key)

    @step("Break")
    def break_once():
        if len(keys) == 1:
            raise RuntimeError("broken")

    @task("Noting")
    def noting():
        return begin >> note_key >> break_once

    engine = engine_of(noting)
    process_id = engine.run("noting")
    engine.service.interventions.go_back(process_id, "note_key", user="ada", reason=WHY)
    assert proceed(engine, process_id) is ProcessStatus.COMPLETED
    assert keys == [f"{process_id}:note_key", f"{process_id}:note_key:1"]


def test_group_name_stands_for_its_first_step(engine_of, broken):
    @step("One")
    def one():
        broken("one")

    @step("Two")
    def two():
        broken("two")

    @task("Grouped")
    def grouped():
        return begin >> step_group("Group", begin >> one >> two)

    engine = engine_of(grouped)
    broken.steps = {"two"}
    process_id = engine.run("grouped")
    assert engine.service.interventions.go_back(process_id, "one_group", user="ada", reason=WHY) == "one_group.one"


def test_step_that_was_not_done_cannot_be_gone_back_to(failed):
    engine, process_id = failed
    with pytest.raises(ProcessError, match="has not done 'third'"):
        engine.service.interventions.go_back(process_id, "third", user="ada", reason=WHY)


def test_start_cannot_be_gone_back_to(failed):
    engine, process_id = failed
    with pytest.raises(ProcessError, match="cannot be sent back to its start"):
        engine.service.interventions.go_back(process_id, "start", user="ada", reason=WHY)


def test_suspended_process_can_be_sent_back_before_its_question(engine_of, broken):
    """The question is asked again, and only once."""

    @step("Before")
    def before():
        broken("before")

    @task("Asking later")
    def asking_later():
        return begin >> before >> ask

    engine = engine_of(asking_later)
    process_id = engine.run("asking_later")
    engine.service.interventions.go_back(process_id, "before", user="ada", reason=WHY)
    with pytest.raises(NotWaiting):
        engine.service.answers.answer(process_id, {"name": "x"}, user="bob")
    assert proceed(engine, process_id) is ProcessStatus.SUSPENDED
    assert engine.answer(process_id, {"name": "x"}) is ProcessStatus.COMPLETED
    assert broken.calls == ["before", "before"]


def test_answer_of_an_earlier_go_counts_no_longer(engine_of, calling_out, told, broken):
    """The external system is told again, and its new answer is waited for."""
    engine = engine_of(calling_out)
    broken.steps = {"look"}
    process_id = engine.run("calling_out")
    engine.service.answers.callback(process_id, told[0].rpartition("/")[2], {"n": 1})
    assert proceed(engine, process_id) is ProcessStatus.FAILED
    broken.steps = set()
    engine.service.interventions.go_back(process_id, "tell_group", user="ada", reason=WHY)
    assert proceed(engine, process_id) is ProcessStatus.AWAITING_CALLBACK
    engine.service.answers.callback(process_id, told[1].rpartition("/")[2], {"n": 2})
    assert proceed(engine, process_id) is ProcessStatus.COMPLETED
    assert engine.process(process_id).state["looked"] == 2


# --- back and skip, on subscriptions ---


@pytest.fixture
def network(engine_of):
    world = World()
    engine = engine_of(*device_workflows(world), products=[DEVICE, OTHER])
    return engine, world


def create_device(engine, hostname="ams1"):
    return engine.run("create_device", [{"product": "Test Device"}, {"hostname": hostname}])


def test_step_that_made_a_subscription_is_not_done_again(network):
    """It would make another one, and the first would be nobody's."""
    engine, world = network
    world.broken = {"configure"}
    process_id = create_device(engine)
    with pytest.raises(ProcessError, match=r"'construct'.* has made subscription .* would make another"):
        engine.service.interventions.go_back(process_id, "construct", user="ada", reason=WHY)


def test_process_sent_back_takes_again_what_it_has_let_go_of(network):
    engine, _ = network
    process_id, subscription_id = let_go(engine)
    engine.service.interventions.go_back(process_id, "configure", user="ada", reason=WHY)
    assert lock_of(engine, subscription_id) == (process_id, False)
    assert proceed(engine, process_id) is ProcessStatus.COMPLETED
    assert lock_of(engine, subscription_id) == (None, True)


def test_process_is_not_sent_back_over_another_ones_lock(network):
    """It is refused, and stands as before."""
    engine, world = network
    process_id, subscription_id = let_go(engine)
    world.broken = {"rename"}
    holder = engine.run("modify_device", [{"subscription_id": str(subscription_id)}, {"hostname": "utr1"}])
    with pytest.raises(SubscriptionLocked):
        engine.service.interventions.go_back(process_id, "configure", user="ada", reason=WHY)
    assert engine.process(process_id).last_status == "failed"
    assert lock_of(engine, subscription_id)[0] == holder


def let_go(engine):
    """A create that failed behind its unlocking, and its subscription."""
    process_id = create_device(engine)
    with engine.database.transaction() as session:
        session.execute(
            text("DELETE FROM process_steps WHERE process_id = :id AND step_key = 'done'"), {"id": process_id}
        )
    set_row(engine, process_id, last_status="failed")
    return process_id, UUID(engine.process(process_id).state["subscription_id"])


def lock_of(engine, subscription_id):
    with engine.database.transaction() as session:
        row = session.get(SubscriptionTable, subscription_id)
        return row.locked_by, row.insync


# --- abort ---


def test_abort_says_what_was_done_and_what_stays(network):
    engine, world = network
    world.broken = {"configure"}
    process_id = create_device(engine)
    found = engine.service.interventions.abort(process_id, user="ada", reason=WHY)
    subscription_id = UUID(engine.process(process_id).state["subscription_id"])
    assert (found.was, found.done, found.in_progress) == ("failed", ["Start", "Construct subscription"], None)
    assert found.subscriptions == [subscription_id]
    line = engine.ledger(process_id)["__abort__"]
    assert (line.created_by, line.error["reason"]) == ("ada", WHY)
    assert "Done and staying: Start, Construct subscription." in line.error["message"]
    assert f"Free, and out of sync: subscription {subscription_id}." in line.error["message"]
    assert lock_of(engine, subscription_id) == (None, False)


def test_abort_names_the_children_that_go_on(failed):
    engine, process_id = failed
    child, ended = engine.run("three"), engine.run("three")
    set_row(engine, child, parent_process_id=process_id, last_status="failed")
    set_row(engine, ended, parent_process_id=process_id)
    assert engine.service.interventions.abort(process_id, user="ada").children == [child]


def test_aborted_run_commits_nothing_more(engine_of):
    """Its step in progress rolls back; the process stays aborted, and is told so."""
    begun, go = threading.Event(), threading.Event()

    @step("Long")
    def long():
        begun.set()
        go.wait(60)
        return {"long": 1}

    @task("Taking long")
    def taking_long():
        return begin >> long

    engine = engine_of(taking_long)
    process_id = engine.service.starts.start("taking_long", None, user="ada")
    thread = threading.Thread(target=engine.service.runs.execute, args=(process_id,), kwargs={"user": "ada"})
    thread.start()
    assert begun.wait(60)
    found = engine.service.interventions.abort(process_id, user="bob")
    go.set()
    thread.join(60)
    assert (found.was, found.in_progress) == ("running", "long")
    row = engine.process(process_id)
    assert (row.last_status, "long" in row.state, "long" in engine.ledger(process_id)) == ("aborted", False, False)
    assert engine.instance.get_run_by_id(str(process_id)).status is DagsterRunStatus.FAILURE


def test_abort_of_what_the_code_has_no_more_is_possible(engine_of, three, broken):
    engine = engine_of(three)
    broken.steps = {"second"}
    process_id = engine.run("three")
    other = engine_of(asking)
    other.service.interventions.abort(process_id, user="ada")
    assert other.process(process_id).last_status == "aborted"


# --- delete, note ---


def test_deleted_task_is_gone_with_its_ledger(failed):
    engine, process_id = failed
    engine.resume(process_id)
    engine.service.interventions.delete(process_id, user="ada")
    assert engine.ledger(process_id) == {}
    with pytest.raises(UnknownProcess):
        engine.process(process_id)


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({"last_status": "failed"}, "is failed; abort it"),
        ({"is_task": False}, "is no task"),
        ({}, "has started 1 others"),
    ],
)
def test_what_may_not_be_deleted_is_kept(engine_of, three, values, why):
    engine = engine_of(three)
    process_id = engine.run("three")
    if not values:
        set_row(engine, engine.run("three"), parent_process_id=process_id)
    else:
        set_row(engine, process_id, **values)
    with pytest.raises(ProcessError, match=why):
        engine.service.interventions.delete(process_id, user="ada")
    assert engine.ledger(process_id)


def test_note_is_written_and_taken_away(failed):
    engine, process_id = failed
    engine.service.interventions.note(process_id, "n" * 5000, user="ada")
    assert engine.process(process_id).note == "n" * 5000
    with pytest.raises(ProcessError, match="5001 characters; 5000 fit"):
        engine.service.interventions.note(process_id, "n" * 5001, user="ada")
    engine.service.interventions.note(process_id, None, user="ada")
    assert engine.process(process_id).note is None


# --- a start that is asked for again ---


def test_same_key_gives_the_same_process_back(engine_of, three):
    engine = engine_of(three)
    one, other = (engine.service.starts.start("three", None, user="ada", idempotency_key="k") for _ in range(2))
    assert one == other
    assert engine.count_processes() == 1


@pytest.mark.parametrize("other", [{"user": "bob"}, {"workflow_name": "asking"}, {"inputs": [{"x": 1}]}])
def test_same_key_for_another_start_is_refused(engine_of, three, other):
    engine = engine_of(three, asking)
    same = {"workflow_name": "three", "inputs": None, "user": "ada", "idempotency_key": "k"}
    engine.service.starts.start(**same)
    with pytest.raises(KeyUsed, match="'k' was used for another start"):
        engine.service.starts.start(**(same | other))
    assert engine.count_processes() == 1


def test_two_starts_with_one_key_at_once_make_one_process(network):
    """Also when the subscription that they ask for can be had once only."""
    engine, _ = network
    subscription_id = engine.process(create_device(engine)).state["subscription_id"]
    barrier = threading.Barrier(4)

    def start(_):
        barrier.wait()
        pages = [{"subscription_id": subscription_id}, {"hostname": "utr1"}]
        return engine.service.starts.start("modify_device", pages, user="ada", idempotency_key="k")

    with ThreadPoolExecutor(4) as threads:
        assert len(set(threads.map(start, range(4)))) == 1
    assert engine.count_processes() == 2


# --- from the launchpad ---


def run_job(engine, name, config, **options):
    jobs = {job.name: job for job in process_jobs(engine.orchestrator)}
    return jobs[name].execute_in_process(run_config=config, instance=engine.instance, raise_on_error=False, **options)


def test_job_answers_as_the_user_of_its_run_and_the_process_goes_on(engine_of):
    engine = engine_of(asking)
    process_id = engine.run("asking")
    config = {"process": str(process_id)[:8], "inputs": {"name": "x"}}
    assert run_job(engine, "answer_process", config, tags={tags.USER: "ada"}).success
    assert engine.process(process_id).last_status == "completed"
    assert engine.ledger(process_id)["ask"].created_by == "ada"


def test_wrong_answer_fails_the_job_and_leaves_the_process(engine_of):
    engine = engine_of(asking)
    process_id = engine.run("asking")
    result = run_job(engine, "answer_process", {"process": str(process_id), "inputs": {"nome": "x"}})
    message = result.failure_data_for_node("answer").user_failure_data.description
    assert not result.success
    assert "name: is required" in message
    assert engine.process(process_id).last_status == "suspended"


def test_job_aborts_with_its_reason(failed):
    engine, process_id = failed
    assert run_job(
        engine, "abort_process", {"process": str(process_id), "reason": WHY}, tags={tags.USER: "ada"}
    ).success
    line = engine.ledger(process_id)["__abort__"]
    assert (line.created_by, line.error["reason"]) == ("ada", WHY)


def test_every_code_location_has_the_jobs():
    names = {job.name for job in build_definitions([], [asking]).resolve_all_job_defs()}
    assert {"asking", "answer_process", "abort_process"} <= names


# --- looking ---


def test_detail_shows_steps_what_is_left_and_what_is_asked(engine_of):
    @step("Last")
    def last(): ...

    @task("Long asking")
    def long_asking():
        return begin >> ask >> last

    engine = engine_of(long_asking)
    detail = engine.service.queries.detail(engine.run("long_asking"))
    assert [(one.key, one.status) for one in detail.steps] == [("start", "success"), ("ask", "suspend")]
    assert [one.key for one in detail.pending] == ["last", "done"]
    assert detail.line.status is ProcessStatus.SUSPENDED
    assert detail.wait.form["required"] == ["name"]


def test_detail_of_a_form_that_fails_shows_why_and_the_rest(engine_of):
    @inputstep("Broken form", Assignee.NOC)
    def broken_form():
        raise RuntimeError("no form")
        yield

    @task("Asking badly")
    def asking_badly():
        return begin >> broken_form

    engine = engine_of(asking_badly)
    detail = engine.service.queries.detail(engine.run("asking_badly"))
    assert detail.wait.form_error == "The form fails with RuntimeError: no form"
    assert [one.key for one in detail.steps] == ["start", "broken_form"]


def test_detail_names_the_children(failed):
    engine, process_id = failed
    child = engine.run("three")
    set_row(engine, child, parent_process_id=process_id)
    assert [(one.process_id, one.workflow_name) for one in engine.service.queries.detail(process_id).children] == [
        (child, "three")
    ]


def test_detail_of_what_the_code_has_no_more_is_shown(failed, engine_of):
    _, process_id = failed
    detail = engine_of(asking).service.queries.detail(process_id)
    assert [one.key for one in detail.pending] == ["third", "done"]


def test_lists_are_filtered(failed):
    engine, process_id = failed
    done = engine.run("three", user="bob")
    with engine.database.transaction():
        assert [one.process_id for one in list_processes()] == [done, process_id]
        for where in (PROCESS_FIELDS.having(last_status=["failed"]), PROCESS_FIELDS.having(created_by="tester")):
            assert [one.process_id for one in list_processes(where)] == [process_id]
            assert count_processes(where) == 1
        assert list_processes(PROCESS_FIELDS.having(is_task=False)) == []
        assert list_processes(limit=1, offset=1)[0].process_id == process_id
        assert list_processes()[0].target is Target.SYSTEM
