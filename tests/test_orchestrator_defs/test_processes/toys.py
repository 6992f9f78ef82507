"""Tasks that fail or ask when a test wants it, and what the tests of processes do to their rows."""

from sqlalchemy import update

from ops.steps.forms import SubmitFormPage
from ops.steps.step import begin
from ops.waiting.wait_steps import inputstep
from orchestrator_defs.jobs.decorators import task
from resources.database.tables import ProcessTable, SubscriptionTable
from resources.types import Assignee

WHY = "because the test says so"


class Broken:
    """Which steps are told to fail, and how often each was called."""

    def __init__(self):
        self.steps = set()
        self.calls = []

    def __call__(self, name):
        self.calls.append(name)
        if name in self.steps:
            raise RuntimeError(f"{name} is broken")


def proceed(engine, process_id):
    return engine.service.runs.execute(process_id, user="goer")


class Name(SubmitFormPage):
    name: str


@inputstep("Ask", Assignee.NOC)
def ask():
    page = yield Name
    return {"name": page.name}


@task("Asking")
def asking():
    return begin >> ask


def set_row(engine, process_id, **values):
    with engine.database.transaction() as session:
        session.execute(update(ProcessTable).where(ProcessTable.process_id == process_id).values(**values))


def create_device(engine, hostname="ams1"):
    return engine.run("create_device", [{"product": "Test Device"}, {"hostname": hostname}])


def lock_of(engine, subscription_id):
    with engine.database.transaction() as session:
        row = session.get(SubscriptionTable, subscription_id)
        return row.locked_by, row.insync
