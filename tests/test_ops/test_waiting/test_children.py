"""Processes that a process starts and waits for."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import text

from ops.steps.forms import SubmitFormPage
from ops.steps.predicates import no_uncompleted_instance
from ops.steps.step import begin, step
from ops.waiting.children import start_children, wait_children
from ops.waiting.parallel import foreach
from ops.waiting.wait_steps import inputstep
from orchestrator_defs.jobs.decorators import task
from resources import tags
from resources.database.session import current_session
from resources.database.tables import AT_WORK
from resources.errors import WorkflowDeclarationError
from resources.processes import ledger, waits
from resources.processes.owner import Owner
from resources.types import Assignee, ProcessStatus


class PortForm(SubmitFormPage):
    """What a child is started with."""

    port: str


@pytest.fixture
def child(calls):
    @step("Configure")
    def configure(port: str):
        calls.note(port)

    @task("Configure a port", initial_input_form=PortForm)
    def configure_port():
        return begin >> configure

    return configure_port


@pytest.fixture
def bed_of(engine_of, child, calls):
    """Makes a testbed with a parent that starts a child for each port."""

    def make(ports=("a", "b", "c"), inputs=None, behind=begin, **options):
        def inputs_of(ports: list):
            return [{"port": port} for port in ports]

        @step("Find the ports")
        def find_ports():
            calls.note("find_ports")
            return {"ports": list(ports)}

        start = start_children(child, inputs or inputs_of)

        @task("Configure all ports")
        def configure_ports():
            return begin >> find_ports >> start >> wait_children(**options) >> behind

        return engine_of(configure_ports, child).bed

    return make


def results_of(run):
    return [one["status"] for one in run.state["children_results"]]


# --- start ---


def test_each_input_starts_a_child(bed_of):
    """They are written with the step, as their parent's, by whoever started that."""
    parent = bed_of().run("configure_ports", user="jan")
    assert sorted(one.state["port"] for one in parent.children) == ["a", "b", "c"]
    assert {(one.row.created_by, one.row.parent_process_id) for one in parent.children} == {("jan", parent.process_id)}
    assert parent.state["children"] == [
        str(one.process_id) for one in sorted(parent.children, key=lambda one: one.state["port"])
    ]


def test_children_are_found_by_tag(bed_of):
    """In Dagster's page, by the parent's id."""
    bed = bed_of()
    parent = bed.run("configure_ports")
    parent.run_children()
    found = [run for run in bed.instance.get_runs() if run.tags.get(tags.PARENT) == str(parent.process_id)]
    assert {run.run_id for run in found} == {str(one.process_id) for one in parent.children}


def test_one_refused_child_means_none(bed_of):
    """The step fails and names it."""
    parent = bed_of(inputs=lambda: [{"port": "a"}, {"prot": "b"}]).run("configure_ports")
    parent.assert_failed("{'prot': 'b'}", at="start_configure_port")
    assert parent.children == []


@pytest.mark.parametrize(("ports", "status"), [(["a"], "completed"), (["a", "b", "c"], "failed")])
def test_predicate_of_a_child_holds_among_children_too(engine_of, ports, status):
    """Of a workflow that may run only once at a time, three are not started together."""

    @step("Do nothing")
    def nothing() -> None: ...

    @task("One at a time", initial_input_form=PortForm, run_predicate=no_uncompleted_instance)
    def one_at_a_time():
        return begin >> nothing

    def inputs_of():
        return [{"port": port} for port in ports]

    @task("Start them")
    def start_them():
        return begin >> start_children(one_at_a_time, inputs_of)

    engine = engine_of(one_at_a_time, start_them)
    process = engine.process(engine.run("start_them"))
    assert process.last_status == status
    assert engine.count_processes() == 1 + (len(ports) if status == "completed" else 0)


def test_what_is_no_list_of_inputs_is_refused(bed_of):
    bed_of(inputs=lambda: {"port": "a"}).run("configure_ports").assert_failed("are a list")


def test_crash_after_the_start_starts_none_twice(bed_of, monkeypatch):
    """The server has committed the step; only its answer did not come."""
    real, lost = ledger.record_step, []

    def record(one, **options):
        real(one, **options)
        if one.step_key == "start_configure_port" and not lost:
            lost.append(1)
            current_session().commit()
            raise ConnectionError("no answer")

    monkeypatch.setattr(ledger, "record_step", record)
    parent = bed_of().run("configure_ports")
    parent.assert_waiting(at="wait_children")
    assert len(parent.children) == 3


