"""Builds a code location: an organisation's products, workflows and external systems as Dagster definitions."""

import sys
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, get_type_hints

from dagster import Definitions

from orchestrator_defs.assets.definitions_of_assets import asset_definitions, assets_of
from orchestrator_defs.jobs.decorators import WorkflowJob
from orchestrator_defs.jobs.orchestrator import DatabaseResource, Orchestrator, Sample
from orchestrator_defs.processes.launching import launch_next
from orchestrator_defs.processes.process_jobs import process_jobs
from orchestrator_defs.sensors.schedule_sensor import schedule_sensor
from orchestrator_defs.sensors.validation_sensor import validation_sensor
from orchestrator_defs.sensors.wake import process_sensors
from resources.catalogue.catalogue import Product
from resources.declaring import check_kinds
from resources.types import Target

_merge = Definitions.merge


def build_definitions(
    products: Iterable[Product],
    workflows: Iterable[WorkflowJob],
    resources: Mapping[str, Any] | None = None,
    translations: Iterable[Path] = (),
    name: str | None = None,
    sample: Sample | None = None,
    assets: bool = True,
) -> Definitions:
    """Make a Dagster code location of an organisation's own products, workflows and external systems.

    `resources` are keyed as steps take them: a class's `resource_key`, else its name in lower case. `translations` are
    folders with an `en-GB.json` and so on. `name` is kept with the processes and the catalogue of this location, and is
    the top package of the calling module by default: name it before that package is renamed.
    `sample(size, number)` makes up subscriptions for `orchestrator seed`, each after those whose blocks it holds.
    Without `assets` the products are no assets in Dagster's page.
    """
    check_kinds("build_definitions", get_type_hints(build_definitions), locals())
    name = name or sys._getframe(1).f_globals["__name__"].partition(".")[0]
    return complete_definitions(
        Orchestrator(products, workflows, resources, translations=translations, name=name, sample=sample), assets=assets
    )


def complete_definitions(orchestrator: Orchestrator, *, assets: bool = True) -> Definitions:
    """Workflows, the jobs that intervene in their processes, the sensors, and the products as assets."""
    is_validated = any(job.workflow.target is Target.VALIDATE for job in orchestrator.jobs)
    sensors = [validation_sensor(orchestrator)] if is_validated else []
    sensors += [schedule_sensor(orchestrator, orchestrator.jobs)]
    orchestrator.launch_next = partial(launch_next, orchestrator)
    if assets:
        orchestrator.product_assets = assets_of(orchestrator.catalogue)
    orchestrator.made = _merge(
        orchestrator.definitions,
        asset_definitions(orchestrator.catalogue, orchestrator.product_assets),
        Definitions(jobs=process_jobs(orchestrator), sensors=[*sensors, *process_sensors(orchestrator)]),
    )
    return orchestrator.made


def merge(*parts: Definitions) -> Definitions:
    """Merge definitions. Those of several orchestrators become one location of one orchestrator, named like the first.

    Tasks, schedules and sensors that each orchestrator has exist once, and act for all. Raises SettingsError when two
    have different databases, or different resources of one key.
    """
    found = {id(one): one for part in parts if (one := _orchestrator_in(part)) is not None}
    if len(found) < 2:
        return _merge(*parts)
    assets = any(one.product_assets.keys for one in found.values())
    return _merge(complete_definitions(Orchestrator.of_all([*found.values()]), assets=assets), *map(_others, parts))


def _orchestrator_in(part: Definitions) -> Orchestrator | None:
    database = (part.resources or {}).get("database")
    return database.orchestrator if isinstance(database, DatabaseResource) else None


def _others(part: Definitions) -> Definitions:
    """What an organisation has added to the definitions of an orchestrator."""
    orchestrator = _orchestrator_in(part)
    if orchestrator is None:
        return part
    made = orchestrator.made
    all_made = (made.jobs, made.schedules, made.sensors, made.assets, made.asset_checks)
    ours = {id(one) for kind in all_made for one in kind or ()}
    return Definitions(
        assets=[one for one in part.assets or () if id(one) not in ours],
        asset_checks=[one for one in part.asset_checks or () if id(one) not in ours],
        executor=part.executor,
        loggers=part.loggers,
        metadata=part.metadata,
        component_tree=part.component_tree,
        jobs=[one for one in part.jobs or () if id(one) not in ours],
        schedules=[one for one in part.schedules or () if id(one) not in ours],
        sensors=[one for one in part.sensors or () if id(one) not in ours],
        resources={key: one for key, one in (part.resources or {}).items() if key not in (made.resources or {})},
    )


Definitions.merge = staticmethod(merge)  # type: ignore[method-assign]  # Dagster has no other way to hear of a merge
