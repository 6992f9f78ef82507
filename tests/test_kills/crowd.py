"""A code location for a crowd of processes: five kinds, bad conditions, and many interventions at once.

Not a test: like the victims it is copied into a folder of its own, and loaded there by workers and by the commands at
the end.
"""

import json
import random
import sys
import threading
import time
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from uuid import UUID

from dagster import DagsterInstance, DagsterRunStatus, RunsFilter
from sqlalchemy import text

from ops.steps.forms import SubmitFormPage
from ops.steps.step import begin, step
from ops.waiting.wait_steps import callback_step, inputstep, retrystep
from orchestrator_defs.jobs.decorators import create_workflow, task
from orchestrator_defs.jobs.orchestrator import Orchestrator
from orchestrator_defs.location import complete_definitions
from orchestrator_defs.processes.processes import Processes
from orchestrator_defs.sensors import wake
from resources.catalogue.catalogue import Product
from resources.domain.blocks import ProductBlockModel
from resources.domain.subscription_model import SubscriptionModel
from resources.errors import OrchestratorError
from resources.processes import interventions, ledger, process_rows, waits
from resources.types import Assignee, ProcessStatus
from tests.ticks import daemon_context, launch_requested

FOLDER = Path(__file__).parent
KINDS = ("ask", "call_out", "try_hard", "break_often", "create_thing")
HANDS = 4
wake.INTERVAL_SECONDS = 1


def suffer():
    """Fail now and then, while conditions are bad."""
    if not (FOLDER / "fair").exists() and random.random() < 0.3:
        raise ConnectionError("bad conditions")


class Name(SubmitFormPage):
    name: str


class Empty(SubmitFormPage):
    pass


class ThingBlock(ProductBlockModel, product_block_name="Thing"):
    size: int = 0


class Thing(SubscriptionModel, is_base=True):
    thing: ThingBlock


@inputstep("Ask", Assignee.NOC)
def question():
    page = yield Name
    return {"name": page.name}


@step("Count")
def count(state: dict):
    return {"count": state.get("count", 0) + 1}


@step("Break")
def breaking():
    suffer()


@retrystep("Try", quick_tries=0, first_pause=timedelta(seconds=1), longest_pause=timedelta(seconds=2))
def trying():
    suffer()


@step("Call")
def calling(callback_route: str):
    with (FOLDER / "routes").open("a") as routes:
        routes.write(f"{callback_route}\n")


@step("Check")
def checking(callback_result: dict):
    return {"answered": callback_result["n"]}


@step("Construct")
def construct(product: UUID):
    thing = Thing.from_product_id(product, customer_id="customer")
    thing.description = "Thing"
    return {"subscription": thing}


@step("Grow")
def grow(subscription: Thing):
    suffer()
    subscription.thing.size += 1
    return {"subscription": subscription}


@task("Ask")
def ask():
    return begin >> count >> question >> count


@task("Call out")
def call_out():
    return begin >> count >> callback_step("Outside", calling, checking, timeout=30) >> count


@task("Try hard")
def try_hard():
    return begin >> count >> trying >> count


@task("Break often")
def break_often():
    return begin >> count >> breaking >> count >> breaking >> count


@create_workflow("Create thing", initial_input_form=Empty, product_type="Thing")
def create_thing():
    return begin >> construct >> grow >> question >> grow


orchestrator = Orchestrator(
    [Product("Thing", "THING", Thing, "Thing", "A thing")], [ask, call_out, try_hard, break_often, create_thing]
)
defs = complete_definitions(orchestrator)


# --- the commands ---


def service():
    """The processes, on the instance of this folder."""
    return Processes(orchestrator, DagsterInstance.from_config(str(FOLDER)))


def start(number):
    """Start so many processes of the five kinds, at once."""
    known = service()
    ids = []
    for index in range(number):
        kind = KINDS[index % len(KINDS)]
        inputs = [{"product": "Thing"}, {}] if kind == "create_thing" else {}
        ids.append(known.starts.start(kind, inputs, user="tester"))
    for process_id in ids:
        attempt("launch", lambda process_id=process_id: known.runs.launch(process_id, user="tester"))
    return len(ids)  # what was refused, the sweeper has launched in between


def tend():
    """Do what the daemon does, more often."""
    instance = DagsterInstance.from_config(str(FOLDER))
    cursor = None
    while True:
        for sensor in wake.process_sensors(orchestrator):
            with suppress(Exception):  # as the daemon, which tries again
                own = cursor if sensor.name == "sweeper" else None
                found = sensor.evaluate_tick(daemon_context(instance, sensor.name, own))
                cursor = found.cursor if sensor.name == "sweeper" else cursor
                launch_requested(orchestrator, instance, found.run_requests or [])
        time.sleep(0.3)


def meddle(seconds):
    """Many interventions at once, for a while; then fair conditions, and each process is helped to its end."""
    until = time.monotonic() + seconds
    hands = [threading.Thread(target=hand, args=(number, until)) for number in range(HANDS)]
    for one in hands:
        one.start()
    for one in hands:
        one.join()
    (FOLDER / "fair").touch()
    known = service()
    known.engine.release(user="tester")
    give_up = time.monotonic() + 200
    while (left := standing(known)) and time.monotonic() < give_up:
        for process_id, status in left:
            help_on(known, process_id, status)
        time.sleep(0.5)
    return {"left": [str(process_id) for process_id, _ in left], "did": sum(did.values()), "kinds": did}


did = {}


