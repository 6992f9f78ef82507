"""Builds a code location: an organisation's products, workflows and external systems as Dagster definitions."""

import sys
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, get_type_hints

from dagster import Definitions, in_process_executor

from orchestrator_defs.assets.asset_definitions import asset_definitions, assets_of
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
KINDS = ("jobs", "schedules", "sensors", "assets", "asset_checks")
PARTS = (*KINDS, "resources", "executor", "loggers", "metadata", "component_tree")
"""What definitions are made of; the first are lists."""


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
        Definitions(
            executor=in_process_executor,  # workers execute runs in the process that has the definitions
            jobs=process_jobs(orchestrator),
            sensors=[*sensors, *process_sensors(orchestrator)],
        ),
    )
    return orchestrator.made


def merge(*parts: Definitions) -> Definitions:
    """Merge definitions. Those of several orchestrators become one location of one orchestrator, named like the first.

    Tasks, schedules and sensors that each orchestrator has exist once, and act for all. Raises SettingsError when two
    have different databases, or different resources of one key.
    """
    found = {id(one): one for part in parts if (one := _orchestrator_in(part)) is not None}
    if len(found) < 2:
        return _merge(*_with_one_executor(parts))
    assets = any(one.product_assets.keys for one in found.values())
    joined = complete_definitions(Orchestrator.of_all([*found.values()]), assets=assets)
    return _merge(*_with_one_executor([joined, *map(_others, parts)]))


def _with_one_executor(parts: Sequence[Definitions]) -> Iterable[Definitions]:
    """Where an organisation names an executor, it is the default, and ours is not."""
    if all(part.executor in (None, in_process_executor) for part in parts):
        return parts
    return [_changed(part, executor=None) if part.executor is in_process_executor else part for part in parts]


def _changed(part: Definitions, **changes: Any) -> Definitions:
    return Definitions(**{name: getattr(part, name) for name in PARTS} | changes)


def _orchestrator_in(part: Definitions) -> Orchestrator | None:
    database = (part.resources or {}).get("database")
    return database.orchestrator if isinstance(database, DatabaseResource) else None


def _others(part: Definitions) -> Definitions:
    """What an organisation has added to the definitions of an orchestrator."""
    orchestrator = _orchestrator_in(part)
    if orchestrator is None:
        return part
    made = orchestrator.made
    ours = {id(one) for kind in KINDS for one in getattr(made, kind) or ()}
    left: dict[str, Any] = {kind: [one for one in getattr(part, kind) or () if id(one) not in ours] for kind in KINDS}
    resources = {key: one for key, one in (part.resources or {}).items() if key not in (made.resources or {})}
    return _changed(part, resources=resources, **left)


Definitions.merge = staticmethod(merge)  # type: ignore[method-assign]  # Dagster has no other way to hear of a merge
