"""A subscription's whole life through its workflows: what each takes, changes and releases."""

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import Barrier
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text

from ops.steps.forms import SubmitFormPage
from ops.steps.step import begin, step
from orchestrator_defs.cli.processes.endings import end
from orchestrator_defs.jobs.decorators import task
from resources import tags
from resources.database.tables import SubscriptionTable
from resources.errors import FormIncomplete, FormInvalid, OrchestratorError, StartRefused, UnknownWorkflow
from resources.processes import process_rows
from resources.types import ProcessStatus
from tests.test_resources.test_domain.domain import Device
from tests.toy_network import DEVICE, OTHER, World, add_device, device_workflows


@pytest.fixture
def world():
    return World()


@pytest.fixture
def engine(engine_of, world):
    return engine_of(*device_workflows(world), products=[DEVICE, OTHER])


@pytest.fixture
def device(engine, world):
    return add_device(engine.bed, world)


def row(engine, subscription_id):
    with engine.database.transaction() as session:
        return session.get(SubscriptionTable, subscription_id)


def rename(engine, subscription_id, hostname="utr1"):
    return engine.run("modify_device", [{"subscription_id": str(subscription_id)}, {"hostname": hostname}])


# --- create ---


def test_created_subscription_is_active_in_sync_and_free(engine):
    """At the end of its create workflow."""
    process = engine.process(engine.run("create_device", [{"product": "Test Device"}, {"hostname": "ams1"}]))
    assert process.last_status == "completed", process.failed_reason
    subscription = row(engine, UUID(process.state["subscription_id"]))
    assert (subscription.status, subscription.insync, subscription.locked_by) == ("active", True, None)


def test_created_subscription_is_linked_to_its_process(engine):
    """Without a step that says so."""
    process_id = engine.run("create_device", [{"product": "Test Device"}, {"hostname": "ams1"}])
    with engine.database.transaction():
        assert len(process_rows.subscriptions_of(process_id)) == 1


def test_failed_create_keeps_its_subscription_to_itself(engine, world):
    """The half-made subscription is out of sync and held by the failed process."""
    world.broken = {"configure"}
    process_id = engine.run("create_device", [{"product": "Test Device"}, {"hostname": "ams1"}])
    subscription = row(engine, UUID(engine.process(process_id).state["subscription_id"]))
    assert (subscription.status, subscription.insync, subscription.locked_by) == ("initial", False, process_id)


def test_product_may_be_named_by_its_id(engine):
    """The web client sends ids, people names."""
    with engine.database.transaction() as session:
        product_id = session.scalar(text("SELECT product_id FROM products WHERE name = 'Test Device'"))
    process_id = engine.run("create_device", [{"product": str(product_id)}, {"hostname": "ams1"}])
    assert engine.process(process_id).state["product_name"] == "Test Device"


def test_version_history_names_process_step_and_user(engine):
    """Who changed what, by which process."""
    process_id = engine.run("create_device", [{"product": "Test Device"}, {"hostname": "ams1"}], user="ada")
    with engine.database.transaction() as session:
        rows = session.execute(text("SELECT process_id, step_key, created_by FROM subscription_versions")).all()
    assert rows[0] == (process_id, "construct", "ada")


# --- modify ---


def test_modify_changes_and_lets_go(engine, device):
    """The change is saved, and the subscription is free and in sync again."""
    rename(engine, device)
    subscription = row(engine, device)
    assert (subscription.description, subscription.insync, subscription.locked_by) == ("Device utr1", True, None)


def test_failed_modify_rolls_its_step_back_and_holds_the_subscription(engine, device, world):
    """Nothing half-changed, and nobody else may start on it."""
    world.broken = {"rename"}
    process_id = rename(engine, device)
    subscription = row(engine, device)
    assert (subscription.description, subscription.insync, subscription.locked_by) == ("Device ams1", False, process_id)


def test_resumed_modify_completes(engine, device, world):
    """Once the cause is gone, no step runs twice."""
    world.broken = {"configure"}
    process_id = rename(engine, device)
    world.broken = set()
    world.calls.clear()
    assert engine.resume(process_id) is ProcessStatus.COMPLETED
    assert world.calls == ["configure"]
    assert row(engine, device).locked_by is None


def test_second_modify_is_refused_with_the_holder(engine, device, world):
    """The refusal names the process, its workflow, and how to continue."""
    world.broken = {"rename"}
    process_id = rename(engine, device)
    with pytest.raises(StartRefused, match=f"modify_device.*{process_id}") as refusal:
        rename(engine, device)
    assert refusal.value.reason == "subscription.locked_by_process"


