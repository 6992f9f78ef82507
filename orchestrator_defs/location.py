"""Builds a code location: an organisation's products, workflows and external systems as Dagster definitions."""

import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from dagster import Definitions

from orchestrator_defs.jobs.decorators import WorkflowJob
from orchestrator_defs.jobs.orchestrator import Orchestrator
from orchestrator_defs.processes.process_jobs import process_jobs
from orchestrator_defs.sensors.validation_sensor import validation_sensor
from orchestrator_defs.sensors.wake import process_sensors
from resources.catalogue.catalogue import Product
from resources.types import Target


def build_definitions(
    products: Iterable[Product],
    workflows: Iterable[WorkflowJob],
    resources: Mapping[str, Any] | None = None,
    translations: Iterable[Path] = (),
    name: str | None = None,
) -> Definitions:
    """Make a Dagster code location of an organisation's own products, workflows and external systems.

    `resources` are keyed as steps take them: a class's `resource_key`, else its name in lower case. `translations` are
    folders with an `en-GB.json` and so on. `name` is kept with the processes and the catalogue of this location, and is
    the top package of the calling module by default: name it before that package is renamed.
    """
    name = name or sys._getframe(1).f_globals["__name__"].partition(".")[0]
    return complete_definitions(Orchestrator(products, workflows, resources, translations=translations, name=name))


def complete_definitions(orchestrator: Orchestrator) -> Definitions:
    """An orchestrator's workflows, the jobs that intervene in their processes, and the sensors."""
    validations = [job for job in orchestrator.jobs if job.workflow.target is Target.VALIDATE]
    sensors = [validation_sensor(orchestrator, validations)] if validations else []
    return Definitions.merge(
        orchestrator.definitions,
        Definitions(jobs=process_jobs(orchestrator), sensors=[*sensors, *process_sensors(orchestrator)]),
    )
