"""Checks and counts ask the database alone, and say what runs have said."""

from collections.abc import Callable
from typing import Any

import dagster as dg
import pytest

from orchestrator_defs.assets.product_counts import EVERY_HOUR
from orchestrator_defs.location import complete_definitions
from resources.settings import settings
from tests.engine import Engine
from tests.toy_network import DEVICE, OTHER, World, add_device, device_workflows

CHECKED, OTHERS = dg.AssetKey(["products", "Test_Device"]), dg.AssetKey(["products", "Other_Thing"])


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def engine(engine_of: Callable[..., Engine], world: World) -> Engine:
    return engine_of(*device_workflows(world), products=[DEVICE, OTHER])


@pytest.fixture
def made(engine: Engine) -> dg.Definitions:
    return complete_definitions(engine.orchestrator)


def run(engine: Engine, job: Any, **options: Any) -> Any:
    return job.execute_in_process(instance=engine.instance, **options)


def test_executed_checks_ask_no_external_system(engine: Engine, made: dg.Definitions, world: World) -> None:
    add_device(engine.bed, world)
    result = run(engine, made.resolve_implicit_global_asset_job_def())
    assert {one.check_name: one.passed for one in result.get_asset_check_evaluations()} == {
        "drift": True,
        "validated_in_time": True,
    }
    assert world.calls == []


def test_one_check_may_be_executed_alone(engine: Engine, made: dg.Definitions) -> None:
    one = dg.AssetCheckKey(CHECKED, "drift")
    job = made.resolve_implicit_global_asset_job_def().get_subset(asset_selection=set(), asset_check_selection={one})
    assert [found.asset_check_key for found in run(engine, job).get_asset_check_evaluations()] == [one]


def test_each_product_is_counted_every_hour(engine: Engine, made: dg.Definitions) -> None:
    add_device(engine.bed)
    result = run(engine, made.resolve_job_def("report_product_counts"))
    found = {
        one.asset_key: {name: value.value for name, value in one.metadata.items()}
        for event in result.all_events
        if event.event_type is dg.DagsterEventType.ASSET_OBSERVATION
        for one in [event.event_specific_data.asset_observation]
    }
    assert found[CHECKED]["active"] == found[CHECKED]["never validated"] == 1
    assert found[OTHERS]["drifted"] == 0
    schedule = next(one for one in made.schedules or () if one.name == "report_product_counts_schedule")
    assert isinstance(schedule, dg.ScheduleDefinition)
    assert (schedule.cron_schedule, schedule.default_status) == (EVERY_HOUR, dg.DefaultScheduleStatus.RUNNING)


def test_the_counts_come_with_the_verdict(engine: Engine, made: dg.Definitions) -> None:
    """So that what is not validated any more is seen, too."""
    result = run(engine, made.resolve_job_def("report_product_counts"))
    assert [one.check_name for one in result.get_asset_check_evaluations()] == ["drift", "validated_in_time"]


def test_nothing_is_counted_without_reports(
    engine: Engine, made: dg.Definitions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings(), "report_assets", False)
    result = run(engine, made.resolve_job_def("report_product_counts"))
    assert not [one for one in result.all_events if one.event_type is dg.DagsterEventType.ASSET_OBSERVATION]