def test_refused_start_writes_nothing(engine, device, world):
    """No process row is left by a start that was refused."""
    world.broken = {"rename"}
    rename(engine, device)
    before = engine.count_processes()
    with pytest.raises(StartRefused):
        rename(engine, device)
    assert engine.count_processes() == before


def test_of_two_modifies_at_once_exactly_one_starts(engine, device):
    """Ten times two starts at the same moment: never two writers, never none."""
    for attempt in range(10):
        barrier = Barrier(2)

        def start(hostname, barrier=barrier):
            pages = [{"subscription_id": str(device)}, {"hostname": hostname}]
            barrier.wait()
            try:
                return engine.service.starts.start("modify_device", pages, user="racer")
            except OrchestratorError as error:
                return error

        with ThreadPoolExecutor(2) as pool:
            outcomes = list(pool.map(start, [f"a{attempt}", f"b{attempt}"]))
        (winner,) = [outcome for outcome in outcomes if isinstance(outcome, UUID)]
        (refusal,) = [outcome for outcome in outcomes if isinstance(outcome, OrchestratorError)]
        assert str(winner) in str(refusal)
        assert engine.service.runs.execute(winner, user="racer") is ProcessStatus.COMPLETED


def test_subscription_may_be_named_by_the_beginning_of_its_id(engine, device):
    """Lists show eight characters of it."""
    process_id = engine.run("validate_device", {"subscription_id": str(device)[:8]})
    assert engine.process(process_id).state["subscription_id"] == str(device)


def test_start_on_a_version_that_has_passed_is_refused(engine, device):
    """Who read version 1 does not overwrite version 2 unseen."""
    stale = row(engine, device).version
    rename(engine, device)
    with pytest.raises(FormInvalid, match=f"not {stale}; read it again"):
        engine.run("modify_device", [{"subscription_id": str(device), "version": stale}, {"hostname": "lon1"}])


# --- validate and reconcile ---


def test_validation_without_drift_leaves_the_subscription_alone(engine, device):
    """It neither unsyncs, locks nor raises the version."""
    before = row(engine, device)
    process_id = engine.run("validate_device", {"subscription_id": str(device)})
    after = row(engine, device)
    assert engine.process(process_id).last_status == "completed"
    assert (after.insync, after.version, after.locked_by) == (before.insync, before.version, before.locked_by)


def test_drift_puts_the_subscription_out_of_sync(engine, device, world):
    """And the process says what differs."""
    world.hostnames[str(device)] = "evil1"
    process_id = engine.run("validate_device", {"subscription_id": str(device)})
    assert engine.process(process_id).last_status == "inconsistent_data"
    assert not row(engine, device).insync
    assert engine.ledger(process_id)["compare"].error["details"] == [
        {"path": "device.hostname", "expected": "ams1", "actual": "evil1"}
    ]


def test_drift_does_not_lock_the_subscription(engine, device, world):
    """A failed validation is in nobody's way: reconcile starts at once, and puts it right."""
    world.hostnames[str(device)] = "evil1"
    engine.run("validate_device", {"subscription_id": str(device)})
    engine.run("reconcile_device", {"subscription_id": str(device)})
    assert (row(engine, device).insync, world.hostnames[str(device)]) == (True, "ams1")


def test_finished_reconcile_ends_the_validations_that_found_the_drift(engine, device, world):
    """Others stay: that of another subscription, and one that failed otherwise."""
    validate = partial(engine.run, "validate_device")
    other = add_device(engine.bed, world, "utr1")
    world.hostnames |= {str(device): "evil1", str(other): "evil2"}
    found, again, elsewhere = (validate({"subscription_id": str(one)}) for one in (device, device, other))
    world.broken = {"compare"}
    broken = validate({"subscription_id": str(device)})
    engine.run("reconcile_device", {"subscription_id": str(device)})
    ended = [engine.process(each).last_status for each in (found, again, elsewhere, broken)]
    assert ended == ["aborted", "aborted", "inconsistent_data", "failed"]
    assert "has reconciled the subscription" in engine.ledger(found)["__abort__"].error["reason"]


