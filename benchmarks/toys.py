"""Jobs that do next to nothing, so that what is measured is the price of a step: as plain ops, and as our own steps."""

import dagster as dg

from ops.steps.step import StepList, step
from orchestrator_defs.jobs.decorators import modify_workflow, task
from resources.products.l2vpn import L2vpn
from resources.types import State

FEW, MANY = 10, 50


@dg.op(ins={"after": dg.In(dg.Nothing)}, out=dg.Out(dg.Nothing))
def nothing() -> None:
    """What an op costs."""


def _chain(length: int) -> dg.JobDefinition:
    """Ops in a row that hand nothing on, executed as our workflows are: in one process."""

    @dg.job(
        name=f"ops_{length}",
        executor_def=dg.in_process_executor,
        resource_defs={"io_manager": dg.mem_io_manager},
    )
    def chain() -> None:
        before = nothing.alias("op_0")()
        for number in range(1, length):
            before = nothing.alias(f"op_{number}")(after=before)

    return chain


OPS = (_chain(FEW), _chain(MANY))


@step("Trivial")
def trivial(count: int = 0) -> State:
    """What a step costs that reads and changes one value of the state."""
    return {"count": count + 1}


@step("Read and write")
def read_and_write(subscription: L2vpn) -> State:
    """What a step costs that loads a subscription of 31 blocks and changes one value of it."""
    subscription.virtual_circuit.speed += 1
    return {"subscription": subscription}


@task("No steps")
def steps_0() -> StepList:
    """Only the engine's own: start and done."""
    return StepList()


@task("Ten trivial steps")
def steps_10() -> StepList:
    """Ledger, state and Dagster's log of each."""
    return StepList([trivial] * FEW)


@task("Fifty trivial steps")
def steps_50() -> StepList:
    """Ledger, state and Dagster's log of each."""
    return StepList([trivial] * MANY)


@modify_workflow("No changes", product_type="L2VPN")
def changes_0() -> StepList:
    """Only the engine's own: start, unlocking and done."""
    return StepList()


@modify_workflow("Ten steps that change an L2VPN", product_type="L2VPN")
def changes_10() -> StepList:
    """Each loads it and changes a value."""
    return StepList([read_and_write] * FEW)


STEPS = (steps_0, steps_10, steps_50)
CHANGES = (changes_0, changes_10)
