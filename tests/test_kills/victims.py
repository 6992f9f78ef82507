"""A code location to be killed: a workflow of twelve steps, and a hand that kills its process at a named point.

Not a test: it is copied into a folder of its own, and loaded there by workers, by Dagster's daemon and by the commands
at the end. What is to be killed is in the file plan.json, by process and step; each kill is noted before it is done,
in a file that can be made only once, so it is done only once.
"""

import json
import os
import signal
import sys
import time
import urllib.request
from contextlib import suppress
from pathlib import Path
from uuid import UUID

from dagster import DagsterInstance

from ops.running import execution, first_step
from ops.steps.context import StepContext
from ops.steps.forms import SubmitFormPage
from ops.steps.step import LedgerStep, begin, step
from orchestrator_defs.jobs.decorators import create_workflow
from orchestrator_defs.jobs.orchestrator import Orchestrator
from orchestrator_defs.location import complete_definitions
from orchestrator_defs.processes.processes import Processes
from orchestrator_defs.sensors import wake
from resources.catalogue.catalogue import Product
from resources.domain.blocks import ProductBlockModel
from resources.domain.subscription_model import SubscriptionModel
from tests.ticks import daemon_context, launch_requested

FOLDER = Path(__file__).parent
EXTERNAL = (3, 6, 9, 12)
"""Steps that call the recorder; the others change the subscription."""

# --- the hand ---


def at(process_id, key, point):
    """Kill this process if the plan says so, once."""
    plan = json.loads((FOLDER / "plan.json").read_text())
    for owner in (str(process_id), os.environ.get("PLAN", "")):
        if plan.get(owner, {}).get(key) == point:
            mark = FOLDER / "kills" / f"{process_id}:{key}:{point}"
            with suppress(FileExistsError):
                mark.touch(exist_ok=False)
                os.kill(os.getpid(), signal.SIGKILL)


def handed(function, before="", after=""):
    """A function of the engine with the hand before and after it; its arguments are segment, …, place among them."""

    def call(*arguments):
        segment = next(one for one in arguments if hasattr(one, "process_id"))
        place = next(one for one in arguments if isinstance(one, LedgerStep))
        process_id = segment.process_id
        if before:
            at(process_id, place.key, before)
        result = function(*arguments)
        if after:
            at(process_id, place.key, after)
        return result

    return call


execution._check_due = handed(execution._check_due, before="claimed")  # in the transaction of the claim
execution._perform = handed(execution._perform, before="before", after="committed")
execution._commit = handed(execution._commit, before="after", after="written")
first_step._take_over = handed(first_step._take_over, before="claimed", after="committed")
wake.INTERVAL_SECONDS = 1


# --- the workflow ---


class ThingBlock(ProductBlockModel, product_block_name="Thing"):
    left: int = 0
    right: int = 0


class Thing(SubscriptionModel, is_base=True):
    thing: ThingBlock


class ThingForm(SubmitFormPage):
    pause: float = 0.0


@step("Construct")
def step_01(product: UUID):
    thing = Thing.from_product_id(product, customer_id="customer")
    thing.description = "Thing"
    return {"subscription": thing}


def changing(number):
    def change(subscription: Thing, pause: float):
        time.sleep(pause)
        subscription.thing.left += 1
        subscription.thing.right += 1
        return {"subscription": subscription, f"did_{number:02}": subscription.thing.left}

    return change


def calling(number):
    def call(subscription: Thing, context: StepContext, pause: float):
        time.sleep(pause)
        url = (FOLDER / "recorder").read_text()
        body = json.dumps({"process": str(context.process_id), "step": number, "key": context.idempotency_key})
        urllib.request.urlopen(urllib.request.Request(url, body.encode()), timeout=100).read()
        subscription.thing.left += 1
        subscription.thing.right += 1
        return {"subscription": subscription, f"did_{number:02}": subscription.thing.left}

    return call


def numbered(number):
    function = calling(number) if number in EXTERNAL else changing(number)
    function.__name__ = function.__qualname__ = f"step_{number:02}"
    return step(f"Step {number}")(function)


@create_workflow("Make a thing", initial_input_form=ThingForm, product_type="Thing")
def make_thing():
    steps = begin >> step_01
    for number in range(2, 13):
        steps = steps >> numbered(number)
    return steps


orchestrator = Orchestrator([Product("Thing", "THING", Thing, "Thing", "A thing")], [make_thing])
defs = complete_definitions(orchestrator)


# --- the commands ---


def service():
    """The processes, on the instance of this folder."""
    return Processes(orchestrator, DagsterInstance.from_config(str(FOLDER)))


def start(plans, pause):
    """Start a process for each plan, and launch it; their ids."""
    known = service()
    ids = [known.starts.start("make_thing", [{"product": "Thing"}, {"pause": pause}], user="tester") for _ in plans]
    plan = json.loads((FOLDER / "plan.json").read_text())
    (FOLDER / "plan.new").write_text(json.dumps(plan | dict(zip(map(str, ids), plans, strict=True))))
    (FOLDER / "plan.new").rename(FOLDER / "plan.json")
    for process_id in ids:
        known.runs.launch(process_id, user="tester")
    return [str(process_id) for process_id in ids]


def say(line):
    """Into the log, or as an answer."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def tend():
    """Do what the daemon does, more often."""
    instance = DagsterInstance.from_config(str(FOLDER))
    cursor = None
    while True:
        for sensor in wake.process_sensors(orchestrator):
            try:
                found = sensor.evaluate_tick(
                    daemon_context(instance, sensor.name, cursor if sensor.name == "sweeper" else None)
                )
                cursor = found.cursor if sensor.name == "sweeper" else cursor
                launch_requested(orchestrator, instance, found.run_requests or [])
                say(f"{sensor.name}: {found.skip_message}")
            except Exception as error:  # noqa: BLE001  as the daemon, which tries again
                say(f"{sensor.name} failed: {repr(error)[:300]}")
        time.sleep(0.3)


if __name__ == "__main__":
    match sys.argv[1]:
        case "start":
            answer = start(json.loads(sys.argv[2]), float(sys.argv[3]))
        case "where":
            answer = orchestrator.prepare().url.render_as_string(hide_password=False)
        case "abort":
            answer = service().interventions.abort(UUID(sys.argv[2]), user="tester").done
        case "tend":
            answer = tend()
    say(json.dumps(answer))