def test_crash_before_the_commit_starts_the_same_children_later(bed_of, monkeypatch):
    """Their ids come from the parent's and the step's."""
    real, tried = ledger.record_step, []

    def record(one, **options):
        if one.step_key == "start_configure_port":
            tried.append(one.set["children"])
            if len(tried) == 1:
                raise ConnectionError("lost")
        real(one, **options)

    monkeypatch.setattr(ledger, "record_step", record)
    parent = bed_of().run("configure_ports")
    assert parent.children == []
    parent.retry().assert_waiting(at="wait_children")
    assert tried[0] == tried[1]


def test_process_that_is_sent_back_starts_other_children(bed_of, calls):
    """Those of before stay, and only the others are counted."""
    parent = bed_of().run("configure_ports")
    calls.broken = {"b"}
    parent.run_children()
    parent.bed.wake()
    calls.broken = set()
    parent.bed.processes.interventions.go_back(parent.process_id, "start_configure_port", user="noc", reason="again")
    parent.execute()
    parent.run_children()
    parent.bed.wake()
    parent.assert_completed()
    assert len(parent.children) == 6
    assert results_of(parent) == ["completed"] * 3


def test_children_are_not_started_for_each_item(child):
    """A list of inputs is what starts many."""

    def inputs(ports: list):
        return ports

    with pytest.raises(WorkflowDeclarationError, match="before or after"):
        foreach("ports", start_children(child, inputs))


def test_each_child_costs_the_same_number_of_statements(bed_of, statements):
    counts = []
    for count in (2, 6, 10):
        bed = bed_of(ports=["x"] * count)
        process_id = bed.processes.starts.start("configure_ports", None, user="tester")
        statements.clear()
        bed.processes.runs.execute(process_id, user="tester")
        counts.append(statements.count)
    assert counts[2] - counts[1] == counts[1] - counts[0]
    assert (counts[1] - counts[0]) / 4 <= 4


# --- wait ---


def test_parent_waits_holding_nothing(bed_of):
    """No run is in progress for it."""
    parent = bed_of().run("configure_ports")
    parent.assert_waiting(at="wait_children")
    assert parent.bed.instance.get_run_by_id(parent.row.run_id).is_finished
    assert parent.bed.wake() == []


def test_parent_goes_on_when_the_last_child_is_at_rest(bed_of):
    bed = bed_of()
    parent = bed.run("configure_ports")
    first, *others = parent.children
    for one in others:
        one.execute()
    assert bed.wake() == []
    first.execute()
    assert [run.process_id for run in bed.wake()] == [parent.process_id]
    parent.assert_completed()
    assert results_of(parent) == ["completed"] * 3
    assert "children" not in parent.state


def test_no_children_are_not_waited_for(bed_of):
    bed_of(ports=()).run("configure_ports").assert_completed()


def test_failed_child_fails_the_parent_and_is_named(bed_of, calls):
    calls.broken = {"b"}
    parent = bed_of().run("configure_ports")
    parent.run_children()
    parent.bed.wake()
    parent.assert_failed("1 of 3 children failed; 0 may fail", at="wait_children")
    failed = [one for one in parent.children if one.status is ProcessStatus.FAILED]
    assert str(failed[0].process_id) in parent.row.failed_reason


def test_retry_has_the_failed_children_tried_again_and_no_other(bed_of, calls):
    calls.broken = {"b"}
    parent = bed_of().run("configure_ports")
    parent.run_children()
    parent.bed.wake()
    calls.broken = set()
    parent.retry().assert_waiting(at="wait_children")
    assert len(parent.run_children()) == 1
    parent.bed.wake()
    parent.assert_completed()
    assert calls == {"find_ports": 1, "a": 1, "b": 2, "c": 1}


def test_retry_without_children_only_looks(bed_of, calls):
    calls.broken = {"b"}
    parent = bed_of(retry="none").run("configure_ports")
    parent.run_children()
    parent.bed.wake()
    parent.retry().assert_failed("1 of 3 children failed", at="wait_children")
    calls.broken = set()
    [one.retry() for one in parent.children if one.status is ProcessStatus.FAILED]
    parent.retry().assert_completed()


