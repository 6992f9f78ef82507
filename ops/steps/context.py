"""What a step knows about its process."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from resources.errors import StateError


@dataclass(frozen=True, slots=True)
class StepContext:
    """Injected into a step by annotation: `def reserve(context: StepContext)`.

    `idempotency_key` is the same whenever this step of this process runs again: send it to external systems with each
    call, so that they recognise a repeated call. `generation` is how often the process was sent back. `resources` are
    those of the step, `instance` is Dagster's. `ready` takes the processes that the step starts or resumes: they are
    launched when it has committed.
    """

    process_id: UUID
    workflow_name: str
    step_key: str
    user: str
    log: logging.Logger
    generation: int = 0
    resources: Mapping[str, Any] = field(default_factory=dict)
    ready: list[UUID] = field(default_factory=list, repr=False, compare=False)
    run_id: str = ""
    shown: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)
    """What Dagster's page shows of the step besides its state: a text, a number, or a list of mappings as a table."""
    instance: Any = field(default=None, repr=False, compare=False)

    @property
    def idempotency_key(self) -> str:
        """Process and step: one external effect, however often it is attempted. It changes when the process is sent
        back, since the effect is wanted again.
        """
        again = f":{self.generation}" if self.generation else ""
        return f"{self.process_id}:{self.step_key}{again}"


def resource_key(resource_type: type[Any]) -> str:
    """Name the Dagster resource that is injected for a type: its `resource_key`, else its name in lower case."""
    return getattr(resource_type, "resource_key", None) or resource_type.__name__.lower()


@dataclass(frozen=True, slots=True)
class Scope:
    """The sources of arguments besides the state: resources by key, the step's context, and `passing`: values for this
    call only, which are never stored.
    """

    resources: Mapping[str, Any] = field(default_factory=dict)
    context: StepContext | None = None
    passing: Mapping[str, Any] = field(default_factory=dict)

    def resource(self, key: str, function: str) -> Any:
        """Find a resource. Raises StateError when the code location has none."""
        try:
            return self.resources[key]
        except KeyError:
            raise StateError(
                f"No resource {key!r} is bound for {function}; give it to build_definitions(resources={{{key!r}: …}})."
            ) from None
