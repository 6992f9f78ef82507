"""`orchestrator run`, `process` and `engine`: what people read, and the exit codes that programs go by."""

import json
from typing import Literal

import pytest
from click.testing import CliRunner
from pydantic import Field, SecretStr

from ops.steps.forms import SubmitFormPage
from ops.steps.step import begin, step
from ops.waiting.wait_steps import inputstep, retrystep
from orchestrator_defs.cli import main as cli
from orchestrator_defs.jobs.decorators import task
from resources.processes.pause import set_paused
from resources.processes.process_lists import list_processes
from resources.types import Assignee
from tests.test_resources.test_runs.warm import configure
from tests.toy_network import DEVICE, OTHER, World, add_device, device_workflows


@pytest.fixture
def broken():
    return set()


@pytest.fixture
def engine(engine_of, broken):
    """Workflows that complete, ask, wait and fail."""

    class Approval(SubmitFormPage):
        name: str = Field(description="who approves")
        colour: Literal["red", "blue"] = "red"

    class Second(SubmitFormPage):
        sure: bool

    @inputstep("Approve", Assignee.NOC)
    def approve():
        first = yield Approval
        second = yield Second
        return {"name": first.name, "sure": second.sure}

    @step("Begin")
    def begin_with():
        return {"begun": 1, "password": SecretStr("sesame")}

    @step("Work")
    def work():
        if "work" in broken:
            raise RuntimeError("work is broken")
        return {"worked": 1}

    @step("Use")
    def use(worked: int):
        if "use" in broken:
            raise RuntimeError("use is broken")

    @retrystep("Call", quick_tries=0)
    def call():
        if "call" in broken:
            raise ConnectionError("away")

    @task("Plain")
    def plain():
        return begin >> begin_with >> work >> use

    @task("Asking")
    def asking():
        return begin >> approve

    @task("Calling")
    def calling():
        return begin >> call

    return engine_of(plain, asking, calling)


@pytest.fixture
def orchestrator(monkeypatch, dagster_instance, tmp_path, engine):
    """Runs a command; the last line that a failed one says is its error."""
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))

    def invoke(*words, exit_code=0, user_input=None):
        application = cli.application()
        application.orchestrator, application.database = engine.orchestrator, engine.database
        result = CliRunner().invoke(cli.main, list(map(str, words)), input=user_input, obj=application)
        assert result.exit_code == exit_code, (result.output, result.exception)
        return result.output

    return invoke


def only_id(engine):
    """The id of the one process there is."""
    with engine.database.transaction():
        (line,) = list_processes()
    return str(line.process_id)


def test_run_that_completes_ends_with_0(orchestrator):
    assert "is completed." in orchestrator("run", "plain")


def test_run_that_fails_ends_with_1_and_says_what_can_be_done(orchestrator, engine, broken):
    broken.add("work")
    output = orchestrator("run", "plain", exit_code=1)
    process_id = only_id(engine)
    assert f"Process {process_id} is failed at step 'Work': RuntimeError: work is broken" in output
    assert f"orchestrator resume {process_id}" in output
    assert f"orchestrator process skip {process_id}" in output


def test_run_that_asks_ends_with_3_and_says_how_to_answer(orchestrator, engine):
    output = orchestrator("run", "asking", exit_code=3)
    process_id = only_id(engine)
    assert f"Process {process_id} is suspended at step 'Approve'." in output
    assert "It waits for input by NOC." in output
    assert "  name  string: who approves\n" in output
    assert "  colour  one of red, blue, optional\n" in output
    assert f"orchestrator process answer {process_id} name=…\n" in output


def test_run_that_waits_for_a_retry_ends_with_3(orchestrator, broken):
    broken.add("call")
    output = orchestrator("run", "calling", exit_code=3)
    assert "ConnectionError: away Next retry at" in output
    assert "to retry now: orchestrator resume" in output


def test_misspelt_command_ends_with_2(orchestrator):
    orchestrator("run", exit_code=2)


def test_answer_without_input_shows_what_the_next_page_asks(orchestrator, engine):
    orchestrator("run", "asking", exit_code=3)
    process_id = only_id(engine)
    assert "  name  string" in orchestrator("process", "answer", process_id, exit_code=3)
    second = orchestrator("process", "answer", process_id[:8], "name=ada", exit_code=3)
    assert "  sure  boolean\n" in second
    assert engine.process(process_id).last_status == "suspended"


