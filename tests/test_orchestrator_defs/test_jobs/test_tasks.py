"""The workflows that every orchestrator has."""

from datetime import timedelta
from functools import partial

import pytest
from sqlalchemy import text

from ops.steps.step import begin
from ops.waiting.wait_steps import retrystep, wait_until
from orchestrator_defs.jobs.decorators import task
from resources import clock
from resources.errors import StartRefused
from resources.processes import process_rows
from resources.processes.process_fields import PROCESS_FIELDS
from resources.processes.process_lists import list_processes
from resources.settings import settings
from resources.subscriptions.queries import find_subscription
from resources.types import ProcessStatus
from tests.marks import put_out_of_sync
from tests.toy_network import DEVICE, World, add_device, device_workflows


@pytest.fixture
def world():
    return World()


@pytest.fixture
def bed(testbed_of, world):
    return testbed_of(device_workflows(world), [DEVICE])


@pytest.fixture
def device(bed, world):
    return partial(add_device, bed, world)


def created(bed):
    with bed.database.transaction(read_only=True):
        rows = list_processes(PROCESS_FIELDS.having(last_status=ProcessStatus.CREATED), limit=100)
        return [(row.workflow_name, row.process_id) for row in rows]


def subscription_of(bed, process_id):
    with bed.database.transaction(read_only=True):
        return process_rows.subscriptions_of(process_id)[0]


# --- a note ---


def test_note_is_stored_with_the_one_before_in_the_state(bed, device):
    subscription = device("first")
    page = {"subscription_id": str(subscription)}
    bed.run("modify_note", [page, {"note": "old"}]).assert_completed()
    run = bed.run("modify_note", [page, {"note": "new"}])
    run.assert_state({"old_note": "old"})
    assert bed.subscription(subscription).note == "new"


def test_note_leaves_the_subscription_in_sync(bed, device):
    subscription = device("first")
    bed.run("modify_note", [{"subscription_id": str(subscription)}, {"note": "a"}]).assert_completed()
    assert bed.subscription(subscription).insync


def test_note_may_be_written_on_what_is_out_of_sync(bed, device):
    subscription = device("first")
    with bed.database.transaction():
        put_out_of_sync(subscription)
    bed.run("modify_note", [{"subscription_id": str(subscription)}, {"note": "a"}]).assert_completed()
    assert not bed.subscription(subscription).insync


def test_note_belongs_to_every_product(bed):
    (product,) = bed.orchestrator.catalogue.rows.products.values()
    assert "modify_note" in product.workflows


# --- tidying up ---


def test_old_completed_tasks_are_deleted_and_younger_ones_kept(bed, later):
    old = bed.run("task_clean_up_tasks")
    with later(timedelta(days=4)):
        run = bed.run("task_clean_up_tasks")
        run.assert_completed()
    run.assert_state({"tasks_deleted": 1})
    with bed.database.transaction(read_only=True), pytest.raises(Exception, match="There is no process"):
        process_rows.get_process(old.process_id)


def test_workflows_of_people_are_never_deleted(bed, device, later):
    subscription = device("first")
    with later(timedelta(days=400)):
        bed.run("task_clean_up_tasks").assert_state({"tasks_deleted": 0})
    assert find(bed, subscription)


def find(bed, subscription):
    with bed.database.transaction(read_only=True):
        return find_subscription(subscription)


def test_task_of_which_one_is_unfinished_is_refused(bed):
    bed.processes.starts.start("task_clean_up_tasks", {}, user="SYSTEM")
    with pytest.raises(StartRefused, match="processes that are not finished yet: 1"):
        bed.run("task_clean_up_tasks")


# --- starting ---


def test_waiting_processes_are_resumed(testbed_of):
    @retrystep("Call", quick_tries=0)
    def call():
        raise ConnectionError("away")

    @task("Call it")
    def call_it():
        return begin >> call

    bed = testbed_of([call_it])
    run = bed.run("call_it")
    bed.run("task_resume_workflows").assert_state({"processes_resumed": 1, "not_resumed": []})
    assert run.status is ProcessStatus.RESUMED


def test_process_that_waits_for_a_moment_is_left_alone(testbed_of):
    """To look again before the moment would cost a run and change nothing."""

    @task("Wait for it")
    def wait_for_it():
        return begin >> wait_until(tomorrow)

    bed = testbed_of([wait_for_it])
    run = bed.run("wait_for_it")
    bed.run("task_resume_workflows").assert_state({"processes_resumed": 0})
    run.assert_waiting()


def tomorrow(state):
    return clock.now() + timedelta(days=1)


# --- validating ---


def test_products_and_subscriptions_are_validated(bed, device):
    device("first")
    run = bed.run("task_validate_products")
    run.assert_completed()
    run.assert_state({"subscriptions_loaded": 1, "incomplete_products": {}})


def test_subscription_that_does_not_load_is_named(bed, device):
    subscription = device("first")
    with bed.database.engine.begin() as connection:
        connection.execute(text("""UPDATE subscription_instances SET "values" = '{"hostname": [1]}'"""))
    run = bed.run("task_validate_products")
    run.assert_status(ProcessStatus.INCONSISTENT_DATA)
    assert str(subscription) in str(run.ledger["load_every_subscription"].error)


def test_database_that_lacks_a_product_of_the_code_is_told(bed):
    with bed.database.engine.begin() as connection:
        connection.execute(text("UPDATE products SET tag = 'OTHER'"))
    bed.run("task_validate_products").assert_status(ProcessStatus.INCONSISTENT_DATA)


def test_every_subscription_is_validated_once_and_without_a_process_of_its_own(bed, device, world):
    device("first")
    device("second")
    run = bed.run("task_validate_subscriptions")
    run.assert_state({"subscriptions_due": 2, "validated": {"passed": 2}, "validations_started": 0})
    assert (world.calls, created(bed)) == (["compare", "compare"], [])


def test_all_are_validated_again_however_lately_they_were(bed, device, world):
    device("first")
    for _ in range(2):
        bed.run("task_validate_subscriptions").assert_completed()
    assert world.calls == ["compare", "compare"]


def test_subscriptions_of_one_product_type_are_validated(bed, device):
    device("first")
    bed.run("task_validate_product_type", {"product_type": "Device"}).assert_state({"validated": {"passed": 1}})


def test_unknown_product_type_is_refused_with_those_there_are(bed):
    with pytest.raises(Exception, match="there is Device"):
        bed.run("task_validate_product_type", {"product_type": "Devise"})


def test_what_is_out_of_sync_is_validated_only_when_the_settings_say_so(bed, device, monkeypatch):
    device("first")
    with bed.database.transaction() as session:
        session.execute(text("UPDATE subscriptions SET insync = false"))
    bed.run("task_validate_subscriptions").assert_state({"subscriptions_due": 0, "validated": {"passed": 0}})
    monkeypatch.setenv("VALIDATE_OUT_OF_SYNC_SUBSCRIPTIONS", "true")
    settings.cache_clear()
    try:
        bed.run("task_validate_subscriptions").assert_state({"validated": {"passed": 1}})
    finally:
        monkeypatch.undo()
        settings.cache_clear()
