"""Whatever people, external systems and the clock do to processes, in whatever order: nothing that is stored lies."""

from contextlib import ExitStack, suppress
from datetime import timedelta
from uuid import UUID

import pytest
from dagster import DagsterInstance
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from sqlalchemy import select, text

from ops.steps.forms import SubmitFormPage
from ops.steps.step import begin, step
from ops.waiting.wait_steps import callback_step, inputstep, poll_step, retrystep
from orchestrator_defs.jobs.decorators import create_workflow, task
from orchestrator_defs.jobs.orchestrator import Orchestrator
from orchestrator_defs.testing import Run, Testbed
from resources import clock
from resources.database.session import current_session
from resources.database.tables import ProcessStepTable, ProcessTable, ProcessWaitTable, SubscriptionTable
from resources.database.throwaway import fresh_database
from resources.errors import OrchestratorError
from resources.processes import interventions, process_rows
from resources.processes.waits import WaitKind
from resources.runs.refusal import InvalidRunConfig
from resources.types import Assignee, ProcessStatus
from tests.test_resources.test_domain.domain import DeviceInactive
from tests.toy_network import DEVICE

KINDS = ("ask", "call_out", "try_hard", "break_often", "create_device")
WAITS = {
    ProcessStatus.SUSPENDED: {WaitKind.INPUT},
    ProcessStatus.AWAITING_CALLBACK: {WaitKind.CALLBACK},
    ProcessStatus.WAITING: {WaitKind.RETRY, WaitKind.POLL, WaitKind.TIME, WaitKind.PAUSE},
}


class Conditions:
    """Whether external systems work; and the routes that were given out."""

    def __init__(self):
        self.fair = True
        self.routes = []

    def hold(self):
        if not self.fair:
            raise ConnectionError("bad conditions")


def workflows(conditions):
    class Name(SubmitFormPage):
        name: str

    @inputstep("Ask", Assignee.NOC)
    def question():
        page = yield Name
        return {"name": page.name}

    @step("Count")
    def count(state: dict):
        return {"count": state.get("count", 0) + 1}

    @step("Break")
    def breaking():
        conditions.hold()
        return {"broke": False}

    @retrystep("Try", quick_tries=0)
    def trying():
        conditions.hold()
        return {"tried": True}

    @poll_step("Look", every=timedelta(minutes=1))
    def looking():
        return {"seen": True} if conditions.fair else None

    @step("Call")
    def calling(callback_route: str):
        conditions.routes.append(callback_route)
        return {"called": True}

    @step("Check")
    def checking(callback_result: dict):
        return {"checked": callback_result}

    class Host(SubmitFormPage):
        hostname: str = "host"

    @step("Construct")
    def construct(product: UUID, hostname: str):
        subscription = DeviceInactive.from_product_id(product, "customer")
        subscription.device.hostname = hostname
        return {"subscription": subscription}

    @task("Ask")
    def ask():
        return begin >> count >> question >> count

    @task("Call out")
    def call_out():
        return begin >> count >> callback_step("Outside", calling, checking, timeout=120, on_timeout="ask") >> count

    @task("Try hard")
    def try_hard():
        return begin >> trying >> looking >> count

    @task("Break often")
    def break_often():
        return begin >> count >> breaking >> count >> question

    @create_workflow("Create device", initial_input_form=Host, product_type="Device")
    def create_device():
        return begin >> construct >> breaking >> question

    return ask, call_out, try_hard, break_often, create_device


