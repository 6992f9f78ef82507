"""Validate a node."""

from carried_over.products.node import Node
from orchestrator.core.utils.errors import InconsistentDataError
from orchestrator.core.utils.json import json_dumps
from orchestrator.core.workflow import StepList, begin, step
from orchestrator.core.workflows.utils import validate_workflow
from pydantic_forms.types import State


@step("Validate IMS")
def validate_ims(subscription: Node) -> State:
    expected = {"name": subscription.node.node_name, "tag": subscription.node.tag}
    if subscription.node.node_name.startswith("lost"):
        raise InconsistentDataError("IMS has no such node.", details=json_dumps(expected))
    return {"validated": json_dumps(expected)}


@validate_workflow("Validate node", product_type="Carried Node")
def validate_node() -> StepList:
    return begin >> validate_ims
