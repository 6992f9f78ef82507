"""Two code locations on one database, with one product type and the built-in tasks in both."""

from datetime import timedelta

import pytest
from dagster import build_sensor_context
from sqlalchemy import text

from orchestrator_defs.jobs.orchestrator import Orchestrator
from orchestrator_defs.location import complete_definitions
from orchestrator_defs.testing import Testbed
from resources.catalogue.catalogue import Product
from resources.errors import StartRefused
from resources.types import ProcessStatus
from tests.test_resources.test_domain.domain import DeviceInactive
from tests.toy_network import DEVICE, World, add_device, device_workflows

THING = Product("Thing", "THING", DeviceInactive, "Device", "of the same type and block")


@pytest.fixture
def bed(testbed_of):
    return testbed_of(device_workflows(World()), [DEVICE])


@pytest.fixture
def other(bed):
    """Another location, whose product has no validation of its own."""
    return Testbed(Orchestrator([THING], [], database=bed.database, name="other"), bed.instance)


@pytest.fixture
def things(bed, other):
    """A subscription of each location."""
    thing = other.add("Thing", device={"hostname": "thing"})
    return add_device(bed), thing.subscription_id


def test_both_are_up_to_date(bed, other):
    bed.orchestrator.prepare()
    other.orchestrator.prepare()


def test_a_location_validates_its_own_subscriptions(bed, things):
    bed.run("task_validate_subscriptions").assert_state({"subscriptions_due": 1, "validated": {"drifted": 1}})


def test_the_validation_sensor_leaves_the_subscriptions_of_another_location_alone(bed, things):
    (sensor,) = [one for one in complete_definitions(bed.orchestrator).sensors if one.name == "validation_sensor"]
    context = build_sensor_context(instance=bed.instance)
    (request,) = list(sensor(context))
    assert "1 subscription waits (Test Device 1)" in context.cursor
    bed.run(request.job_name).assert_state({"validated": {"drifted": 1}})


def test_what_another_location_cannot_load_is_no_inconsistency(bed, things):
    with bed.database.engine.begin() as connection:
        spoilt = """UPDATE subscription_instances SET "values" = '{"hostname": [1]}' WHERE subscription_id = :other"""
        connection.execute(text(spoilt), {"other": things[1]})
    run = bed.run("task_validate_products")
    run.assert_completed()
    run.assert_state({"subscriptions_loaded": 1})


def test_a_workflow_refuses_a_subscription_of_another_location(bed, things):
    refusal = r"modify_note is a workflow of code location orchestrator; .* is a Thing of code location other\."
    with pytest.raises(StartRefused, match=refusal):
        bed.run("modify_note", [{"subscription_id": str(things[1])}, {"note": "ours"}])


def test_a_task_that_is_unfinished_in_another_location_is_no_reason_to_refuse(bed, other):
    other.processes.starts.start("task_clean_up_tasks", {}, user="SYSTEM")
    bed.run("task_clean_up_tasks").assert_completed()
    with pytest.raises(StartRefused, match="not finished yet: 1"):
        other.run("task_clean_up_tasks")


def test_old_tasks_of_another_location_are_kept(bed, other, later):
    kept = other.run("task_resume_workflows")
    with later(timedelta(days=365)):
        bed.run("task_clean_up_tasks").assert_state({"tasks_deleted": 0})
    assert kept.status is ProcessStatus.COMPLETED