class Hands(RuleBasedStateMachine):
    """Many interventions on many processes."""

    server = None
    runs = Bundle("runs")

    def __init__(self):
        super().__init__()
        self.conditions = Conditions()
        self.opened = ExitStack()
        database = self.opened.enter_context(fresh_database(self.server))
        instance = self.opened.enter_context(DagsterInstance.ephemeral())
        self.bed = Testbed(Orchestrator([DEVICE], workflows(self.conditions), None, database), instance)

    def teardown(self):
        self.opened.close()
        clock._moved = timedelta()

    # --- what is done ---

    @rule(target=runs, kind=st.sampled_from(KINDS))
    def start(self, kind):
        inputs = [{"product": "Test Device"}, {}] if kind == "create_device" else {}
        with suppress(OrchestratorError):  # the engine is paused
            return self.bed.run(kind, inputs).process_id
        return None

    @rule(fair=st.booleans())
    def change_weather(self, fair):
        self.conditions.fair = fair

    @rule(run=runs, page=st.sampled_from([{"name": "x"}, {"nome": "x"}, {"decision": "wait"}, {"decision": "retry"}]))
    def answer(self, run, page):
        self.do(run, lambda one: one.answer(page))

    @rule(run=runs, number=st.integers(0, 5), result=st.integers())
    def call_back(self, run, number, result):
        routes = [route for route in self.conditions.routes if str(run) in route]
        if routes:
            token = routes[number % len(routes)].rpartition("/")[2]
            self.do(
                run,
                lambda one: self.bed.processes.answers.callback(one.process_id, token, {"n": result}) and one.execute(),
            )

    @rule(run=runs)
    def retry(self, run):
        self.do(run, Run.retry)

    @rule(run=runs)
    def skip(self, run):
        self.do(run, lambda one: one.skip(changes={"skipped": True}))

    @rule(run=runs, to=st.sampled_from(["count", "trying", "construct", "calling_group.calling"]))
    def back(self, run, to):
        self.do(run, lambda one: one.back(to))

    @rule(run=runs)
    def abort(self, run):
        self.do(run, Run.abort)

    @rule(run=runs)
    def run_stray(self, run):
        """Somebody re-executes the job in Dagster's page, whole."""
        self.do(run, self.re_execute)

    @rule(minutes=st.integers(1, 200))
    def let_time_pass(self, minutes):
        clock._moved += timedelta(minutes=minutes)
        self.bed.wake()

    @rule(paused=st.booleans())
    def pause(self, paused):
        with self.bed.database.engine.begin() as connection:
            connection.execute(
                text(
                    "INSERT INTO engine_settings (global_lock) VALUES (:paused)"
                    " ON CONFLICT (singleton) DO UPDATE SET global_lock = :paused"
                ),
                {"paused": paused},
            )
        self.bed.wake()

    def do(self, run, what):
        if run is not None:
            with suppress(OrchestratorError, InvalidRunConfig):  # it may be refused, but then nothing has changed
                what(Run(self.bed, run))

    def re_execute(self, run):
        job = self.bed.orchestrator.job(self.names()[run.process_id])
        job.execute_in_process(
            instance=self.bed.instance, raise_on_error=False, tags={"orchestrator/process": str(run.process_id)}
        )

    def names(self):
        with self.bed.database.transaction(read_only=True):
            return process_rows.workflow_names(list(current_session().scalars(select(ProcessTable.process_id))))

    # --- what must be so ---

    @invariant()
    def nothing_lies(self):
        with self.bed.database.transaction(read_only=True) as session:
            for row in session.scalars(select(ProcessTable)):
                self.check(row, session)
            for subscription in session.scalars(
                select(SubscriptionTable).where(SubscriptionTable.locked_by.is_not(None))
            ):
                holder = session.get(ProcessTable, subscription.locked_by)
                assert not ProcessStatus(holder.last_status).is_final, "a finished process holds a subscription"

    def check(self, row, session):
        status = ProcessStatus(row.last_status)
        lines = list(
            session.scalars(
                select(ProcessStepTable)
                .where(ProcessStepTable.process_id == row.process_id)
                .order_by(ProcessStepTable.position)
            )
        )
        kinds = {
            WaitKind(kind)
            for kind in session.scalars(
                select(ProcessWaitTable.kind).where(
                    ProcessWaitTable.process_id == row.process_id, ProcessWaitTable.answered_at.is_(None)
                )
            )
        }
        assert status not in (ProcessStatus.RUNNING, ProcessStatus.RESUMED), f"nobody is at work, yet it is {status}"
        assert row.state == interventions.state_after(lines), "the ledger's changes make another state"
        if status in WAITS:
            assert kinds & WAITS[status], f"it is {status} and waits for {kinds or 'nothing'}"
        else:
            assert not kinds - {WaitKind.CALLBACK}, f"it is {status} and waits for {kinds}"
        if status.is_final:
            assert not kinds, f"it is {status} and waits for {kinds}"
        if status.is_failure:
            assert row.failed_reason, "it failed for no reason"
        if status is ProcessStatus.COMPLETED:
            done = [line.step_key for line in lines if line.status in ("success", "skipped", "complete")]
            keys = self.bed.orchestrator.workflow(self.names_of(row, session)).step_keys
            assert [key for key in done if not key.startswith("__")] == keys, "a step was left out, or done twice"
        run = self.bed.instance.get_run_by_id(row.run_id) if row.run_id else None
        assert run is None or run.is_finished, "its run is still under way"

    def names_of(self, row, session):
        return process_rows.workflow_names([row.process_id])[row.process_id]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_whatever_is_done_in_whatever_order_nothing_lies(server):
    """Random interventions: starts, answers, duplicate and late callbacks, retries, aborts, pauses, failures."""
    machine = type("Hands", (Hands,), {"server": server})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=5,
            stateful_step_count=20,
            deadline=None,
            phases=[Phase.generate],  # what fails is a story of hundreds of runs: to shrink it takes too long
            suppress_health_check=list(HealthCheck),
        ),
    )