def test_answer_from_a_file_goes_on_to_the_end(orchestrator, engine, tmp_path):
    orchestrator("run", "asking", exit_code=3)
    process_id = only_id(engine)
    output = orchestrator("process", "answer", process_id, "-c", page(tmp_path))
    assert f"Process {process_id} is completed." in output
    assert engine.process(process_id).state["name"] == "ada"


def test_wrong_answer_ends_with_1_and_one_sentence(orchestrator, engine):
    orchestrator("run", "asking", exit_code=3)
    output = orchestrator("process", "answer", only_id(engine), "nome=ada", exit_code=1)
    assert "name: is required" in output
    assert "Traceback" not in output


@pytest.mark.parametrize("verb", ["resume", "retry"])
def test_what_failed_goes_on_to_the_end(orchestrator, engine, broken, verb):
    broken.add("work")
    orchestrator("run", "plain", exit_code=1)
    broken.clear()
    assert "is completed." in orchestrator("process", verb, only_id(engine))


@pytest.mark.parametrize("verb", ["resume", "retry"])
def test_what_waits_for_better_times_is_tried_now(orchestrator, engine, broken, verb):
    broken.add("call")
    orchestrator("run", "calling", exit_code=3)
    broken.clear()
    assert "is completed." in orchestrator("process", verb, only_id(engine))


def test_skip_gives_the_fields_and_goes_on(orchestrator, engine, broken):
    broken.add("work")
    orchestrator("run", "plain", exit_code=1)
    process_id = only_id(engine)
    orchestrator("process", "skip", process_id, "worked=7", exit_code=2)
    output = orchestrator("process", "skip", process_id, "worked=7", "--reason", "done by hand")
    assert "skips its step work." in output
    assert engine.process(process_id).state["worked"] == 7
    assert engine.ledger(process_id)["work"].error["reason"] == "done by hand"


def test_skip_removes_a_field(orchestrator, engine, broken):
    broken.add("work")
    orchestrator("run", "plain", exit_code=1)
    process_id = only_id(engine)
    orchestrator("process", "skip", process_id, "worked=7", "--remove", "begun", "--reason", "done by hand")
    assert "begun" not in engine.process(process_id).state


def test_back_does_the_steps_again(orchestrator, engine, broken):
    broken.add("use")
    orchestrator("run", "plain", exit_code=1)
    broken.clear()
    process_id = only_id(engine)
    output = orchestrator("process", "back", process_id, "work", "--reason", "it was wrong")
    assert f"Process {process_id} is sent back to work." in output
    assert "is completed." in output


def test_abort_asks_first_and_says_what_stays(orchestrator, engine, broken):
    broken.add("work")
    orchestrator("run", "plain", exit_code=1)
    process_id = only_id(engine)
    orchestrator("process", "abort", process_id, user_input="n\n", exit_code=1)
    assert engine.process(process_id).last_status == "failed"
    output = orchestrator("process", "abort", process_id, "--yes", "--reason", "no longer wanted")
    assert f"Process {process_id} is aborted. It was failed. Committed steps stay: Start, Begin." in output


def test_note_and_delete(orchestrator, engine):
    orchestrator("run", "plain")
    process_id = only_id(engine)
    orchestrator("process", "note", process_id, "look at this")
    assert "note: look at this" in orchestrator("process", "show", process_id)
    orchestrator("process", "note", process_id)
    assert "note:" not in orchestrator("process", "show", process_id)
    orchestrator("process", "delete", process_id, "--yes")
    assert engine.count_processes() == 0


def test_resume_all_says_how_many(orchestrator, broken):
    broken.update({"work", "call"})
    orchestrator("run", "plain", exit_code=1)
    orchestrator("run", "calling", exit_code=3)
    broken.clear()
    assert json.loads(orchestrator("process", "resume-all", "--json")) == {"count": 2}
    assert "Tasks resumed: 0." in orchestrator("process", "resume-all")


def test_counts_are_by_status_and_kind(orchestrator, broken):
    orchestrator("run", "plain")
    broken.add("work")
    orchestrator("run", "plain", exit_code=1)
    counts = json.loads(orchestrator("process", "counts", "--json"))
    assert counts == {"process_counts": {}, "task_counts": {"completed": 1, "failed": 1}}
    lines = orchestrator("process", "counts").splitlines()
    assert [line.split() for line in lines] == [
        ["Status", "Processes", "Tasks"],
        ["failed", "0", "1"],
        ["completed", "0", "1"],
    ]


