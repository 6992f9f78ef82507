"""One object for an external system in all runs of a process, instead of one for each run.

Dagster makes a resource for each run, through the schema of its configuration, which takes longer than most steps. A
class with `is_shared: ClassVar[bool] = True` declares that its objects hold their configuration and nothing of a run;
then only another configuration makes another object.
"""

import json
from typing import Any

import dagster as dg

from resources.errors import SettingsError

OF_A_RUN = ("yield_for_execution", "teardown_after_execution")
"""Methods of a class whose objects begin and end with a run."""


def as_shared(resource: Any) -> Any:
    """The resource to give to Dagster; itself when its class does not declare that it is shared.

    Settings are resolved, and a run's config can override them, as usual.
    """
    if isinstance(resource, dg.ConfigurableResource) and not issubclass(type(resource), dg.ConfigurableResource):
        return dg.ResourceDefinition.hardcoded_resource(resource)  # a mock with the class as its `spec`
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
            made.clear()  # a configuration for each run must not fill the memory
            made[configuration] = one
            return one
        return made[configuration]

    # Of the class of the original, so that Dagster's page shows the name, the description and the settings of that.
    return type(definition)(
        definition.configurable_resource_cls,
        find_or_make,
        definition.config_schema,
        definition.description,
        definition.nested_resources,
        definition.nested_partial_resources,
    )
