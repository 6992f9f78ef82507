"""What a process reports on the assets of the products that it has changed or validated."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from dagster import AssetKey, AssetMaterialization, DagsterEventType
from sqlalchemy import update

from ops.running import asset_reports
from ops.steps.step import begin, step
from orchestrator_defs.jobs.decorators import task
from orchestrator_defs.location import complete_definitions
from resources import clock
from resources.database.fleet_tables import ValidationTable
from resources.settings import settings
from resources.validations.standing import Oldest, Standing
from tests.engine import Engine
from tests.toy_network import DEVICE, OTHER, World, add_device, device_workflows

KEY = AssetKey(["products", "Test_Device"])
MATERIALIZATION, CHECK = DagsterEventType.ASSET_MATERIALIZATION, DagsterEventType.ASSET_CHECK_EVALUATION


@step("Do nothing")
def do_nothing() -> None:
    pass


@task("Do nothing")
def idle() -> Any:
    return begin >> do_nothing


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def engine(engine_of: Callable[..., Engine], world: World) -> Engine:
    engine = engine_of(*device_workflows(world), idle, products=[DEVICE, OTHER])
    complete_definitions(engine.orchestrator)
    return engine


def reported(engine: Engine, process_id: UUID) -> list[Any]:
    """What a run has reported on assets, in order."""
    kinds = (MATERIALIZATION, CHECK)
    found = (one.dagster_event for one in engine.instance.all_logs(str(process_id)))
    about = [one.event_specific_data for one in found if one is not None and one.event_type in kinds]
    return [getattr(one, "materialization", one) for one in about]


def plain(metadata: Any) -> dict[str, Any]:
    return {name: value.value for name, value in metadata.items()}


def rename(engine: Engine, subscription_id: UUID, hostname: str = "utr1") -> UUID:
    pages = [{"subscription_id": str(subscription_id)}, {"hostname": hostname}]
    return engine.run("modify_device", pages, user="ada")


def drift(engine: Engine, subscription_id: UUID) -> None:
    """The newest validation of a subscription has found a difference."""
    difference = {"system": "lab", "path": "device.hostname", "severity": "error"}
    found = {"result": "drifted", "severity": "error", "finished_at": clock.now(), "differences": [difference]}
    query = update(ValidationTable).where(ValidationTable.subscription_id == subscription_id).values(found)
    with engine.database.transaction() as session:
        session.execute(query)


# --- a change ---


def test_a_change_is_one_materialization_of_its_product(engine: Engine) -> None:
    subscription_id = add_device(engine.bed)
    process_id = rename(engine, subscription_id)
    (found,) = [one for one in reported(engine, process_id) if isinstance(one, AssetMaterialization)]
    metadata = plain(found.metadata)
    assert found.asset_key == KEY
    assert metadata["subscription id"] == str(subscription_id)
    assert metadata["version"] == engine.bed.subscription(subscription_id).version
    assert (metadata["workflow"], metadata["person"]) == ("modify_device", "ada")
    assert metadata["process"].endswith(f"/api/processes/{process_id}")


def test_a_change_shows_all_values_that_its_steps_have_changed(engine: Engine) -> None:
    process_id = rename(engine, add_device(engine.bed))
    rows = [one.data for one in plain(reported(engine, process_id)[0].metadata)["difference"].records]
    assert {"value": "device.hostname", "before": "ams1", "after": "utr1"} in rows


def test_a_change_has_the_counts_as_numbers(engine: Engine) -> None:
    metadata = plain(reported(engine, rename(engine, add_device(engine.bed)))[0].metadata)
    assert (metadata["active"], metadata["drifted"], metadata["never validated"]) == (1, 0, 1)


def test_the_verdict_is_given_again_behind_a_change(engine: Engine) -> None:
    """Dagster hides the result of a check when another run materializes the asset."""
    first = add_device(engine.bed)
    drift(engine, first)
    process_id = rename(engine, add_device(engine.bed, hostname="lis1"))
    materialization, *checks = reported(engine, process_id)
    assert isinstance(materialization, AssetMaterialization)
    assert [(one.check_name, one.passed) for one in checks] == [("drift", False), ("validated_in_time", True)]


def test_a_created_subscription_is_a_change(engine: Engine) -> None:
    process_id = engine.run("create_device", [{"product": "Test Device"}, {"hostname": "ams1"}])
    assert isinstance(reported(engine, process_id)[0], AssetMaterialization)


def test_a_process_that_changes_nothing_reports_nothing(engine: Engine) -> None:
    assert reported(engine, engine.run("idle", [{}])) == []


# --- a validation ---


def test_a_validation_reports_the_verdict_and_no_change(engine: Engine, world: World) -> None:
    process_id = engine.run("validate_device", [{"subscription_id": str(add_device(engine.bed, world))}])
    assert [one.check_name for one in reported(engine, process_id)] == ["drift", "validated_in_time"]


def test_a_validation_that_fails_for_drift_reports_the_verdict(engine: Engine, world: World) -> None:
    subscription_id = add_device(engine.bed, world)
    world.hostnames.clear()
    process_id = engine.run("validate_device", [{"subscription_id": str(subscription_id)}])
    assert engine.process(process_id).last_status == "inconsistent_data"
    assert [(one.check_name, one.passed) for one in reported(engine, process_id)] == [
        ("drift", False),
        ("validated_in_time", True),
    ]


def test_a_batch_reports_each_check_of_a_product_once(engine: Engine) -> None:
    for number in range(3):
        add_device(engine.bed, hostname=f"ams{number}")
    process_id = engine.run("task_validate_batch", [{}])
    assert engine.process(process_id).state["validated"]["drifted"] == 3
    assert [one.check_name for one in reported(engine, process_id)] == ["drift", "validated_in_time"]


def test_a_batch_that_finds_nothing_due_reports_nothing(engine: Engine) -> None:
    assert reported(engine, engine.run("task_validate_batch", [{}])) == []


def test_drift_fails_with_the_differences_as_a_table(engine: Engine) -> None:
    add_device(engine.bed)
    found, _ = reported(engine, engine.run("task_validate_batch", [{}]))
    rows = plain(found.metadata)["worst differences"].records
    assert (found.passed, found.severity.value, plain(found.metadata)["drifted"]) == (False, "ERROR", 1)
    assert [(row.data["subscription"], row.data["path"]) for row in rows] == [("Device ams1", "device.hostname")]


def test_drift_of_warnings_alone_is_a_warning() -> None:
    standing = Standing(by_result={"drifted": 1}, worst=[{"severity": "warning"}])
    assert asset_reports.drift(KEY, standing).severity.value == "WARN"


@pytest.mark.parametrize(("hours", "is_in_time"), [(23, True), (25, False)])
def test_a_validation_that_is_too_old_is_named(hours: float, is_in_time: bool) -> None:
    oldest = Oldest(clock.now() - timedelta(hours=hours), uuid4(), "Device ams1")
    found = asset_reports.in_time(KEY, Standing(oldest=oldest), "Test Device")
    metadata = plain(found.metadata)
    assert found.passed is is_in_time
    assert (round(metadata["oldest age (h)"]), metadata["maximum age (h)"]) == (hours, 24)
    assert metadata["oldest"] == "Device ams1"


# --- costs ---


def test_the_statements_of_a_report_do_not_grow(engine: Engine, statements: Any) -> None:
    """One for the changes, four for how the product stands, however many subscriptions it has."""

    def cost() -> int:
        statements.clear()
        rename(engine, add_device(engine.bed))
        return statements.count

    cost()
    few = cost()
    for number in range(20):
        drift(engine, add_device(engine.bed, hostname=f"ams{number}"))
    assert cost() == few


def test_without_reports_a_process_costs_none_of_it(
    engine: Engine, statements: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    subscription_id = add_device(engine.bed)
    rename(engine, subscription_id, "lis1")
    statements.clear()
    rename(engine, subscription_id)
    with_reports = statements.count
    monkeypatch.setattr(settings(), "report_assets", False)
    statements.clear()
    process_id = rename(engine, subscription_id, "lis1")
    assert reported(engine, process_id) == []
    assert with_reports - statements.count == 5


def test_a_report_that_fails_fails_no_process(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asset_reports, "changes_by", lambda *_, **__: 1 / 0)
    assert engine.process(rename(engine, add_device(engine.bed))).last_status == "completed"
