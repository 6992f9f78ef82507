"""Makes jobs of workflows: a list of steps becomes a Dagster job with an op for each step."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from inspect import signature
from itertools import groupby
from typing import Any, TypeAlias, TypedDict, TypeVar, Unpack, cast, get_args, get_type_hints

from dagster import (
    Backoff,
    DependencyDefinition,
    ExecutorDefinition,
    GraphDefinition,
    In,
    InputMapping,
    JobDefinition,
    MultiDependencyDefinition,
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

from ops.running.asset_reports import Report
from ops.running.execution import IN_PROCESS, ONE_PROCESS, run_step
from ops.running.first_step import run_start
from ops.steps.acceptance import Accepts
from ops.steps.arguments import arguments_of, check_arguments
from ops.steps.forms import Form
from ops.steps.lifecycle_steps import resync, resync_reconciled, set_status
from ops.steps.step import AnySteps, Branch, LedgerStep, Step, StepList, as_steps, done, enumerate_steps, init, key_of
from ops.steps.workflow import AuthCallback, RunPredicate, Workflow
from orchestrator_defs.jobs.launchpad import Launchpad, how_to_fill, only_page, start_schema
from resources import tags
from resources.declaring import declares
from resources.domain.models.formerly import former_names
from resources.errors import WorkflowDeclarationError
from resources.subscriptions.usability import DEFAULT_RULES, UsabilityRule
from resources.types import SubscriptionLifecycle, Target

StepsFunction: TypeAlias = Callable[[], StepList]
Decorated: TypeAlias = Callable[[StepsFunction], "WorkflowJob"]
Decorator = TypeVar("Decorator", bound=Callable[..., Any])

AFTER, THEN = "after", "result"
"""The input and output, of type Nothing, that chain ops: the state lives in the database."""


class WorkflowJob(JobDefinition):
    """A Dagster job that knows its workflow, also as a copy with hooks, loggers or resources."""

    workflow: Workflow

    def _copy(self, **changes: Any) -> "WorkflowJob":  # Dagster makes every copy of a job by this
        copied = super()._copy(**changes)
        copied.__class__ = WorkflowJob
        assert isinstance(copied, WorkflowJob), "it has just become one"
        copied.workflow = self.workflow
        return copied

    def with_executor_def(self, executor_def: ExecutorDefinition) -> "WorkflowJob":
        """The job with an executor that runs its steps in one process. Raises WorkflowDeclarationError."""
        if executor_def.name not in IN_PROCESS:
            raise WorkflowDeclarationError(f"{self.name}: {ONE_PROCESS.format(executor_def.name)}")
        return cast(WorkflowJob, super().with_executor_def(executor_def))


# --- the decorators ---


class StartRules(TypedDict, total=False):
    """The rules of a workflow for its start and its continuation, and `formerly`, its former name or names."""

    formerly: str | Sequence[str]
    authorize_callback: AuthCallback | None
    retry_auth_callback: AuthCallback | None
    run_predicate: RunPredicate | None


class SubscriptionRules(StartRules, total=False):
    """The rules of a workflow for its subscription; those of its target by default."""

    usable_when: Iterable[SubscriptionLifecycle] | None
    usable_while_out_of_sync: bool | None
    blocked_by_in_use: bool | None


def _spelled_out(decorator: Decorator) -> Decorator:
    """Check the arguments, and show each rule in the signature."""
    (rules,) = get_args(decorator.__annotations__["rules"])
    return declares(decorator, get_type_hints(rules))


@_spelled_out
def create_workflow(
    description: str = "",
    initial_input_form: Form | None = None,
    status: SubscriptionLifecycle = SubscriptionLifecycle.ACTIVE,
    additional_steps: AnySteps | None = None,
    *,
    product_type: str | Sequence[str],
    **rules: Unpack[StartRules],
) -> Decorated:
    """Make a workflow that creates a subscription.

    Around the steps: start (the form's first page chooses the product), then `additional_steps`, the new `status`, the
    unlocking and the end. A subscription that a step saves is linked to the process and locked by it.
    """
    last = _more(additional_steps) >> set_status(status) >> resync
    return _decorated(Target.CREATE, description, last, initial_input_form, product_type, **rules)


@_spelled_out
def modify_workflow(
    description: str = "",
    initial_input_form: Form | None = None,
    additional_steps: AnySteps | None = None,
    *,
    product_type: str | Sequence[str] = (),
    accepts: Accepts | None = None,
    **rules: Unpack[SubscriptionRules],
) -> Decorated:
    """Make a workflow that changes a subscription.

    The start links the subscription to the process, locks it and puts it out of sync, in one transaction. After the
    steps: `additional_steps`, the unlocking and the end. `accepts` is a function that turns the `differences` which a
    validation found into values of the form, by field; without it each is the field with the name of its path's end.
    """
    last = _more(additional_steps) >> resync
    if accepts is not None:
        check_arguments(accepts)
    return _decorated(Target.MODIFY, description, last, initial_input_form, product_type, accepts=accepts, **rules)


@_spelled_out
def terminate_workflow(
    description: str = "",
    initial_input_form: Form | None = None,
    additional_steps: AnySteps | None = None,
    *,
    product_type: str | Sequence[str] = (),
    **rules: Unpack[SubscriptionRules],
) -> Decorated:
    """Make a workflow that ends a subscription: like a modify workflow, with the status terminated before the
    unlocking.

    A subscription that others use cannot be terminated, unless `blocked_by_in_use` is False.
    """
    last = _more(additional_steps) >> set_status(SubscriptionLifecycle.TERMINATED) >> resync
    return _decorated(Target.TERMINATE, description, last, initial_input_form, product_type, **rules)


@declares
def validate_workflow(
    description: str = "",
    *,
    product_type: str | Sequence[str] = (),
    run_predicate: RunPredicate | None = None,
    usable_when: Iterable[SubscriptionLifecycle] | None = None,
    in_batch: bool = True,
    formerly: str | Sequence[str] = (),
) -> Decorated:
    """Make a workflow that compares a subscription with reality.

    It locks nothing: only a step that raises DriftFound puts the subscription out of sync, and only if no process has
    locked or changed it since. The fleet is validated in batches, many subscriptions in one run, unless a step waits or
    starts processes, or `in_batch` is False, as for one whose steps write.
    """
    return _decorated(
        Target.VALIDATE,
        description,
        product_type=product_type,
        run_predicate=run_predicate,
        usable_when=usable_when,
        in_batch=in_batch,
        formerly=formerly,
    )


@_spelled_out
def reconcile_workflow(
    description: str = "",
    additional_steps: AnySteps | None = None,
    *,
    product_type: str | Sequence[str] = (),
    usable_when: Iterable[SubscriptionLifecycle] | None = None,
    **rules: Unpack[StartRules],
) -> Decorated:
    """Make a workflow that applies the subscription to reality again; it may start out of sync."""
    last = _more(additional_steps) >> resync_reconciled
    return _decorated(Target.RECONCILE, description, last, product_type=product_type, usable_when=usable_when, **rules)


@_spelled_out
def task(
    description: str = "",
    initial_input_form: Form | None = None,
    additional_steps: AnySteps | None = None,
    **rules: Unpack[StartRules],
) -> Decorated:
    """Make a workflow without a subscription, for the system's own work."""
    return _decorated(Target.SYSTEM, description, _more(additional_steps), initial_input_form, **rules)


@_spelled_out
def workflow(
    description: str = "",
    initial_input_form: Form | None = None,
    target: Target = Target.SYSTEM,
    *,
    product_type: str | Sequence[str] = (),
    takes_subscription: bool = True,
    **rules: Unpack[SubscriptionRules],
) -> Decorated:
    """Make a workflow of any target, with only the start and the end added; its steps unlock the subscription.

    Without `takes_subscription` it starts without locking its subscription, which stays in sync.
    """
    return _decorated(
        target, description, None, initial_input_form, product_type, takes_subscription=takes_subscription, **rules
    )


def _decorated(
    target: Target,
    description: str,
    last: StepList | None = None,
    initial_input_form: Form | None = None,
    product_type: str | Sequence[str] = (),
    *,
    takes_subscription: bool = True,
    in_batch: bool = True,
    accepts: Accepts | None = None,
    **rules: Unpack[SubscriptionRules],
) -> Decorated:
    def decorate(function: StepsFunction) -> WorkflowJob:
        key_of(function, "workflow")
        if signature(function).parameters:
            raise WorkflowDeclarationError(
                f"{function.__name__} takes parameters; a workflow is a function without any, which returns its steps."
            )
        steps = function()
        if not isinstance(steps, AnySteps):
            raise WorkflowDeclarationError(
                f"{function.__name__} returns {type(steps).__name__}; a workflow returns its steps: begin >> a >> b."
            )
        if initial_input_form is not None and not isinstance(initial_input_form, type):
            check_arguments(initial_input_form)
        if target is Target.CREATE and not product_type:
            raise WorkflowDeclarationError(
                f"{function.__name__} creates subscriptions; say of which `product_type`, as in the list of products."
            )
        inner = _without_ends(as_steps(steps)) >> _without_ends(_more(last))
        spec = Workflow(
            name=function.__name__,
            description=description or _first_line(function) or function.__name__.replace("_", " ").capitalize(),
            target=target,
            steps=StepList([init]) >> _refuse_ends(function.__name__, inner) >> done,
            initial_input_form=initial_input_form,
            product_types=(product_type,) if isinstance(product_type, str) else tuple(product_type),
            rule=_usability(target, rules),
            run_predicate=rules.get("run_predicate"),
            authorize_callback=rules.get("authorize_callback"),
            retry_auth_callback=rules.get("retry_auth_callback"),
            takes_subscription=takes_subscription,
            in_batch=in_batch,
            accepts=accepts,
            formerly=former_names(rules.get("formerly")),
        )
        return job_of(spec, doc=function.__doc__)

    return decorate


def _more(steps: AnySteps | None) -> StepList:
    return StepList() if steps is None else as_steps(steps)


def _without_ends(steps: StepList) -> StepList:
    """Steps without the `init` and `done` around them, which every workflow has and none needs to name."""
    first, last = steps[:1] == (init,), steps[-1:] == (done,)
    return steps[int(first) : len(steps) - int(last)]


def _refuse_ends(name: str, steps: StepList) -> StepList:
    for place in enumerate_steps(steps):
        if place.step.function in (init.function, done.function):
            raise WorkflowDeclarationError(
                f"{name} has {place.label!r} in the middle of its steps; `init` is the first and `done` the last of a "
                "workflow, and both may be left out."
            )
    return steps


def _usability(target: Target, rules: SubscriptionRules) -> UsabilityRule:
    """The target's rule, with the changes of the workflow."""
    known = {field.name for field in fields(UsabilityRule)}
    said: dict[str, Any] = {name: value for name, value in rules.items() if name in known and value is not None}
    if "usable_when" in said:
        said["usable_when"] = frozenset(said["usable_when"])
    return replace(DEFAULT_RULES[target], **said)


def _first_line(function: StepsFunction) -> str:
    return (function.__doc__ or "").strip().partition("\n")[0].rstrip(".")


# --- the job ---


def job_of(spec: Workflow, doc: str | None = None) -> WorkflowJob:
    """Build the Dagster job of a workflow: its steps in a chain, executed in one process."""
    job = WorkflowJob(
        graph_def=_graph(spec.name, _nodes(spec), is_inner=False),
        executor_def=in_process_executor,
        config=Launchpad(spec),
        description=_description(spec, doc),
        tags={tags.WORKFLOW: spec.name},
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
    """The description of a form that code makes page by page."""
    form = spec.initial_input_form
    asks = ((form.__doc__ or "") if form else "").strip().partition("\n")[0]
    return (
        f"Inputs: {how_to_fill(spec)}. {asks} With too few pages nothing is started, and a sentence says what the next "
        "page asks."
    )


@dataclass(frozen=True, slots=True)
class _Node:
    """A node of a workflow's graph, and its predecessors."""

    name: str
    definition: OpDefinition | GraphDefinition
    behind: tuple[str, ...]


def _nodes(spec: Workflow) -> Iterator[_Node]:
    """The nodes of a workflow's graph in order: an op for each step, a graph of ops for each group.

    Each follows the one before it; the first of a branch follows the one before the fork, and the join follows the last
    of each branch.
    """
    trunk: tuple[str, ...] = ()
    ends: dict[Branch, tuple[str, ...]] = {}
    for name, found in groupby(spec.ledger_steps, lambda place: place.path[0]):
        places = list(found)
        first = places[0]
        if first.branch is not None:
            behind = ends.get(first.branch, trunk)
            ends[first.branch] = (name,)
        else:
            behind = tuple(end for (end,) in ends.values()) if first.step.is_join else trunk
            trunk, ends = (name,), {}
        yield _Node(name, _definition(spec, name, places), behind)


def _definition(spec: Workflow, name: str, places: Sequence[LedgerStep]) -> OpDefinition | GraphDefinition:
    group = places[0].group
    if group is None:
        return _op(spec, places[0])
    names = [place.path[1] for place in places]
    links = [(before,) for before in names[:-1]]
    inside = [
        _Node(inner, _op(spec, place), behind) for inner, place, behind in zip(names, places, [(), *links], strict=True)
    ]
    return _graph(f"{spec.name}__{name}", inside, is_inner=True, label=group.label)


def _op(spec: Workflow, place: LedgerStep) -> OpDefinition:
    """The op of a step. Its definition has the workflow in its name: names are unique in a code location."""
    is_first = place.position == 0
    run = run_start if is_first else run_step

    def compute(context: OpExecutionContext, inputs: Any) -> Iterator[Output[None] | Report]:
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
    """The quick retries of a retry step, inside its run; its long pauses are waits. The items of a list share them."""
    rules = [step.retry for step in _steps_of(place) if step.retry is not None and step.retry.quick_tries]
    if not rules:
        return None
    rule = max(rules, key=lambda one: one.quick_tries)
    return RetryPolicy(
        max_retries=rule.quick_tries, delay=rule.quick_pause.total_seconds(), backoff=Backoff.EXPONENTIAL
    )


def _steps_of(place: LedgerStep) -> tuple[Step, ...]:
    """A step, or the steps for each of its items."""
    return place.step.each.steps if place.step.each else (place.step,)


def _resource_keys(spec: Workflow, place: LedgerStep) -> Iterator[str]:
    """The external resources that a step has as parameters; the first op needs those of the form."""
    if place.position == 0:
        yield from form_resource_keys(spec)
        return
    yield from place.step.needs
    for step in _steps_of(place):
        check_arguments(step.function)
        yield from arguments_of(step.function).resource_keys
    if place.step.starts is not None:
        yield from arguments_of(place.step.starts.inputs).resource_keys
        yield from form_resource_keys(place.step.starts.workflow)


def form_resource_keys(spec: Workflow) -> Iterator[str]:
    """The external resources that a workflow's forms have as parameters: that of the start, and of its steps.

    Also those of the function that fills the form with what a validation found.
    """
    for form in (spec.initial_input_form, spec.accepts, *(place.step.form for place in spec.ledger_steps)):
        if form is not None and not isinstance(form, type):
            yield from arguments_of(form).resource_keys


def _graph(name: str, nodes: Iterable[_Node], *, is_inner: bool, label: str | None = None) -> GraphDefinition:
    """Nodes in a chain. An inner graph is a link of a chain itself, so it passes the chain through."""
    nodes = list(nodes)
    return GraphDefinition(
        name=name,
        description=label,
        node_defs=[node.definition for node in nodes],
        dependencies={NodeInvocation(node.definition.name, alias=node.name): _links(node) for node in nodes},
        input_mappings=[_link_in(nodes[0].name)] if is_inner else None,
        output_mappings=[_link_out(nodes[-1].name)] if is_inner else None,
    )


def _links(node: _Node) -> dict[str, Any]:
    links = [DependencyDefinition(before, THEN) for before in node.behind]
    if not links:
        return {}
    return {AFTER: links[0] if len(links) == 1 else MultiDependencyDefinition([*links])}


def _link_in(first: str) -> InputMapping:
    return InputMapping(graph_input_name=AFTER, mapped_node_name=first, mapped_node_input_name=AFTER)


def _link_out(last: str) -> OutputMapping:
    return OutputMapping(graph_output_name=THEN, mapped_node_name=last, mapped_node_output_name=THEN)
