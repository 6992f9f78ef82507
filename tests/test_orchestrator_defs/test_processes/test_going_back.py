"""Sending a process back to a step that it has done."""

from uuid import UUID

import pytest
from sqlalchemy import text

from ops.steps.context import StepContext
from ops.steps.step import begin, step, step_group
from orchestrator_defs.jobs.decorators import task
from resources.errors import NotWaiting, ProcessError, SubscriptionLocked
from resources.types import ProcessStatus
from tests.test_orchestrator_defs.test_processes.toys import WHY, ask, create_device, lock_of, proceed, set_row


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
    with pytest.raises(ProcessError, match="has not committed 'third'"):
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
    """The external system is notified again, and its new answer is waited for."""
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


# --- on subscriptions ---


def test_step_that_made_a_subscription_is_not_done_again(network):
    """It would make another one, and the first would be nobody's."""
    engine, world = network
    world.broken = {"configure"}
    process_id = create_device(engine)
    with pytest.raises(ProcessError, match=r"'construct'.* has created subscription .* would create another"):
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