@pytest.mark.parametrize(("accept", "status"), [(1, "failed"), (2, "completed")])
def test_so_many_failed_children_are_accepted(bed_of, calls, accept, status):
    """One that was aborted counts as failed."""
    calls.broken = {"b"}
    parent = bed_of(accept=accept).run("configure_ports")
    next(one for one in parent.children if one.state["port"] == "a").abort()
    parent.run_children()
    parent.bed.wake()
    assert parent.status == status


def test_aborted_child_is_not_tried_again(bed_of):
    parent = bed_of().run("configure_ports")
    parent.children[0].abort()
    parent.run_children()
    parent.bed.wake()
    parent.retry().assert_failed("1 of 3 children failed", at="wait_children")


def test_child_that_is_named_twice_counts_once(bed_of, calls):
    """By a step of one's own that touched the list."""
    bed = bed_of()
    parent = bed.run("configure_ports")
    twice = "UPDATE processes SET state = jsonb_set(state, '{children}', state->'children' || (state->'children'))"
    with bed.database.transaction() as session:
        session.execute(text(f"{twice} WHERE process_id = :parent"), {"parent": parent.process_id})
    parent.run_children()
    bed.wake()
    assert results_of(parent) == ["completed"] * 3


def test_child_that_waits_for_a_person_is_waited_for(engine_of):
    class Name(SubmitFormPage):
        name: str

    @inputstep("Ask", Assignee.NOC)
    def ask():
        answer = yield Name
        return {"name": answer.name}

    @task("Ask somebody")
    def ask_somebody():
        return begin >> ask

    @task("Have somebody asked")
    def have_asked():
        return begin >> start_children(ask_somebody, lambda: [{}]) >> wait_children()

    bed = engine_of(have_asked, ask_somebody).bed
    parent = bed.run("have_asked")
    (one,) = parent.run_children()
    assert bed.wake() == []
    one.answer({"name": "x"})
    bed.wake()
    parent.assert_completed()


def test_abort_of_the_parent_leaves_the_children(bed_of):
    parent = bed_of().run("configure_ports")
    parent.abort()
    parent.assert_aborted()
    assert {one.status for one in parent.run_children()} == {ProcessStatus.COMPLETED}
    assert parent.bed.wake() == []


def test_two_looks_at_once_wake_the_parent_once(bed_of):
    parent = bed_of().run("configure_ports")
    parent.run_children()
    with ThreadPoolExecutor(2) as pool:
        woken = [one.result() for one in [pool.submit(parent.bed.processes.answers.wake) for _ in range(2)]]
    assert sum(map(len, woken)) == 1


@pytest.mark.usefixtures("own_database")  # a plan depends on the statistics of what was there before
def test_look_at_children_is_one_into_an_index(bed_of, statements):
    """Which has those at work only: how many have ended costs nothing."""
    bed = bed_of()
    bed.run("configure_ports").run_children()
    copies = (
        "INSERT INTO processes (process_id, workflow_id, last_status, step_keys, parent_process_id) SELECT "
        "gen_random_uuid(), workflow_id, 'completed', step_keys, parent_process_id FROM processes, "
        "generate_series(1, 3000) WHERE parent_process_id IS NOT NULL"
    )
    with bed.database.transaction() as session:
        session.execute(text(copies))
        session.execute(text("ANALYZE processes, process_waits"))
        statements.clear()
        assert len(waits.due(Owner(), 10)) == 1
        assert statements.count == 1
        assert f"child.{AT_WORK}" in statements.statements[0]
        plan = session.execute(
            text(
                "EXPLAIN SELECT 1 FROM process_waits w WHERE NOT EXISTS "
                f"(SELECT 1 FROM processes child WHERE child.parent_process_id = w.process_id AND child.{AT_WORK})"
            )
        )
        assert "ix_processes_children_at_work" in "\n".join(plan.scalars())


def test_task_that_was_cleaned_up_had_ended_well(bed_of):
    bed = bed_of()
    parent = bed.run("configure_ports")
    parent.run_children()
    with bed.database.transaction() as session:
        session.execute(text("DELETE FROM processes WHERE process_id = :one"), {"one": parent.children[0].process_id})
    bed.wake()
    parent.assert_completed()
    assert len(parent.state["children_results"]) == 3


def test_missing_children_are_told(engine_of):
    @task("Wait for nobody")
    def wait_for_nobody():
        return begin >> wait_children()

    engine_of(wait_for_nobody).bed.run("wait_for_nobody").assert_failed("no children to wait for")
