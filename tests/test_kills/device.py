"""A code location with one device, to which each step writes its name all the time, and reacts to an end as it is told.

Not a test: like the victims it is copied into a folder of its own, and loaded there by workers and by the commands at
the end.
"""

import json
import signal
import sys
import time
from pathlib import Path
from uuid import UUID

from dagster import DagsterInstance

from ops.steps.context import StepContext
from ops.steps.forms import SubmitFormPage
from ops.steps.step import begin, step
from orchestrator_defs.jobs.decorators import create_workflow, modify_workflow
from orchestrator_defs.jobs.orchestrator import Orchestrator
from orchestrator_defs.location import complete_definitions
from orchestrator_defs.processes.processes import Processes
from orchestrator_defs.sensors import wake
from resources.catalogue.catalogue import Product
from resources.domain.blocks import ProductBlockModel
from resources.domain.subscription_model import SubscriptionModel
from resources.errors import OrchestratorError
from resources.processes import interventions
from resources.types import SubscriptionLifecycle
from tests.ticks import daemon_context, launch_requested

FOLDER = Path(__file__).parent
DEVICE = FOLDER / "device.log"
wake.INTERVAL_SECONDS = 1


class BoxBlock(ProductBlockModel, product_block_name="Box"):
    size: int = 0


class Box(SubscriptionModel, is_base=True):
    box: BoxBlock


class BoxForm(SubmitFormPage):
    pass


class ModifyForm(SubmitFormPage):
    manner: str


@step("Construct")
def construct(product: UUID):
    box = Box.from_product_id(product, customer_id="customer", status=SubscriptionLifecycle.ACTIVE)
    box.description = "Box"
    return {"subscription": box}


@step("Write to the device")
def write(manner: str, context: StepContext):
    """`quick` ends by itself; `careful` takes two seconds to clean up; `deaf` cannot be interrupted."""
    if manner == "deaf":
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        say(context, 0.2 if manner == "quick" else 250)
    finally:
        say(context, 2.0 if manner == "careful" else 0)


def say(context, seconds):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        with DEVICE.open("a") as device:
            device.write(f"{context.process_id}\n")
        time.sleep(0.02)


@create_workflow("Create a box", initial_input_form=BoxForm, product_type="Box")
def create_box():
    return begin >> construct


def modify_form(subscription: Box):
    page = yield ModifyForm
    return page.model_dump()


@modify_workflow("Modify a box", initial_input_form=modify_form, product_type="Box", usable_while_out_of_sync=True)
def modify_box():
    return begin >> write


orchestrator = Orchestrator([Product("Box", "BOX", Box, "Box", "A box")], [create_box, modify_box])
defs = complete_definitions(orchestrator)


def service():
    """The processes, on the instance of this folder."""
    return Processes(orchestrator, DagsterInstance.from_config(str(FOLDER)))


def create():
    """Create a box in this process."""
    known = service()
    process_id = known.starts.start("create_box", [{"product": "Box"}, {}], user="tester")
    known.runs.execute(process_id, user="tester")
    return str(process_id)


def start(subscription_id, manner, door):
    """Start a modification; its process, or the sentence of the refusal."""
    known = service()
    pages = [{"subscription_id": subscription_id}, {"manner": manner}]
    try:
        process_id = known.starts.start("modify_box", pages, user="tester")
    except OrchestratorError as error:
        return str(error)
    if door == "launch":
        known.runs.launch(process_id, user="tester")
    return str(process_id)


def request(process_id):
    """An abort whose door dies before it has terminated the run."""
    with service().database.transaction():
        interventions.abort(UUID(process_id), user="tester")


def tend():
    """Do what the daemon does, more often."""
    instance = DagsterInstance.from_config(str(FOLDER))
    while True:
        for sensor in wake.process_sensors(orchestrator):
            try:
                found = sensor.evaluate_tick(daemon_context(instance, sensor.name, None))
                launch_requested(orchestrator, instance, found.run_requests or [])
                sys.stdout.write(f"{sensor.name}: {found.skip_message}\n")
            except Exception as error:  # noqa: BLE001  as the daemon, which tries again
                sys.stdout.write(f"{sensor.name} failed: {repr(error)[:300]}\n")
        sys.stdout.flush()
        time.sleep(0.3)


if __name__ == "__main__":
    answer = None
    match sys.argv[1:]:
        case ["create"]:
            answer = create()
        case ["start", *words]:
            answer = start(*words)
        case ["execute", process_id]:
            answer = service().runs.execute(UUID(process_id), user="tester")
        case ["where"]:
            answer = orchestrator.prepare().url.render_as_string(hide_password=False)
        case ["abort", process_id]:
            answer = service().interventions.abort(UUID(process_id), user="tester").message
        case ["abort_and_start", process_id, box]:
            answer = [service().interventions.abort(UUID(process_id), user="tester").message, start(box, "quick", "")]
        case ["request", process_id]:
            answer = request(process_id)
        case ["tend"]:
            answer = tend()
    sys.stdout.write(f"{json.dumps(answer)}\n")