def test_validation_that_found_drift_names_its_cure(engine, device, world, capfd):
    """Neither to resume nor to skip it changes the network."""
    world.hostnames[str(device)] = "evil1"
    detail = engine.service.queries.detail(engine.run("validate_device", {"subscription_id": str(device)}))
    assert detail.cure == f"orchestrator run reconcile_device subscription_id={device}"
    with pytest.raises(SystemExit):
        end(detail)
    told = capfd.readouterr().err
    assert f"`{detail.cure}`" in told and f"process: {detail.cure}" in told, (
        "in the run's log, and at the command's end"
    )
    assert "process skip" not in told


def test_other_failure_of_a_validation_is_no_drift(engine, device, world):
    """A validation that could not look has found nothing."""
    world.broken = {"compare"}
    engine.run("validate_device", {"subscription_id": str(device)})
    assert row(engine, device).insync


def test_validation_does_not_release_what_another_process_left_open(engine, device, world):
    """A subscription that a failed modify holds is not validated, let alone freed."""
    world.broken = {"rename"}
    process_id = rename(engine, device)
    with pytest.raises(StartRefused, match=str(process_id)):
        engine.run("validate_device", {"subscription_id": str(device)})
    assert row(engine, device).locked_by == process_id


def test_successful_validation_does_not_put_an_open_subscription_in_sync(engine, device):
    """Out of sync stays out of sync until somebody reconciles."""
    with engine.database.transaction() as session:
        session.execute(text("UPDATE subscriptions SET insync = false"))
    engine.run("validate_device", {"subscription_id": str(device)})
    assert not row(engine, device).insync


# --- what else a step saves ---


def saving_task(save):
    """A task whose step saves a device, by returning it or by itself."""

    @step("Touch")
    def touch(subscription: Device):
        subscription.device.hostname = "touched1"
        return save(subscription)

    class Which(SubmitFormPage):
        subscription: str

    @task("Touch a device", initial_input_form=Which)
    def touch_device():
        return begin >> touch

    return touch_device


@pytest.mark.parametrize("in_sync", [True, False])
@pytest.mark.parametrize(
    "save", [lambda model: {"subscription": model}, lambda model: model.save() and None], ids=["returned", "saved"]
)
def test_task_that_saves_a_subscription_leaves_its_mark(engine_of, world, save, in_sync):
    """In sync or not is the affair of those who were started on it; and a task releases what it took."""
    engine = engine_of(*device_workflows(world), saving_task(save), products=[DEVICE, OTHER])
    device = add_device(engine.bed)
    with engine.database.transaction() as session:
        session.execute(text("UPDATE subscriptions SET insync = :it"), {"it": in_sync})
    process = engine.process(engine.run("touch_device", {"subscription": str(device)}))
    subscription = row(engine, device)
    assert process.last_status == "completed", process.failed_reason
    assert (subscription.insync, subscription.locked_by, subscription.version) == (in_sync, None, 2)


@pytest.mark.parametrize(
    "save", [lambda model: {"subscription": model}, lambda model: model.save() and None], ids=["returned", "saved"]
)
def test_step_does_not_save_what_another_process_holds(engine_of, world, save):
    """The refusal names the holder, and the save is rolled back."""
    engine = engine_of(*device_workflows(world), saving_task(save), products=[DEVICE, OTHER])
    device = add_device(engine.bed)
    world.broken = {"rename"}
    holder = rename(engine, device)
    process = engine.process(engine.run("touch_device", {"subscription": str(device)}))
    assert str(holder) in process.failed_reason
    assert row(engine, device).version == 1


def test_aborted_modify_frees_its_subscription_out_of_sync(engine, device, world):
    """And reconcile puts it right."""
    world.broken = {"rename"}
    engine.service.interventions.abort(rename(engine, device), user="ada")
    assert (row(engine, device).locked_by, row(engine, device).insync) == (None, False)
    world.broken = set()
    engine.run("reconcile_device", {"subscription_id": str(device)})
    assert row(engine, device).insync


def test_run_from_a_door_carries_the_tags_of_its_subscription(engine, device):
    """As one that Dagster launched."""
    process_id = engine.run("validate_device", {"subscription_id": str(device)}, user="ada")
    found = engine.instance.get_run_by_id(str(process_id)).tags
    assert (found[tags.SUBSCRIPTION], found[tags.USER]) == (str(device), "ada")


def test_secret_default_of_a_form_reaches_the_step_as_it_is(engine):
    """Through Dagster's own doors too, whose defaults would show it as asterisks."""
    result = engine.launch("create_device", {"inputs": [{"product": "Test Device"}, {"hostname": "ams1"}]})
    assert engine.process(result.run_id).state["password"] == {"__secret__": "default"}


# --- terminate ---


