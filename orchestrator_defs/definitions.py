"""The composition root: the one module that names the real products, workflows and external systems."""

from pathlib import Path

from orchestrator_defs.jobs.orchestrator import Orchestrator
from orchestrator_defs.location import complete_definitions
from orchestrator_defs.products import core_link as core_link_workflows
from orchestrator_defs.products import l2vpn as l2vpn_workflows
from orchestrator_defs.products import node as node_workflows
from orchestrator_defs.products import port as port_workflows
from orchestrator_defs.products.sample import sample_network
from resources.lab.clients import NetBoxOrLab, PlaybookRunnerOrLab
from resources.products import core_link, l2vpn, node, port

orchestrator = Orchestrator(
    products=[*node.PRODUCTS, *port.PRODUCTS, *core_link.PRODUCTS, *l2vpn.PRODUCTS],
    workflows=[
        *node_workflows.WORKFLOWS,
        *port_workflows.WORKFLOWS,
        *core_link_workflows.WORKFLOWS,
        *l2vpn_workflows.WORKFLOWS,
    ],
    resources={"netbox": NetBoxOrLab(), "playbooks": PlaybookRunnerOrLab()},
    translations=[Path(node.__file__).with_name("locales")],
    sample=sample_network,
)

defs = complete_definitions(orchestrator)
