"""Metrics for Prometheus: names as in orchestrator-core where it has them, beside an organisation's own collectors."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any

from fastapi import APIRouter, HTTPException, Response

from orchestrator_defs.api.dependencies import DatabaseDep, SettingsDep
from orchestrator_defs.api.security.problems import problems
from resources.figures import scrape
from resources.figures.scrape import AGES, BOUNDS, Figure, Present
from resources.processes.pause import AT_A_STEP, EngineStatus
from resources.types import ProcessStatus

router = APIRouter(tags=["engine"])

OF_PROCESS = ("workflow_name", "workflow_target", "is_task", "last_status")
TO_LAUNCH = (ProcessStatus.CREATED, ProcessStatus.RESUMED)
NOT_VALIDATED = "not_validated"
Labels = tuple[Any, ...]
Bucket = tuple[Labels, float, int, float]
"""Labels, upper bound, number, sum."""
_collectors: list[Any] = []


def add_collector(collector: Any) -> None:
    """Show metrics of your own, too: a metric or collector of prometheus_client, made with `registry=None`."""
    _collectors.append(collector)


TEXT: dict[int | str, dict[str, Any]] = {
    200: {"content": {"text/plain": {"schema": {"type": "string"}, "example": "wfo_queue_length 2.0"}}}
}


@router.get(
    "/metrics",
    summary="Read the metrics for Prometheus",
    response_class=Response,
    responses=TEXT | problems(404, 503),
)
def get_metrics(database: DatabaseDep, settings: SettingsDep) -> Response:
    """The figures of the whole installation, whichever server is asked, in Prometheus' text format; 404 when off."""
    import prometheus_client  # few servers are scraped, and all start faster without it
    from prometheus_client import core

    if not settings.enable_prometheus_metrics_endpoint:
        raise HTTPException(404, "The metrics are off; ENABLE_PROMETHEUS_METRICS_ENDPOINT=true turns them on.")
    with database.transaction(read_only=True):
        found, present = scrape.figures(), scrape.present()
    registry = prometheus_client.CollectorRegistry()
    registry.register(Engine(core, found, present))
    for collector in _collectors:
        registry.register(collector)
    return Response(prometheus_client.generate_latest(registry), media_type=prometheus_client.CONTENT_TYPE_LATEST)


class Engine:
    """The engine's own metrics, as a collector."""

    def __init__(self, core: Any, found: Sequence[Figure], present: Present) -> None:
        self._core, self._present = core, present
        self._of = {kind: list(figures) for kind, figures in groupby(found, key=lambda one: one.kind)}

    def collect(self) -> Iterator[Any]:
        """All of them."""
        of, now = self._of.get, self._present
        processes = of("processes", [])
        by_status = {status: sum(one.number for one in processes if one.status == status) for status in ProcessStatus}
        running, to_launch = (sum(by_status[one] for one in statuses) for statuses in (AT_A_STEP, TO_LAUNCH))
        status = EngineStatus.RUNNING if not now.is_paused else EngineStatus.PAUSING if running else EngineStatus.PAUSED
        states = {one.value: one is status for one in EngineStatus}
        yield self._core.StateSetMetricFamily("wfo_engine_status", "Whether the engine starts anything new.", states)
        yield self._gauge("wfo_active_process_count", "Processes with a step in progress.", (), [((), running)])
        yield self._gauge("wfo_queue_length", "Processes that wait for a run.", (), [((), to_launch)])
        yield self._gauge(
            "wfo_subscriptions_count",
            "Subscriptions.",
            ("product_name", "lifecycle_state", "insync"),
            [((one.subject, one.status, one.flag), one.number) for one in of("subscriptions", [])],
        )
        labelled = [((one.subject, one.target, one.flag, one.status), one) for one in processes]
        counted, took = (
            [(labels, one.number) for labels, one in labelled],
            [(at, one.seconds) for at, one in labelled],
        )
        yield self._gauge("wfo_process_count", "Processes.", OF_PROCESS, counted)
        yield self._gauge("wfo_process_seconds_total_count", "How long ended processes took.", OF_PROCESS, took)
        yield self._gauge(
            "wfo_validations_count",
            "Subscriptions by their newest result.",
            ("product_name", "result"),
            [((one.subject, one.status or NOT_VALIDATED), one.number) for one in of("validations", []) if one.flag],
        )
        for name, text, ages in (
            ("wfo_validation_age_seconds", "The age of the oldest newest result.", now.oldest),
            ("wfo_validation_overdue_seconds", "How long the first validation is due.", now.overdue),
        ):
            yield self._gauge(name, text, ("product_name",), [((product,), age) for product, age in ages.items()])
        waits = [((kind,), bound, number, seconds) for kind, bound, number, seconds in now.waits]
        yield self._histogram("wfo_wait_age_seconds", "Open waits, by their age.", ("kind",), AGES, waits)
        for kind, name, text, labels in (
            ("steps", "wfo_step_seconds", "Attempts at steps.", ("workflow_name", "step", "status")),
            ("calls", "wfo_external_call_seconds", "Calls of steps to external systems.", ("system", "outcome")),
        ):
            durations = [
                ((one.subject, one.name, one.status)[-len(labels) :], one.bound or 0.0, one.number, one.seconds)
                for one in of(kind, [])
            ]
            yield self._histogram(name, text, labels, BOUNDS, durations)

    def _gauge(self, name: str, text: str, labels: Sequence[str], rows: Iterable[tuple[Labels, float]]) -> Any:
        family = self._core.GaugeMetricFamily(name, text, labels=labels)
        for values, number in rows:
            family.add_metric([str(value) for value in values], number)
        return family

    def _histogram(
        self, name: str, text: str, labels: Sequence[str], bounds: Sequence[float], rows: Iterable[Bucket]
    ) -> Any:
        """A histogram of numbers and sums by upper bound; the buckets of Prometheus count all up to theirs."""
        family = self._core.HistogramMetricFamily(name, text, labels=labels)
        for values, group in groupby(sorted(rows, key=lambda row: tuple(map(str, row[0]))), key=lambda row: row[0]):
            found = list(group)
            buckets = [
                ("+Inf" if bound == bounds[-1] else str(bound), sum(row[2] for row in found if row[1] <= bound))
                for bound in bounds
            ]
            family.add_metric([str(value) for value in values], buckets, sum_value=sum(row[3] for row in found))
        return family
