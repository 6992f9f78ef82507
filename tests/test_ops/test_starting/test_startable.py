"""Which workflows may run on a subscription, and each reason why not."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

import pytest
from sqlalchemy import update

from ops.starting.admission import subscription_page
from ops.steps.predicates import awaiting_callbacks_exist, no_uncompleted_instance
from ops.steps.step import begin, step
from ops.steps.workflow import RunPredicateFail
from ops.waiting.wait_steps import callback_step
from orchestrator_defs.jobs.decorators import modify_workflow, task, workflow
from resources.database.tables import ProcessTable, SubscriptionTable, WorkflowTable
from resources.errors import OrchestratorError, StartRefused, UnknownSubscription
from resources.types import Target
from tests.test_resources.test_domain.samples import hold
from tests.toy_network import DEVICE, OTHER, World, add_device, device_workflows


@step("Nothing")
def nothing(): ...


@modify_workflow("Guarded", product_type="Device", authorize_callback=lambda context: context.user == "ada")
def modify_guarded():
    return begin >> nothing


@modify_workflow(
    "Forbidden now", product_type="Device", run_predicate=lambda context: RunPredicateFail("Not on Fridays.")
)
def modify_on_fridays():
    return begin >> nothing


@modify_workflow("In use", product_type="Device", blocked_by_in_use=True)
def modify_unused():
    return begin >> nothing


@modify_workflow("Other", product_type="Other")
def modify_other():
    return begin >> nothing


@workflow("Task on devices", target=Target.SYSTEM, product_type="Device")
def device_task():
    return begin >> nothing


@task("Plain task")
def plain_task():
    return begin >> nothing


EXTRA = (modify_guarded, modify_on_fridays, modify_unused, modify_other, device_task, plain_task)


@pytest.fixture
def world():
    return World()


@pytest.fixture
def engine(engine_of, world):
    return engine_of(*device_workflows(world), *EXTRA, products=[DEVICE, OTHER])


@pytest.fixture
def device(engine):
    return add_device(engine.bed)


def ask(engine, subscription_id, user="ada"):
    return engine.service.starts.startable(subscription_id, user=user)


def entry(found, name):
    """What is said of one workflow, without the sentence."""
    (one,) = [entry for target in Target for entry in found[target.value.lower()] if entry["name"] == name]
    return {key: value for key, value in one.items() if key != "message"}


def set_subscription(engine, subscription_id, **values):
    with engine.database.transaction() as session:
        session.execute(
            update(SubscriptionTable).where(SubscriptionTable.subscription_id == subscription_id).values(**values)
        )


def use(engine, used, **values):
    """Another device that uses this one."""
    user = add_device(engine.bed, hostname="utr1")
    with engine.database.transaction():
        hold(user, used)
    if values:
        set_subscription(engine, user, **values)
    return user


def test_workflows_of_the_product_are_listed_by_target(engine, device):
    """Those of other products, and tasks, are not; one that names no product is."""
    found = ask(engine, device)
    assert {key: {one["name"] for one in found[key]} for key in found} == {
        "create": {"create_device"},
        "modify": {"modify_device", "modify_note", "modify_guarded", "modify_on_fridays", "modify_unused"},
        "terminate": {"terminate_device"},
        "system": {"device_task"},
        "validate": {"validate_device"},
        "reconcile": {"reconcile_device"},
    }


def test_workflow_that_may_run_has_no_reason(engine, device):
    assert entry(ask(engine, device), "modify_device") == {"name": "modify_device", "description": "Rename device"}


def test_description_is_the_one_that_people_have_given(engine, device):
    with engine.database.transaction() as session:
        session.execute(update(WorkflowTable).where(WorkflowTable.name == "modify_device").values(description="Ours"))
    assert entry(ask(engine, device), "modify_device")["description"] == "Ours"


def test_reason_of_a_status(engine, device):
    set_subscription(engine, device, status="provisioning")
    assert entry(ask(engine, device), "modify_device") | {"description": ""} == {
        "name": "modify_device",
        "description": "",
        "reason": "subscription.no_modify_invalid_status",
        "usable_when": ["active"],
        "status": "provisioning",
        "action": "modified",
    }


def test_create_workflow_fits_no_subscription(engine, device):
    found = entry(ask(engine, device), "create_device")
    assert (found["reason"], found["usable_when"]) == ("subscription.no_modify_invalid_status", [])


def test_reason_of_a_subscription_out_of_sync(engine, device):
    """It is that of the whole subscription too; some may run nevertheless."""
    set_subscription(engine, device, insync=False)
    found = ask(engine, device)
    assert found["reason"] == "subscription.not_in_sync"
    assert entry(found, "modify_device")["reason"] == "subscription.not_in_sync"
    for name in ("modify_note", "validate_device", "reconcile_device"):
        assert "reason" not in entry(found, name)


def test_reason_of_relations_out_of_sync_names_them(engine, device):
    user = use(engine, device, insync=False)
    found = ask(engine, device)
    one = entry(found, "modify_device")
    assert (one["reason"], one["locked_relations"]) == ("subscription.relations_not_in_sync", [str(user)])
    assert one["locked_relations_detail"][0]["subscription_id"] == str(user)
    assert (found["reason"], found["locked_relations"]) == ("subscription.relations_not_in_sync", [str(user)])
    assert "reason" not in entry(found, "validate_device")


@pytest.mark.parametrize(("name", "action"), [("terminate_device", "terminated"), ("modify_unused", "modified")])
def test_reason_of_use_by_others_names_them(engine, device, name, action):
    user = use(engine, device)
    one = entry(ask(engine, device), name)
    assert (one["reason"], one["action"]) == ("subscription.no_modify_subscription_in_use_by_others", action)
    assert one["unterminated_in_use_by_subscriptions"] == [str(user)]
    assert one["unterminated_in_use_by_subscriptions_detail"][0]["subscription_id"] == str(user)


def test_users_that_are_terminated_are_in_nobodys_way(engine, device):
    use(engine, device, status="terminated")
    assert "reason" not in entry(ask(engine, device), "terminate_device")


def test_reason_of_a_lock_names_the_holder(engine, device, world):
    world.broken = {"rename"}
    holder = engine.run("modify_device", [{"subscription_id": str(device)}, {"hostname": "utr1"}])
    found = ask(engine, device)
    for where in (found, entry(found, "modify_note")):
        assert (where["reason"], where["locked_by"]) == ("subscription.locked_by_process", str(holder))
        assert (where["workflow"], where["process_status"]) == ("modify_device", "failed")


def test_reason_of_missing_permission(engine, device):
    assert "reason" not in entry(ask(engine, device, user="ada"), "modify_guarded")
    refused = entry(ask(engine, device, user="bob"), "modify_guarded")
    assert refused["reason"] == "subscription.insufficient_workflow_permissions"


def test_reason_of_a_predicate(engine, device):
    (one,) = [one for one in ask(engine, device)["modify"] if one["name"] == "modify_on_fridays"]
    assert (one["reason"], one["message"]) == ("workflow.predicate", "Not on Fridays.")


def test_reason_of_a_paused_engine_is_everybodys(engine, device):
    engine.service.engine.pause(user="ada")
    found = ask(engine, device)
    assert found["reason"] == "engine.paused"
    assert {one["reason"] for target in Target for one in found[target.value.lower()]} == {"engine.paused"}


def test_answer_and_start_agree(engine, device, world):
    """Whatever stands in the way of one workflow, a start is refused with the same reason, and only then."""
    pages = {"modify_device": [{"hostname": "utr1"}]}
    for change in (
        {"insync": True},
        {"insync": False},
        {"insync": True, "status": "provisioning"},
        {"status": "terminated"},
    ):
        set_subscription(engine, device, **change)
        for name in ("modify_device", "terminate_device", "validate_device", "modify_guarded"):
            said = entry(ask(engine, device, user="bob"), name).get("reason")
            assert said == refusal(engine, name, device, pages.get(name, [])), (name, change)
        assert refusal(engine, "modify_on_fridays", device, []) == "workflow.predicate"


def refusal(engine, name, subscription_id, pages):
    """The reason with which a start is refused; a start that is not is taken back."""
    try:
        with engine.database.transaction() as session:
            engine.service.starts.start(name, [{"subscription_id": str(subscription_id)}, *pages], user="bob")
            session.rollback()
    except StartRefused as refused:
        return refused.reason


def test_unknown_subscription_is_an_error(engine, device):
    with pytest.raises(UnknownSubscription):
        ask(engine, UUID(int=1))


def test_statements_do_not_grow_with_what_is_asked(engine, device, statements):
    """Five, with users or without."""
    ask(engine, device)  # the first question of all looks at the catalogue, too
    statements.clear()
    ask(engine, device)
    alone = statements.count
    for hostname in ("utr1", "utr2"):
        user = add_device(engine.bed, hostname=hostname)
        with engine.database.transaction():
            hold(user, device)
    statements.clear()
    ask(engine, device)
    assert (alone, statements.count) == (5, 5)


# --- predicates ---


@task("Alone", run_predicate=no_uncompleted_instance)
def alone():
    return begin >> nothing


@task("Watch", run_predicate=awaiting_callbacks_exist)
def watch():
    return begin >> nothing


def start(engine, name):
    return engine.service.starts.start(name, None, user="ada")


@pytest.mark.parametrize(("status", "is_free"), [("completed", True), ("aborted", True), ("failed", False)])
def test_only_one_at_a_time(engine_of, status, is_free):
    engine = engine_of(alone, plain_task)
    start(engine, "plain_task")
    process_id = start(engine, "alone")
    with engine.database.transaction() as session:
        session.execute(update(ProcessTable).where(ProcessTable.process_id == process_id).values(last_status=status))
    if is_free:
        start(engine, "alone")
        return
    with pytest.raises(StartRefused, match="alone has processes that are not finished yet: 1") as refused:
        start(engine, "alone")
    assert refused.value.reason == "workflow.predicate"


def slowly(context):
    """So that another one asks before this one has started."""
    verdict = no_uncompleted_instance(context)
    time.sleep(0.3)
    return verdict


@task("Slowly alone", run_predicate=slowly)
def slowly_alone():
    return begin >> nothing


def test_two_starts_at_once_are_not_both_the_only_one(engine_of):
    """What the predicate has read stays true until the process is there."""
    engine = engine_of(slowly_alone)
    barrier = threading.Barrier(4)

    def try_to_start(_):
        barrier.wait()
        try:
            return start(engine, "slowly_alone")
        except OrchestratorError:
            return None

    with ThreadPoolExecutor(4) as threads:
        assert len([one for one in threads.map(try_to_start, range(4)) if one]) == 1
    assert engine.count_processes() == 1


@step("Tell")
def tell(callback_route: str): ...


@step("Look")
def look(): ...


@task("In time")
def in_time():
    return begin >> callback_step("Outside", tell, look, timeout=60)


@task("Some time")
def some_time():
    return begin >> callback_step("Outside", tell, look)


def test_callbacks_are_looked_after_when_one_may_come_too_late(engine_of):
    """Not for one that may take for ever, nor for one that is aborted."""
    engine = engine_of(watch, in_time, some_time)
    engine.run("some_time")
    with pytest.raises(StartRefused, match="No process waits for a callback that has a deadline"):
        start(engine, "watch")
    process_id = engine.run("in_time")
    engine.run("watch")
    engine.service.interventions.abort(process_id, user="ada")
    with pytest.raises(StartRefused):
        start(engine, "watch")


def test_a_validation_starts_in_few_statements(engine, device, statements):
    engine.service.starts.start("validate_device", [{"subscription_id": str(device)}], user="ada")  # makes its page
    statements.clear()
    engine.service.starts.start("validate_device", [{"subscription_id": str(device)}], user="ada")
    assert statements.count <= 9, statements.statements


def test_the_page_that_selects_a_subscription_is_made_once(engine):
    validate, reconcile = (engine.orchestrator.workflow(name) for name in ("validate_device", "reconcile_device"))
    assert subscription_page(validate) is subscription_page(validate)
    assert subscription_page(validate) is not subscription_page(reconcile)
