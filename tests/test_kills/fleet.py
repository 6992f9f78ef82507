"""A code location for two daemons: a task that schedules start, and things that a sensor has validated.

Not a test: like the victims it is copied into a folder of its own, and loaded there by daemons, workers and commands.
"""

import json
import sys
import urllib.request
from datetime import timedelta
from pathlib import Path

from dagster import DagsterInstance, DefaultSensorStatus

from ops.steps.context import StepContext
from ops.steps.step import begin, step
from orchestrator_defs.jobs.decorators import task, validate_workflow
from orchestrator_defs.jobs.orchestrator import Orchestrator
from orchestrator_defs.location import complete_definitions
from orchestrator_defs.processes.processes import Processes
from orchestrator_defs.processes.scheduling import Scheduling
from orchestrator_defs.testing import Testbed
from resources import clock
from resources.catalogue.catalogue import Product
from resources.domain.blocks import ProductBlockModel
from resources.domain.subscription_model import SubscriptionModel

FOLDER = Path(__file__).parent


class ThingBlock(ProductBlockModel, product_block_name="Thing"):
    size: int = 0


class Thing(SubscriptionModel, is_base=True):
    thing: ThingBlock


def call(who):
    """Let the recorder note that somebody was here."""
    url = (FOLDER / "recorder").read_text()
    body = json.dumps({"process": str(who), "step": 1, "key": "once"}).encode()
    urllib.request.urlopen(urllib.request.Request(url, body), timeout=100).read()


@step("Work")
def work(context: StepContext):
    call(context.process_id)


@task("Work at night")
def night_work():
    return begin >> work


@step("Look at it")
def look(subscription: Thing):
    call(subscription.subscription_id)


@validate_workflow("Validate thing", product_type="Thing")
def validate_thing():
    return begin >> look


THING = Product("Thing", "THING", Thing, "Thing", "A thing")
orchestrator = Orchestrator([THING], [night_work, validate_thing])
defs = complete_definitions(orchestrator)
for sensor in defs.sensors:
    sensor._default_status = DefaultSensorStatus.RUNNING  # as if somebody had switched on all of them


def prepare(schedules, times, things):
    """Make schedules that fire so many times, a second apart, and things that are due; the times of each schedule."""
    instance = DagsterInstance.from_config(str(FOLDER))
    bed = Testbed(orchestrator, instance)
    orchestrator.prepare()
    for number in range(things):
        bed.add("Thing", description=f"Thing {number}", thing={"size": number})
    first = clock.now().replace(microsecond=0) + timedelta(seconds=3)
    moments = [first + timedelta(seconds=number) for number in range(times)]
    every_second = {"seconds": 1, "start_date": moments[0].isoformat(), "end_date": moments[-1].isoformat()}
    scheduling = Scheduling(Processes(orchestrator, instance))
    asked = {"workflow_id": None, "workflow_name": "night_work", "name": None, "inputs": [], "missed": "all"}
    for _ in range(schedules):
        scheduling.create(**asked, trigger="interval", trigger_kwargs=every_second, user="tester")
    return [moment.isoformat() for moment in moments]


if __name__ == "__main__":
    match sys.argv[1]:
        case "where":
            answer = orchestrator.prepare().url.render_as_string(hide_password=False)
        case "prepare":
            answer = prepare(*map(int, sys.argv[2:]))
    sys.stdout.write(f"{json.dumps(answer)}\n")
