"""Skipping a step with an edited state."""

import pytest
from sqlalchemy import text

from ops.steps.step import begin, conditional, focussteps, step, step_group
from orchestrator_defs.jobs.decorators import task
from resources.errors import NotWaiting, ProcessError, StateError
from resources.types import ProcessStatus
from tests.test_orchestrator_defs.test_processes.toys import WHY, asking, proceed, set_row
from tests.toy_network import DEVICE, OTHER, World, device_workflows

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
    with pytest.raises(ProcessError, match="Give a reason"):
        engine.service.interventions.skip(process_id, user="ada", reason="  ", changes={"second": 7})


def test_skip_that_leaves_the_next_step_without_its_argument_is_refused(failed):
    """And changes nothing."""
    engine, process_id = failed
    with pytest.raises(StateError, match=r"'Third', could not start after this skip.* needs 'second'"):
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


def test_mark_of_the_engine_cannot_be_edited_in(failed):
    engine, process_id = failed
    with pytest.raises(StateError, match=r"second\.__secret__ is a mark of the engine"):
        engine.service.interventions.skip(process_id, user="ada", reason=WHY, changes={"second": {"__secret__": "x"}})


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
