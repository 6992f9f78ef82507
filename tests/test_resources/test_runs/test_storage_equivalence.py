"""The same script of operations on stock dagster-postgres and on each of our modes gives the same answers."""

import re
from collections.abc import Iterator
from typing import Any

import dagster as dg
import pytest
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.remote_origin import (
    RegisteredCodeLocationOrigin,
    RemoteInstigatorOrigin,
    RemoteRepositoryOrigin,
)
from dagster._core.scheduler.instigation import (
    InstigatorState,
    InstigatorStatus,
    ScheduleInstigatorData,
    TickData,
    TickStatus,
)
from dagster._serdes import serialize_value

from resources.database.embedded import EmbeddedServer
from resources.runs.storage.dagster_storage import MODES
from tests.test_resources.test_runs.dagster_instances import custom, dagster_database, instance_on

# One worker, for all ask what the script left; it runs once on each storage, which takes seven seconds.
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("storage equivalence")]

Answers = dict[str, Any]
ROUTER = dg.AssetKey("router")


@dg.op
def greet(context: dg.OpExecutionContext) -> None:
    context.log.info("hello")
    context.log.warning("to whom?")


@dg.op(ins={"before": dg.In(dg.Nothing)})
def observe(context: dg.OpExecutionContext) -> None:
    context.log_event(dg.AssetMaterialization(ROUTER, metadata={"ports": 4}, partition="ams"))
    context.log_event(dg.AssetObservation(ROUTER, metadata={"ports": 5}))


@dg.op(ins={"before": dg.In(dg.Nothing)}, retry_policy=dg.RetryPolicy(max_retries=1))
def stumble(context: dg.OpExecutionContext) -> None:
    if context.retry_number == 0:
        raise dg.RetryRequested(max_retries=1)


@dg.op(ins={"before": dg.In(dg.Nothing)}, out=dg.Out(is_required=False))
def say_nothing() -> Iterator[dg.Output[int]]:
    yield from ()


@dg.op
def skipped(number: int) -> None:
    """Its input never comes."""


@dg.op(ins={"before": dg.In(dg.Nothing)})
def fail() -> None:
    raise dg.Failure("no", metadata={"reason": "on purpose"})


@dg.success_hook
def cheer(context: dg.HookContext) -> None:
    context.log.info("well done")


EXECUTION: dict[str, Any] = {
    "executor_def": dg.in_process_executor,
    "resource_defs": {"io_manager": dg.mem_io_manager},
}


@dg.job(hooks={cheer}, tags={"kind": "good"}, **EXECUTION)
def good() -> None:
    skipped(say_nothing(stumble(observe(greet()))))


@dg.job(tags={"kind": "bad"}, **EXECUTION)
def bad() -> None:
    observe(fail(greet()))


@dg.asset
def switch() -> dg.MaterializeResult[Any]:
    return dg.MaterializeResult(metadata={"ports": 48})


@dg.asset_check(asset=switch)
def has_ports() -> dg.AssetCheckResult:
    return dg.AssetCheckResult(passed=True, metadata={"ports": 48})


DEFINITIONS = dg.Definitions(
    assets=[switch], asset_checks=[has_ports], jobs=[dg.define_asset_job("switches")], executor=dg.in_process_executor
)


def perform(instance: dg.DagsterInstance) -> list[str]:
    """The script; the ids of its runs, in order."""
    runs = [
        job.execute_in_process(instance=instance, raise_on_error=False).run_id
        for job in (good, bad, DEFINITIONS.resolve_job_def("switches"))
    ]
    instance.add_run_tags(runs[0], {"seen": "yes"})
    waiting = instance.create_run_for_job(good)
    instance.report_engine_event("somebody says something", waiting)
    instance.report_run_canceled(waiting)
    deleted = bad.execute_in_process(instance=instance, raise_on_error=False).run_id
    instance.delete_run(deleted)
    instance.add_dynamic_partitions("sites", ["ams", "lon"])
    instance.delete_dynamic_partition("sites", "lon")
    instance.event_log_storage.initialize_concurrency_limit_to_default("routers")
    instance.event_log_storage.set_concurrency_slots("routers", 2)
    instance.event_log_storage.claim_concurrency_slot("routers", runs[0], "greet")
    _schedule(instance)
    return [*runs, waiting.run_id, deleted]


def _schedule(instance: dg.DagsterInstance) -> None:
    repository = RemoteRepositoryOrigin(RegisteredCodeLocationOrigin("here"), "repository")
    origin = RemoteInstigatorOrigin(repository, "nightly")
    data = ScheduleInstigatorData("0 2 * * *", start_timestamp=1.0)
    state = InstigatorState(origin, InstigatorType.SCHEDULE, InstigatorStatus.RUNNING, data)
    instance.add_instigator_state(state)
    instance.update_instigator_state(state.with_status(InstigatorStatus.STOPPED))
    ticks: list[tuple[float, TickStatus, dict[str, Any]]] = [
        (10.0, TickStatus.SUCCESS, {"run_ids": ["one"]}),
        (20.0, TickStatus.SKIPPED, {"skip_reason": "quiet"}),
    ]
    for moment, status, details in ticks:
        tick = TickData(origin.get_id(), "nightly", InstigatorType.SCHEDULE, status, moment, selector_id="s", **details)
        instance.create_tick(tick)