def test_list_is_filtered(orchestrator, broken):
    orchestrator("run", "plain")
    broken.add("work")
    orchestrator("run", "plain", exit_code=1)
    listed = json.loads(orchestrator("process", "list", "--status", "failed", "--json"))
    assert [one["status"] for one in listed] == ["failed"]
    assert orchestrator("process", "list", "--no-tasks") == "There are no such processes.\n"
    assert len(orchestrator("process", "list", "--tasks").splitlines()) == 3
    assert json.loads(orchestrator("process", "list", "--query", "last_status:failed", "--json")) == listed


def test_show_shows_what_is_asked(orchestrator, engine):
    orchestrator("run", "asking", exit_code=3)
    shown = orchestrator("process", "show", only_id(engine))
    assert "It waits for input by NOC." in shown
    assert "  name  string: who approves" in shown


def test_show_shows_errors_and_is_complete_for_programs(orchestrator, engine, broken):
    broken.add("work")
    orchestrator("run", "plain", exit_code=1)
    process_id = only_id(engine)
    assert 'Work: {"class": "RuntimeError"' in orchestrator("process", "show", process_id)
    shown = json.loads(orchestrator("process", "show", process_id, "--json"))
    assert [one["key"] for one in shown["steps"]] == ["start", "begin_with", "work"]
    assert shown["steps"][2]["error"]["error"] == "RuntimeError: work is broken"
    assert shown["pending"] == ["use", "done"]
    assert shown["state"]["password"] == "**********"
    assert "sesame" not in json.dumps(shown)


def test_engine_is_paused_and_released(orchestrator, engine, tmp_path):
    orchestrator("run", "asking", exit_code=3)
    assert json.loads(orchestrator("engine", "pause", "--json"))["status"] == "PAUSED"
    assert "engine is paused" in orchestrator("run", "plain", exit_code=1)
    assert "engine is paused" in orchestrator("process", "answer", only_id(engine), "-c", page(tmp_path), exit_code=1)
    assert orchestrator("engine", "status").startswith("The engine is PAUSED, by ")
    assert "The engine is RUNNING" in orchestrator("engine", "release")
    assert "is completed." in orchestrator("run", "plain")


def page(folder):
    """A file with a whole answer."""
    file = folder / "answer.yaml"
    file.write_text("- name: ada\n- sure: true\n")
    return file


def test_release_takes_up_what_the_pause_has_stopped(orchestrator, engine_of, engine):
    """Without workers it runs here."""

    @step("Pause")
    def pause_here():
        set_paused(True, user="ada")

    @task("Pausing")
    def pausing():
        return begin >> pause_here

    engine.orchestrator = engine_of(pausing).orchestrator
    output = orchestrator("run", "pausing", exit_code=3)
    assert "It continues after: orchestrator engine release" in output
    assert "continues: it is completed." in orchestrator("engine", "release")


def test_detached_run_is_left_to_the_workers(orchestrator, engine, tmp_path):
    configure(tmp_path, start_workers=False)
    output = orchestrator("run", "plain", "--detach")
    assert f"is launched as run {only_id(engine)}." in output
    assert engine.process(only_id(engine)).last_status == "created"


def test_detach_without_such_a_launcher_says_what_to_do(orchestrator, engine):
    output = orchestrator("run", "plain", "--detach", exit_code=1)
    assert f"Without --detach: orchestrator resume {only_id(engine)}" in output


def test_workflows_of_a_subscription_are_listed_with_reasons(orchestrator, engine_of, engine):
    world = World()
    network = engine_of(*device_workflows(world), products=[DEVICE, OTHER])
    engine.orchestrator = network.orchestrator
    add_device(network.bed)
    found = {line.split()[0]: line for line in orchestrator("subscriptions", "workflows", "ams1").splitlines()}
    assert found["modify_device"].split()[1:] == ["MODIFY", "yes"]
    assert "no  " in found["create_device"]
    assert "subscription.no_modify_invalid_status: Subscription 'Device ams1'" in found["create_device"]
    assert (
        json.loads(orchestrator("subscriptions", "workflows", "ams1", "--json"))["create"][0]["name"] == "create_device"
    )


def test_reconcile_that_fails_names_the_way_out(orchestrator, engine_of, engine):
    world = World()
    network = engine_of(*device_workflows(world), products=[DEVICE])
    engine.orchestrator = network.orchestrator
    device = add_device(network.bed, world)
    world.broken = {"configure"}
    output = orchestrator("run", "reconcile_device", f"subscription_id={device}", exit_code=1)
    assert f"orchestrator subscriptions set-in-sync {device} --reason WHY" in output
    orchestrator("abort", only_id(engine), "--yes")
    orchestrator("subscriptions", "set-in-sync", device, "--reason", "It is exchanged.")
    assert "reason: It is exchanged." in orchestrator("subscriptions", "history", device)
