"""Workflows into jobs: what an organisation writes as a list of steps becomes a Dagster job, an op per step."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeAlias

from dagster import (
    Backoff,
    DependencyDefinition,
    GraphDefinition,
    In,
    InputMapping,
    JobDefinition,
    NodeInvocation,
    Nothing,
    OpDefinition,
    OpExecutionContext,
    Out,
    Output,
    OutputMapping,
    RetryPolicy,
    in_process_executor,
)

from ops.context import resource_key
from ops.execution import run_start, run_step
from ops.forms import Form
from ops.lifecycle import resync, set_status
from ops.state import arguments_of
from ops.step import LedgerStep, StepList, done, init
from ops.workflow import AuthCallback, RunPredicate, Workflow
from orchestrator_defs.launchpad import how_to_fill, launchpad, only_page, start_schema
from resources import tags
from resources.errors import WorkflowDeclarationError
from resources.types import SubscriptionLifecycle, Target
from resources.usability import DEFAULT_RULES, UsabilityRule

StepsFunction: TypeAlias = Callable[[], StepList]

AFTER, THEN = "after", "result"
"""Ops are chained by these: an input and an output of type Nothing, since the state lives in the database."""


class WorkflowJob(JobDefinition):
    """A Dagster job that knows the workflow it was made from."""

    workflow: Workflow


# --- the decorators ---


def create_workflow(
    description: str = "",
    initial_input_form: Form | None = None,
    status: SubscriptionLifecycle = SubscriptionLifecycle.ACTIVE,
    additional_steps: StepList | None = None,
    *,
    product_type: str | Sequence[str],
    authorize_callback: AuthCallback | None = None,
    retry_auth_callback: AuthCallback | None = None,
    run_predicate: RunPredicate | None = None,
) -> Callable[[StepsFunction], WorkflowJob]:
    """Make a workflow that creates a subscription.

    Around the steps: start (the form's first page chooses the product), then `additional_steps`, the new `status`, the
    unlocking and the end. A subscription that a step saves is linked to the process and locked by it.
    """
    return _decorator(
        Target.CREATE,
        description,
        lambda steps: steps >> (additional_steps or StepList()) >> set_status(status) >> resync,
        initial_input_form=initial_input_form,
        product_types=_types(product_type),
        authorize_callback=authorize_callback,
        retry_auth_callback=retry_auth_callback,
        run_predicate=run_predicate,
    )


def modify_workflow(
    description: str = "",
    initial_input_form: Form | None = None,
    additional_steps: StepList | None = None,
    *,
    product_type: str | Sequence[str] = (),
    authorize_callback: AuthCallback | None = None,
    retry_auth_callback: AuthCallback | None = None,
    run_predicate: RunPredicate | None = None,
    usable_when: Iterable[SubscriptionLifecycle] | None = None,
    usable_while_out_of_sync: bool | None = None,
    blocked_by_in_use: bool | None = None,
) -> Callable[[StepsFunction], WorkflowJob]:
    """Make a workflow that changes a subscription.

    The start takes the subscription for the process: linked, locked and out of sync, in one transaction. Behind the
    steps: `additional_steps`, the unlocking and the end.
    """
    return _decorator(
        Target.MODIFY,
        description,
        lambda steps: steps >> (additional_steps or StepList()) >> resync,
        initial_input_form=initial_input_form,
        product_types=_types(product_type),
        authorize_callback=authorize_callback,
        retry_auth_callback=retry_auth_callback,
        run_predicate=run_predicate,
        rule=_rule(Target.MODIFY, usable_when, usable_while_out_of_sync, blocked_by_in_use),
    )


def terminate_workflow(
    description: str = "",
    initial_input_form: Form | None = None,
    additional_steps: StepList | None = None,
    *,
    product_type: str | Sequence[str] = (),
    authorize_callback: AuthCallback | None = None,
    retry_auth_callback: AuthCallback | None = None,
    run_predicate: RunPredicate | None = None,
    usable_when: Iterable[SubscriptionLifecycle] | None = None,
    usable_while_out_of_sync: bool | None = None,
    blocked_by_in_use: bool | None = None,
) -> Callable[[StepsFunction], WorkflowJob]:
    """Make a workflow that ends a subscription: as a modify workflow, with the status terminated before the unlocking.

    A subscription that others use cannot be terminated, unless `blocked_by_in_use` is False.
    """
    return _decorator(
        Target.TERMINATE,
        description,
        lambda steps: (
            steps >> (additional_steps or StepList()) >> set_status(SubscriptionLifecycle.TERMINATED) >> resync
        ),
        initial_input_form=initial_input_form,
        product_types=_types(product_type),
        authorize_callback=authorize_callback,
        retry_auth_callback=retry_auth_callback,
        run_predicate=run_predicate,
        rule=_rule(Target.TERMINATE, usable_when, usable_while_out_of_sync, blocked_by_in_use),
    )


def validate_workflow(
    description: str = "",
    *,
    product_type: str | Sequence[str] = (),
    run_predicate: RunPredicate | None = None,
    usable_when: Iterable[SubscriptionLifecycle] | None = None,
) -> Callable[[StepsFunction], WorkflowJob]:
    """Make a workflow that compares a subscription with reality.

    It takes nothing and lets go of nothing: only a step that raises DriftFound puts the subscription out of sync, and
    only if nobody has taken or changed it meanwhile.
    """
    return _decorator(
        Target.VALIDATE,
        description,
        lambda steps: steps,
        product_types=_types(product_type),
        run_predicate=run_predicate,
        rule=_rule(Target.VALIDATE, usable_when),
    )


def reconcile_workflow(
    description: str = "",
    additional_steps: StepList | None = None,
    *,
    product_type: str | Sequence[str] = (),
    authorize_callback: AuthCallback | None = None,
    retry_auth_callback: AuthCallback | None = None,
    run_predicate: RunPredicate | None = None,
    usable_when: Iterable[SubscriptionLifecycle] | None = None,
) -> Callable[[StepsFunction], WorkflowJob]:
    """Make a workflow that pushes what the subscription says to reality again; it may start out of sync."""
    return _decorator(
        Target.RECONCILE,
        description,
        lambda steps: steps >> (additional_steps or StepList()) >> resync,
        product_types=_types(product_type),
        authorize_callback=authorize_callback,
        retry_auth_callback=retry_auth_callback,
        run_predicate=run_predicate,
        rule=_rule(Target.RECONCILE, usable_when),
    )


def task(
    description: str = "",
    initial_input_form: Form | None = None,
    additional_steps: StepList | None = None,
    *,
    authorize_callback: AuthCallback | None = None,
    retry_auth_callback: AuthCallback | None = None,
    run_predicate: RunPredicate | None = None,
) -> Callable[[StepsFunction], WorkflowJob]:
    """Make a workflow that has no subscription: what the system does for itself."""
    return _decorator(
        Target.SYSTEM,
        description,
        lambda steps: steps >> (additional_steps or StepList()),
        initial_input_form=initial_input_form,
        authorize_callback=authorize_callback,
        retry_auth_callback=retry_auth_callback,
        run_predicate=run_predicate,
    )


def workflow(
    description: str = "",
    initial_input_form: Form | None = None,
    target: Target = Target.SYSTEM,
    *,
    product_type: str | Sequence[str] = (),
    authorize_callback: AuthCallback | None = None,
    retry_auth_callback: AuthCallback | None = None,
    run_predicate: RunPredicate | None = None,
    usable_when: Iterable[SubscriptionLifecycle] | None = None,
    usable_while_out_of_sync: bool | None = None,
    blocked_by_in_use: bool | None = None,
    takes_subscription: bool = True,
) -> Callable[[StepsFunction], WorkflowJob]:
    """Make a workflow of any target, with only the start and the end added; unlocking is then the steps' own affair.

    Without `takes_subscription` it starts without taking its subscription, which stays in sync.
    """
    return _decorator(
        target,
        description,
        lambda steps: steps,
        initial_input_form=initial_input_form,
        product_types=_types(product_type),
        authorize_callback=authorize_callback,
        retry_auth_callback=retry_auth_callback,
        run_predicate=run_predicate,
        rule=_rule(target, usable_when, usable_while_out_of_sync, blocked_by_in_use),
        takes_subscription=takes_subscription,
    )


def _types(product_type: str | Sequence[str]) -> tuple[str, ...]:
    return (product_type,) if isinstance(product_type, str) else tuple(product_type)


def _rule(
    target: Target,
    usable_when: Iterable[SubscriptionLifecycle] | None,
    usable_while_out_of_sync: bool | None = None,
    blocked_by_in_use: bool | None = None,
) -> UsabilityRule:
    """The target's own rule, with what the workflow says otherwise."""
    rule = DEFAULT_RULES[target]
    return UsabilityRule(
        usable_when=rule.usable_when if usable_when is None else frozenset(usable_when),
        usable_while_out_of_sync=_either(usable_while_out_of_sync, rule.usable_while_out_of_sync),
        blocked_by_in_use=_either(blocked_by_in_use, rule.blocked_by_in_use),
    )


def _either(said: bool | None, default: bool) -> bool:
    return default if said is None else said


def _decorator(
    target: Target, description: str, around: Callable[[StepList], StepList], **rules: Any
) -> Callable[[StepsFunction], WorkflowJob]:
    def decorate(function: StepsFunction) -> WorkflowJob:
        steps = function()
        if not isinstance(steps, StepList):
            raise WorkflowDeclarationError(
                f"{function.__name__} returns {type(steps).__name__}; a workflow returns its steps: begin >> a >> b."
            )
        spec = Workflow(
            name=function.__name__,
            description=description or _first_line(function) or function.__name__.replace("_", " ").capitalize(),
            target=target,
            steps=StepList([init]) >> around(steps) >> done,
            **rules,
        )
        return job_of(spec, doc=function.__doc__)

    return decorate


def _first_line(function: StepsFunction) -> str:
    return (function.__doc__ or "").strip().partition("\n")[0].rstrip(".")


# --- the job ---


def job_of(spec: Workflow, doc: str | None = None) -> WorkflowJob:
    """Build the Dagster job of a workflow: its steps in a chain, executed in process."""
    job = WorkflowJob(
        graph_def=_chain(spec.name, _nodes(spec), is_inner=False),
        executor_def=in_process_executor,
        config=launchpad(spec),
        description=_description(spec, doc),
        tags={tags.WORKFLOW: spec.name, tags.TARGET: spec.target.value},
    )
    job.workflow = spec
    return job


def _description(spec: Workflow, doc: str | None) -> str:
    lines = [spec.description, ""]
    if doc and (rest := doc.strip().partition("\n")[2].strip()):
        lines += [rest, ""]
    if only_page(spec) is None:
        lines += [_form_description(spec), ""]
    lines += [f"{number}. {step.label}" for number, step in enumerate(spec.ledger_steps, 1)]
    return "\n".join(lines)


def _form_description(spec: Workflow) -> str:
    """What a form asks that is made while it is filled in: all that can be said before."""
    form = spec.initial_input_form
    asks = ((form.__doc__ or "") if form else "").strip().partition("\n")[0]
    return (
        f"{how_to_fill(spec).capitalize()}. {asks} With too few pages a run fails at once and says what the next page "
        "asks; nothing is written then."
    )


def _nodes(spec: Workflow) -> Iterator[tuple[str, OpDefinition | GraphDefinition]]:
    """The nodes of a workflow's graph in order: an op per step, a graph of ops per group."""
    inside: list[tuple[str, OpDefinition]] = []
    places = spec.ledger_steps
    for place, following in zip(places, [*places[1:], None], strict=True):
        op = _op(spec, place)
        if place.group is None:
            yield place.path[0], op
            continue
        inside.append((place.path[1], op))
        if following is None or following.path[0] != place.path[0]:
            yield place.path[0], _chain(f"{spec.name}__{place.path[0]}", inside, is_inner=True, label=place.group.label)
            inside = []


def _op(spec: Workflow, place: LedgerStep) -> OpDefinition:
    """The op of a step. Its definition is named after the workflow too: names are unique in a code location."""
    is_first = place.position == 0
    run = run_start if is_first else run_step

    def compute(context: OpExecutionContext, inputs: Any) -> Iterator[Output[None]]:
        yield from run(context, spec, place)

    function = place.step.function
    return OpDefinition(
        compute_fn=compute,
        name=f"{spec.name}__{'__'.join(place.path)}",
        ins={} if is_first else {AFTER: In(Nothing)},
        outs={THEN: Out(Nothing, is_required=False)},
        config_schema=start_schema() if is_first else None,
        description="\n\n".join(part for part in (place.label, function.__doc__) if part),
        required_resource_keys={"database", *_resource_keys(spec, place)},
        retry_policy=_retry_policy(place),
    )


def _retry_policy(place: LedgerStep) -> RetryPolicy | None:
    """The quick tries of a retry step, inside its run; its long pauses are waits."""
    rule = place.step.retry
    if rule is None or rule.quick_tries == 0:
        return None
    return RetryPolicy(
        max_retries=rule.quick_tries, delay=rule.quick_pause.total_seconds(), backoff=Backoff.EXPONENTIAL
    )


def _resource_keys(spec: Workflow, place: LedgerStep) -> Iterator[str]:
    """The external resources that a step names in its parameters; the first op needs those of the form."""
    if place.position == 0:
        yield from form_resource_keys(spec)
    else:
        yield from map(resource_key, arguments_of(place.step.function).resource_types)


def form_resource_keys(spec: Workflow) -> Iterator[str]:
    """The external resources that a workflow's forms name in their parameters: that of the start, and of its steps."""
    for form in (spec.initial_input_form, *(place.step.form for place in spec.ledger_steps)):
        if form is not None and not isinstance(form, type):
            yield from map(resource_key, arguments_of(form).resource_types)


def _chain(
    name: str, nodes: Iterable[tuple[str, OpDefinition | GraphDefinition]], *, is_inner: bool, label: str | None = None
) -> GraphDefinition:
    """One node behind the other. An inner graph is a link of a chain itself, so it hands the chain through."""
    nodes = list(nodes)
    names = [node_name for node_name, _ in nodes]
    dependencies: dict[NodeInvocation, dict[str, Any]] = {}
    for (node_name, definition), before in zip(nodes, [None, *names], strict=False):
        links = {} if before is None else {AFTER: DependencyDefinition(before, THEN)}
        dependencies[NodeInvocation(definition.name, alias=node_name)] = links
    return GraphDefinition(
        name=name,
        description=label,
        node_defs=[definition for _, definition in nodes],
        dependencies=dependencies,
        input_mappings=[_link_in(names[0])] if is_inner else None,
        output_mappings=[_link_out(names[-1])] if is_inner else None,
    )


def _link_in(first: str) -> InputMapping:
    return InputMapping(graph_input_name=AFTER, mapped_node_name=first, mapped_node_input_name=AFTER)


def _link_out(last: str) -> OutputMapping:
    return OutputMapping(graph_output_name=THEN, mapped_node_name=last, mapped_node_output_name=THEN)
