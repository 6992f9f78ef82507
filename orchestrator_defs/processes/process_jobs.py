"""Dagster jobs for people at the launchpad: they intervene in processes, and answer drift."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from uuid import UUID

from dagster import (
    Any,
    ConfigMapping,
    Field,
    JobDefinition,
    OpExecutionContext,
    String,
    in_process_executor,
    job,
    op,
)

from ops.starting.drift_answer import Answer
from orchestrator_defs.jobs.launchpad import Opening
from orchestrator_defs.jobs.orchestrator import Orchestrator
from orchestrator_defs.processes.processes import Processes
from resources import tags
from resources.errors import REFUSALS, ProcessError
from resources.processes import process_rows
from resources.runs.code_location import CodeLocation
from resources.runs.launched_by import launched_by
from resources.runs.refusal import Refusal
from resources.subscriptions.queries import find_subscription
from resources.types import ProcessId

PROCESS = Opening(String, "<id of the process>", "id of the process, or its beginning", is_required=True)
INPUTS = Field(Any, is_required=False, description="the page of the form, or a list of its pages")
REASON = Field(String, is_required=False, default_value="", description="the reason, for the ledger")


SUBSCRIPTION = Opening(String, "<id of the subscription>", "id of the subscription, or its beginning", is_required=True)
WHY = Opening(String, "<why>", "the reason, for the process and the subscription's history", is_required=True)
WORKFLOW = Field(String, is_required=False, description="the workflow, if several can give the answer")
ANSWERS = {
    Answer.PUSH_INTENT: "Answer the drift that the newest validation found: push what the subscription says.",
    Answer.ACCEPT_REALITY: "Answer the drift that the newest validation found: modify the subscription to it.",
}


def process_jobs(orchestrator: Orchestrator) -> list[JobDefinition]:
    """`answer_process` and `abort_process` for the processes of one orchestrator."""

    @op(config_schema={"process": PROCESS, "inputs": INPUTS})
    def answer(context: OpExecutionContext) -> None:
        """Fill in the form for which a process waits, and resume it. A wrong answer changes nothing."""

        def act(service: Processes, process_id: ProcessId, user: str) -> None:
            service.answers.answer(process_id, context.op_config.get("inputs"), user=user)
            status = service.runs.launch_or_execute(process_id, user=user)
            context.log.info(f"Process {process_id} was resumed: it is {status}.")

        _act(context, orchestrator, act)

    @op(config_schema={"process": PROCESS, "reason": REASON})
    def abort(context: OpExecutionContext) -> None:
        """End a process. What it has done stays; its subscriptions are unlocked, and out of sync."""

        def act(service: Processes, process_id: ProcessId, user: str) -> None:
            found = service.interventions.abort(process_id, user=user, reason=context.op_config["reason"])
            context.log.info(f"Process {process_id} is {'being ' if found.until else ''}aborted. {found.message}")
            if found.until:
                context.log.info(service.interventions.aborts.wait(process_id))

        _act(context, orchestrator, act)

    @job(
        executor_def=in_process_executor,
        config=_launchpad("answer", {"process": PROCESS, "inputs": INPUTS}),
        description="Fill in the form for which a suspended process waits.",
    )
    def answer_process() -> None:
        answer()

    @job(
        executor_def=in_process_executor,
        config=_launchpad("abort", {"process": PROCESS, "reason": REASON}),
        description="End a process; what it has done stays.",
    )
    def abort_process() -> None:
        abort()

    return [answer_process, abort_process, *(_answer_job(orchestrator, answer) for answer in Answer)]


def _answer_job(orchestrator: Orchestrator, answer: Answer) -> JobDefinition:
    fields: dict[str, Field] = {"subscription_id": SUBSCRIPTION, "reason": WHY, "workflow": WORKFLOW}

    @op(name=f"start_{answer}", config_schema=fields)
    def start(context: OpExecutionContext) -> None:
        """Start the workflow that answers the drift. Refused with a sentence when there is none to answer."""
        config = context.op_config
        service, user = _service(context, orchestrator), launched_by(context.instance, context.run.tags)
        with _refusals_shown():
            if config["reason"] == WHY.default_value:
                raise ProcessError(f"Write the reason in the place of {config['reason']}.")
            with service.database.transaction(read_only=True):
                subscription_id = find_subscription(config["subscription_id"]).subscription_id
            process_id = service.starts.answer_drift(
                answer,
                subscription_id,
                reason=config["reason"],
                user=user,
                workflow_name=config.get("workflow"),
                idempotency_key=f"{answer}:{context.run_id}",
            )
            context.instance.add_run_tags(context.run_id, {tags.ACTS_ON: str(process_id)})
            status = service.runs.launch_or_execute(process_id, user=user)
            context.log.info(f"Process {process_id} answers the drift, {answer.label.lower()}: it is {status}.")

    @job(
        name=answer.value,
        executor_def=in_process_executor,
        config=_launchpad(f"start_{answer}", fields),
        description=ANSWERS[answer],
    )
    def answering() -> None:
        start()

    return answering


def _launchpad(name: str, fields: dict[str, Field]) -> ConfigMapping:
    """Make the run config just the op's config."""
    return ConfigMapping(
        config_fn=lambda config: {"ops": {name: {"config": dict(config)}}},
        config_schema=fields,
        receive_processed_config_values=False,
    )


def _act(
    context: OpExecutionContext, orchestrator: Orchestrator, act: Callable[[Processes, ProcessId, str], None]
) -> None:
    """Act as the user of this run; a refusal is shown with its message and not retried."""
    service, user = _service(context, orchestrator), launched_by(context.instance, context.run.tags)
    with _refusals_shown():
        process_id = _find(service, context.op_config["process"])
        context.instance.add_run_tags(context.run_id, {tags.ACTS_ON: str(process_id)})
        act(service, process_id, user)


def _service(context: OpExecutionContext, orchestrator: Orchestrator) -> Processes:
    orchestrator.code = orchestrator.code or CodeLocation.of_run(context.run)
    return Processes(orchestrator, context.instance)


@contextmanager
def _refusals_shown() -> Iterator[None]:
    try:
        yield
    except REFUSALS as error:
        raise Refusal(str(error)) from error


def _find(service: Processes, name: str) -> UUID:
    with service.database.transaction(read_only=True):
        return process_rows.find_process_id(name)
