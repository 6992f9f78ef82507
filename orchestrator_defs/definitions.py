"""The composition root: the one place that knows the real products, workflows and external systems."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from dagster import Definitions

from orchestrator_defs.jobs.decorators import WorkflowJob
from orchestrator_defs.orchestrator import Orchestrator
from orchestrator_defs.processes.process_jobs import process_jobs
from orchestrator_defs.products import core_link as core_link_workflows
from orchestrator_defs.products import l2vpn as l2vpn_workflows
from orchestrator_defs.products import node as node_workflows
from orchestrator_defs.products import port as port_workflows
from orchestrator_defs.sensors.wake import process_sensors
from resources.catalogue.catalogue import Product
from resources.products import core_link, l2vpn, node, port
from resources.systems.netbox import NetBox
from resources.systems.playbooks import PlaybookRunner


def build_definitions(
    products: Iterable[Product],
    workflows: Iterable[WorkflowJob],
    resources: Mapping[str, Any] | None = None,
    translations: Iterable[Path] = (),
) -> Definitions:
    """Make a Dagster code location of an organisation's own products, workflows and external systems.

    `resources` are keyed as steps take them: a class's `resource_key`, else its name in lower case. `translations` are
    folders with an `en-GB.json` and so on.
    """
    return complete_definitions(Orchestrator(products, workflows, resources, translations=translations))


def complete_definitions(orchestrator: Orchestrator) -> Definitions:
    """An orchestrator's workflows, what lays hands on their processes, and the sensors that keep those going."""
    return Definitions.merge(
        orchestrator.definitions,
        Definitions(jobs=process_jobs(orchestrator), sensors=process_sensors(orchestrator)),
    )


orchestrator = Orchestrator(
    products=[*node.PRODUCTS, *port.PRODUCTS, *core_link.PRODUCTS, *l2vpn.PRODUCTS],
    workflows=[
        *node_workflows.WORKFLOWS,
        *port_workflows.WORKFLOWS,
        *core_link_workflows.WORKFLOWS,
        *l2vpn_workflows.WORKFLOWS,
    ],
    resources={"netbox": NetBox(), "playbooks": PlaybookRunner()},
    translations=[Path(node.__file__).with_name("locales")],
)

defs = complete_definitions(orchestrator)