def test_terminated_subscription_has_an_end_date(engine, device):
    """And its status."""
    engine.run("terminate_device", {"subscription_id": str(device)})
    subscription = row(engine, device)
    assert (subscription.status, subscription.end_date is None) == ("terminated", False)


def test_terminated_subscription_cannot_be_modified(engine, device):
    """The refusal says what it is and what it would have to be."""
    engine.run("terminate_device", {"subscription_id": str(device)})
    with pytest.raises(StartRefused, match="is terminated; a modify workflow needs one that is active"):
        rename(engine, device)


def test_subscription_out_of_sync_cannot_be_modified(engine, device):
    """The refusal says how to get it in sync."""
    with engine.database.transaction() as session:
        session.execute(text("UPDATE subscriptions SET insync = false"))
    with pytest.raises(StartRefused, match="out of sync; reconcile it"):
        rename(engine, device)


# --- bad input ---


@pytest.mark.parametrize(
    ("workflow", "inputs", "error", "message"),
    [
        ("create_devise", [], UnknownWorkflow, "There is no workflow 'create_devise'; there is create_device"),
        ("create_device", [{"product": "Test Devise"}, {}], FormInvalid, "product: .*Test Device"),
        ("create_device", [{"product": "Other Thing"}, {}], FormInvalid, "This workflow is not valid for this product"),
        ("create_device", [{"product": "Test Device"}, {}], FormInvalid, "hostname: is required and was not given"),
        (
            "create_device",
            [{"product": "Test Device"}, {"hostname": "ams1", "colour": "red"}],
            FormInvalid,
            "colour: is not a field of this page, which has hostname, customer_id, password",
        ),
        (
            "create_device",
            [{"product": "Test Device"}, {"hostname": 7}],
            FormInvalid,
            "hostname: Input should be a valid string; given: 7",
        ),
        (
            "create_device",
            [{"product": "Test Device"}, {"hostname": "x"}],
            FormInvalid,
            "hostname: String should have at least 2 characters; given: 'x'",
        ),
        ("create_device", [{"product": "Test Device"}], FormIncomplete, r"needs page 2 of its input, with hostname"),
        ("create_device", [{"product": "Test Device"}, {"hostname": "ams1"}, {}], FormInvalid, "3 pages of input"),
        ("create_device", "ams1", FormInvalid, "The inputs are 'ams1'; they are a list of pages"),
        ("create_device", ["ams1"], FormInvalid, "Page 1 of the inputs is 'ams1'"),
        (
            "modify_device",
            [{"subscription_id": "17"}, {}],
            FormInvalid,
            "subscription_id: '17' is not the id of a sub",
        ),
        ("modify_device", [{"subscription_id": str(uuid4())}, {}], FormInvalid, "There is no subscription"),
    ],
)
def test_bad_input_is_refused_before_anything_is_written(engine, workflow, inputs, error, message):
    """Each with its own message: the field, what was given, what is allowed."""
    with pytest.raises(error, match=message):
        engine.run(workflow, inputs)
    assert engine.count_processes() == 0


def test_secret_is_not_shown_in_a_refusal(engine):
    """A password that is refused is not repeated."""
    with pytest.raises(FormInvalid) as refusal:
        engine.run("create_device", [{"product": "Test Device"}, {"hostname": "ams1", "password": ["hush"]}])
    assert "hush" not in str(refusal.value)


def test_workflow_of_another_product_is_refused(engine, device):
    """A subscription is not changed by a workflow that is not its own."""
    with engine.database.transaction() as session:
        session.execute(
            text("UPDATE subscriptions SET product_id = (SELECT product_id FROM products WHERE name = 'Other Thing')")
        )
    with pytest.raises(StartRefused, match="modify_device works on Device"):
        rename(engine, device)


def test_bad_input_of_a_launched_run_fails_it_and_writes_nothing(engine):
    """Dagster's own doors give the same words."""
    result = engine.launch("create_device", {"inputs": [{"product": "Test Device"}, {"hostname": "X"}]})
    event = next(event for event in result.all_events if event.is_step_failure)
    assert "hostname: String should have at least 2 characters" in str(event.step_failure_data)
    assert engine.count_processes() == 0


def test_paused_engine_starts_nothing(engine):
    """Until it is released."""
    with engine.database.transaction() as session:
        session.execute(text("UPDATE engine_settings SET global_lock = true"))
    with pytest.raises(StartRefused, match="paused"):
        engine.run("create_device", [{"product": "Test Device"}, {"hostname": "ams1"}])
