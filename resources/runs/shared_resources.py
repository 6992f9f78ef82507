"""External systems that one object stands for in all runs of a process, instead of one made anew for each run.

Dagster makes a resource anew for each run, by way of the schema of its configuration, which takes longer than most
steps. A class with `is_shared: ClassVar[bool] = True` says that its objects hold their configuration and nothing of a
run; then only another configuration is another object.
"""

import json
from typing import Any

import dagster as dg

from resources.errors import SettingsError

OF_A_RUN = ("yield_for_execution", "teardown_after_execution")
"""What a class defines whose objects begin and end with a run."""


def as_shared(resource: Any) -> Any:
    """A resource as Dagster is to have it; itself when its class does not say that it is shared.

    Its settings are resolved and can be overridden by the run's config, as ever.
    """
    if not (isinstance(resource, dg.ConfigurableResource) and getattr(type(resource), "is_shared", False)):
        return resource
    for name in OF_A_RUN:
        if getattr(type(resource), name) is not getattr(dg.ConfigurableResource, name):
            raise SettingsError(f"{type(resource).__name__} cannot be shared by runs: it has {name}.")
    definition = resource.get_resource_definition()
    make: Any = definition.resource_fn
    made: dict[str, Any] = {}

    def find_or_make(context: dg.InitResourceContext) -> Any:
        configuration = json.dumps(context.resource_config, sort_keys=True, default=str)
        if configuration not in made:
            one = make(context)
            made.clear()  # who configures each run otherwise must not fill the memory
            made[configuration] = one
            return one
        return made[configuration]

    return dg.ResourceDefinition(find_or_make, definition.config_schema, definition.description)