def hand(number, until):
    """One pair of hands: whatever it does may be refused, but then nothing has changed."""
    chance = random.Random(number)
    known = service()
    while time.monotonic() < until:
        found = standing(known)
        if not found:
            return
        process_id, status = chance.choice(found)
        act(chance, known, process_id, status)
        if number == 0 and chance.random() < 0.05:
            attempt("pause", lambda: known.engine.pause(user="tester"))
            time.sleep(0.5)
            attempt("release", lambda: known.engine.release(user="tester"))


def act(chance, known, process_id, status):
    """Something that somebody might do to a process that stands so, or did a moment ago."""
    dice, hands = chance.random(), known.interventions
    if dice < 0.02:
        attempt("abort", lambda: hands.abort(process_id, user="tester"))
    elif status == ProcessStatus.SUSPENDED:
        page = {"name": "x"} if dice < 0.8 else {"nome": "x"}
        try_to(known, process_id, "answer", lambda: known.answers.answer(process_id, page, user="tester"))
    elif status == ProcessStatus.AWAITING_CALLBACK:
        try_to(known, process_id, "callback", lambda: call_back(chance, known, process_id))
    elif status.is_failure and dice < 0.15:
        try_to(
            known,
            process_id,
            "skip",
            lambda: hands.skip(process_id, user="tester", reason="done by hand"),
        )
    elif status.is_failure and dice < 0.25:
        try_to(
            known,
            process_id,
            "back",
            lambda: hands.go_back(process_id, "count", user="tester", reason="again"),
        )
    elif status.is_failure or status == ProcessStatus.WAITING:
        try_to(known, process_id, "resume", lambda: hands.resume(process_id, user="tester"))


def help_on(known, process_id, status):
    """What the process needs."""
    if status == ProcessStatus.SUSPENDED:
        try_to(known, process_id, "answer", lambda: known.answers.answer(process_id, {"name": "x"}, user="tester"))
    elif status == ProcessStatus.AWAITING_CALLBACK:
        try_to(known, process_id, "callback", lambda: call_back(random, known, process_id))
    elif status.is_failure:
        try_to(known, process_id, "resume", lambda: known.interventions.resume(process_id, user="tester"))


def call_back(chance, known, process_id):
    """The external system answers, with any token that it was ever given for this process."""
    routes = [route for route in (FOLDER / "routes").read_text().split() if str(process_id) in route]
    for route in {chance.choice(routes), routes[-1]} if routes else ():
        known.answers.callback(process_id, route.rpartition("/")[2], {"n": 1})


def try_to(known, process_id, name, what):
    """Do it, and launch what it has started, as every door does."""
    if attempt(name, what):
        attempt("launch", lambda: known.runs.launch(process_id, user="tester"))


def attempt(name, what):
    """Whether it was done."""
    try:
        what()
    except OrchestratorError:
        return False
    did[name] = did.get(name, 0) + 1
    return True


def standing(known):
    """The processes that have not come to their end."""
    with known.database.transaction(read_only=True) as session:
        rows = session.execute(
            text("SELECT process_id, last_status FROM processes WHERE last_status NOT IN ('completed', 'aborted')")
        )
        return [(process_id, ProcessStatus(status)) for process_id, status in rows]


def check():
    """What lies: of each process its row, ledger, waits and locks; and the runs that should be over."""
    known = service()
    lies = []
    with known.database.transaction(read_only=True) as session:
        ids = list(session.scalars(text("SELECT process_id FROM processes")))
        for process_id in ids:
            row, lines = process_rows.get_process(process_id), ledger.steps_of(process_id)
            has_begun = any(line.step_key == "start" for line in lines)  # its line has the state that it began with
            if not has_begun and row.last_status != "aborted":
                lies.append(f"{process_id} is {row.last_status}, and has never begun")
            if has_begun and row.state != interventions.state_after(lines):
                told = [(line.position, line.step_key, line.status, line.set, line.removed) for line in lines]
                lies.append(f"{process_id} is {row.last_status} with the state {row.state}, its ledger makes {told}")
            if waits.find_open(process_id):
                lies.append(f"{process_id} is {row.last_status}, and waits")
            done = [line.step_key for line in lines if line.step_key in row.step_keys]
            if row.last_status == "completed" and done != row.step_keys:
                lines_told = [(line.step_key, line.status) for line in lines]
                lies.append(f"{process_id} is completed, with {lines_told} of {row.step_keys}")
        held = list(session.scalars(text("SELECT subscription_id FROM subscriptions WHERE locked_by IS NOT NULL")))
        lies += [f"subscription {one} is held by a process that is over" for one in held]
        grown = session.execute(
            text(
                "SELECT p.process_id, i.values ->> 'size', count(*) FILTER (WHERE l.status = 'success')"
                " FROM processes p JOIN processes_subscriptions USING (process_id)"
                " JOIN subscription_instances i USING (subscription_id)"
                " JOIN process_steps l ON l.process_id = p.process_id AND l.step_key LIKE 'grow%'"
                " GROUP BY 1, 2"
            )
        )
        lies += [f"{one}: grown {size} times by {steps} steps" for one, size, steps in grown if int(size) != steps]
    runs = known.instance.get_runs(RunsFilter(statuses=[DagsterRunStatus.STARTED, DagsterRunStatus.STARTING]))
    lies += [f"run {run.run_id} is {run.status.value}" for run in runs]
    return {"lies": lies, "processes": len(ids)}


if __name__ == "__main__":
    match sys.argv[1]:
        case "start":
            answer = start(int(sys.argv[2]))
        case "where":
            answer = orchestrator.prepare().url.render_as_string(hide_password=False)
        case "meddle":
            answer = meddle(float(sys.argv[2]))
        case "check":
            answer = check()
        case "tend":
            answer = tend()
    sys.stdout.write(f"{json.dumps(answer)}\n")
