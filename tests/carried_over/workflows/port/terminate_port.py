"""Terminate a port."""

from carried_over.products.port import Port
from carried_over.workflows.shared import is_used
from orchestrator.core.utils.errors import ProcessFailureError
from orchestrator.core.workflow import StepList, begin, step
from orchestrator.core.workflows.utils import terminate_workflow


@step("Check that nobody uses it")
def check_unused(subscription: Port) -> None:
    if is_used(subscription.port):
        raise ProcessFailureError("The port is in use.", details={"port": subscription.port.name})


@terminate_workflow("Terminate port", product_type="Carried Port")
def terminate_port() -> StepList:
    return begin >> check_unused