def ask(instance: dg.DagsterInstance, runs: list[str]) -> Answers:
    """Everything the script left behind, without what differs between any two runs."""
    answers = {**_about_runs(instance, runs), **_about_assets(instance), **_about_the_rest(instance)}
    names = {run_id: f"run{number}" for number, run_id in enumerate(runs)}
    return {question: _normal(repr(answer), names) for question, answer in answers.items()}


def _about_runs(instance: dg.DagsterInstance, runs: list[str]) -> Answers:
    events = instance.event_log_storage
    logs = {run: list(instance.all_logs(run)) for run in runs}
    return {
        "runs": [(run.job_name, run.status, sorted(run.tags.items())) for run in instance.get_runs()],
        "failed": [run.job_name for run in instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE]))],
        "tagged": instance.get_runs_count(dg.RunsFilter(tags={"kind": "good"})),
        "tag keys": sorted(instance.get_run_tag_keys()),
        "missing": instance.get_run_by_id(runs[-1]),
        "logs": [[serialize_value(entry) for entry in log] for log in logs.values()],
        "steps": [
            [(s.step_key, s.status, s.attempts, s.materialization_events) for s in instance.get_run_step_stats(run)]
            for run in runs[:3]
        ],
        "counts": [(s.steps_succeeded, s.steps_failed, s.materializations) for s in map(instance.get_run_stats, runs)],
        "pages": [len(events.get_records_for_run(runs[0], limit=5, ascending=up).records) for up in (True, False)],
        "failures": [e.step_key for e in instance.all_logs(runs[1], of_type=dg.DagsterEventType.STEP_FAILURE)],
    }


def _about_assets(instance: dg.DagsterInstance) -> Answers:
    checks = instance.event_log_storage.get_asset_check_execution_history(
        dg.AssetCheckKey(dg.AssetKey("switch"), "has_ports"), limit=5
    )
    latest = instance.get_latest_materialization_event(ROUTER)
    return {
        "assets": sorted(key.to_user_string() for key in instance.all_asset_keys()),
        "materialized": latest and latest.asset_materialization,
        "observed": [one.asset_observation for one in instance.fetch_observations(ROUTER, limit=5).records],
        "partitions": instance.get_materialized_partitions(ROUTER),
        "records": [one.asset_entry.last_run_id for one in instance.get_asset_records([ROUTER])],
        "checks": [(one.status, one.run_id, one.event and one.event.step_key) for one in checks],
    }


def _about_the_rest(instance: dg.DagsterInstance) -> Answers:
    states = instance.all_instigator_state()
    ticks = [tick for state in states for tick in instance.get_ticks(state.instigator_origin_id, "s")]
    limits = instance.event_log_storage.get_concurrency_info("routers")
    return {
        "dynamic partitions": instance.get_dynamic_partitions("sites"),
        "states": [(state.name, state.status) for state in states],
        "ticks": [(tick.status, tick.timestamp) for tick in ticks],
        "slots": (limits.slot_count, limits.active_slot_count),
    }


VARYING = (
    (re.compile(r"[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}|[0-9a-f]{32,}|(?<=log_key\": \")[a-z]{8}"), "<id>"),
    (re.compile(r"\b[0-9]+(\.[0-9]+)?(ms|s)\b|\b[0-9]+\.[0-9]{3,}\b"), "<time>"),
    (re.compile(r"(?<=pid)[^0-9a-z]{1,4}[0-9]+|0x[0-9a-f]+"), "<number>"),
)


def _normal(text: str, names: dict[str, str]) -> str:
    for run_id, name in names.items():
        text = text.replace(run_id, name)
    for pattern, word in VARYING:
        text = pattern.sub(word, text)
    return text


STORAGES = {"dagster-postgres": lambda url: {"postgres": {"postgres_url": url}}} | {
    mode: (lambda url, mode=mode: custom(url, mode=mode)) for mode in MODES
}


@pytest.fixture(scope="module")
def answers(server: EmbeddedServer, tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], Answers]:
    """The answers of (who wrote, who reads)."""
    found: dict[tuple[str, str], Answers] = {}
    home = tmp_path_factory.mktemp("instances")
    for writer in STORAGES:
        with dagster_database(server) as uri:
            url = uri.replace("postgresql:", "postgresql+psycopg2:")
            with instance_on(home / writer, STORAGES[writer](url)) as instance:
                runs = perform(instance)
            for reader in STORAGES:
                with instance_on(home / writer / reader, STORAGES[reader](url)) as instance:
                    found[writer, reader] = ask(instance, runs)
    return found


def test_the_script_leaves_something_of_everything(answers: dict[tuple[str, str], Answers]) -> None:
    stock = answers["dagster-postgres", "dagster-postgres"]
    assert stock["assets"] == "['router', 'switch']"
    for kind in ("STEP_UP_FOR_RETRY", "STEP_RESTARTED", "STEP_SKIPPED", "HOOK_COMPLETED", "PIPELINE_CANCELED"):
        assert kind in stock["logs"]
    empty = [question for question, answer in stock.items() if answer in ("[]", "{}", "None", "set()", "0")]
    assert empty == ["missing"]


@pytest.mark.parametrize("writer", STORAGES)
@pytest.mark.parametrize("reader", STORAGES)
def test_the_answers_are_stocks(writer: str, reader: str, answers: dict[tuple[str, str], Answers]) -> None:
    assert answers[writer, reader] == answers["dagster-postgres", "dagster-postgres"]
