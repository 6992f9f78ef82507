"""Checks that steps take resources as resources: otherwise a run would look for them in the state, and fail there."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from inspect import Parameter
from typing import Any

from dagster import ConfigurableResource, ResourceDefinition

from ops.steps.arguments import Argument, arguments_of
from ops.steps.workflow import Workflow
from orchestrator_defs.jobs.decorators import WorkflowJob
from resources.errors import WorkflowDeclarationError


def check_resources(jobs: Iterable[WorkflowJob], resources: Mapping[str, Any]) -> None:
    """Refuse a step or form that takes a resource as if it were in the state. Raises WorkflowDeclarationError."""
    others = {key: one for key, one in resources.items() if not isinstance(one, ConfigurableResource)}
    for job in jobs if others else ():
        for function in _functions(job.workflow):
            for argument in arguments_of(function):
                key = next((key for key, one in others.items() if _is_taken(argument, key, one)), None)
                if key is not None:
                    raise WorkflowDeclarationError(_advice(job.name, function, argument, key))


def _functions(workflow: Workflow) -> Iterator[Callable[..., Any]]:
    for place in workflow.ledger_steps:
        steps = place.step.each.steps if place.step.each else (place.step,)
        yield from (step.function for step in steps)
        yield from (form for form in (place.step.form,) if form is not None and not isinstance(form, type))
    form = workflow.initial_input_form
    if form is not None and not isinstance(form, type):
        yield form


def _is_taken(argument: Argument, key: str, resource: Any) -> bool:
    """Whether a parameter wants this resource, by its class or its name, and would not get it."""
    kind = argument.annotation
    if argument.resource is not None or not isinstance(kind, type) or kind.__module__ == "builtins":
        return False
    is_meant = isinstance(resource, ResourceDefinition) or kind is Parameter.empty
    return kind in type(resource).__mro__ or (is_meant and argument.name == key)


def _advice(job: str, function: Callable[..., Any], argument: Argument, key: str) -> str:
    kind = "Any" if argument.annotation is Parameter.empty else argument.annotation.__name__
    return (
        f"{job}: {function.__name__} takes {argument.name!r} from the state, though there is a resource {key!r}. Derive"
        f" its class from dagster.ConfigurableResource, or write `{key}: dagster.ResourceParam[{kind}]`."
    )
