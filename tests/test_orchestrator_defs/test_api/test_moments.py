"""A stored value that Python or a model cannot read fails no list, no page and no sweep."""

from typing import Any

import httpx
import pytest
import sqlalchemy as sa

from ops.steps.forms import SubmitFormPage
from ops.steps.step import begin
from ops.waiting.wait_steps import inputstep
from orchestrator_defs.jobs.decorators import task
from resources.database.tables import Table
from resources.types import Assignee
from tests.engine import Engine
from tests.toy_network import DEVICE, World, device_workflows

COLUMNS = [
    column
    for table in Table.metadata.sorted_tables
    for column in table.columns
    if isinstance(column.type, sa.TIMESTAMP) and not table.name.startswith("lab_")
]
SCHEDULE = {"workflow_name": "asking", "trigger": "interval", "trigger_kwargs": {"hours": 1}}


class Name(SubmitFormPage):
    """A page."""

    name: str


@inputstep("Who?", assignee=Assignee.NOC)
def who() -> type[SubmitFormPage]:
    return Name


@task("Asking")
def asking():
    return begin >> who


@pytest.fixture
def engine(engine_of) -> Engine:
    world = World()
    engine: Engine = engine_of(asking, *device_workflows(world), products=[DEVICE])
    engine.run("create_device", [{"product": DEVICE.name}, {"hostname": "one"}])
    engine.run("asking", [])
    world.broken = {"configure"}
    engine.run("create_device", [{"product": DEVICE.name}, {"hostname": "two"}])
    return engine


def pages(api: httpx.Client) -> dict[str, Any]:
    """The lists, and the pages of what is in them."""
    lists = ["/subscriptions/", "/processes/", "/schedules/", "/products/", "/workflows/", "/product_blocks/"]
    lists += ["/settings/status", "/health/ready", "/subscription_customer_descriptions/"]
    found = {path: api.get(path) for path in lists}
    for name, path in (("subscription_id", "/subscriptions/"), ("process_id", "/processes/")):
        for one in found[path].json() if found[path].status_code == 200 else ():
            for page in (path, "/subscriptions/domain-model/", "/subscriptions/workflows/"):
                if page == path or "subscriptions" in path:
                    found[f"{page}{one[name]}"] = api.get(f"{page}{one[name]}")
            if name == "subscription_id":
                found[f"{one[name]}/versions"] = api.get(f"/subscriptions/{one[name]}/versions")
    return {path: answer.text for path, answer in found.items() if answer.status_code >= 500}


@pytest.mark.parametrize("moment", ["infinity", "-infinity", "294276-12-31 00:00:00+00", "0044-03-15 00:00:00+00 BC"])
def test_no_list_and_no_sweep_fails(engine: Engine, api_of: Any, moment: str) -> None:
    api = api_of(engine)
    assert api.post("/schedules/", json=SCHEDULE).status_code == 201
    subscription = api.get("/subscriptions/").json()[0]["subscription_id"]
    described = {"customer_id": "acme", "subscription_id": subscription, "description": "ours"}
    assert api.post("/subscription_customer_descriptions/", json=described).status_code == 204
    for column in COLUMNS:
        with engine.database.transaction() as session:
            session.execute(sa.text(f"UPDATE {column.table.name} SET {column.name} = '{moment}'"))
    assert pages(api) == {}
    engine.wake()
    assert pages(api) == {}


@pytest.mark.parametrize("values", ['{"hostname": ["infinity"]}', "{}"])
def test_a_stored_value_that_fits_no_model_is_named(engine: Engine, api_of: Any, values: str) -> None:
    """It may have been written past the models: pages show what was saved last, and a start says what is wrong."""
    api = api_of(engine)
    with engine.database.transaction() as session:
        session.execute(sa.text(f"UPDATE subscription_instances SET values = '{values}'"))
    assert pages(api) == {}
    subscription = api.get("/subscriptions/?filter=insync,true").json()[0]["subscription_id"]
    answer = api.post("/processes/modify_device", json=[{"subscription_id": subscription}])
    assert answer.status_code == 400
    assert (
        f"what is stored of subscription {subscription} fits no model: DeviceBlock.hostname" in answer.json()["detail"]
    )
