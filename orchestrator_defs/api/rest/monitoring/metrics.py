"""Metrics for Prometheus: names as in orchestrator-core where it has them, beside an organisation's own collectors."""

from collections.abc import Iterator, Sequence
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
        self._gauge, self._histogram = core.GaugeMetricFamily, core.HistogramMetricFamily
        self._states = core.StateSetMetricFamily
        kinds = groupby(found, key=lambda one: one.kind)
        self._of = {kind: list(figures) for kind, figures in kinds}
        self._present = present

    def collect(self) -> Iterator[Any]:
        """All of them."""
        processes = self._of.get("processes", [])
        by_status = {status: sum(one.number for one in processes if one.status == status) for status in ProcessStatus}
        running = sum(by_status[status] for status in AT_A_STEP)
        yield self._subscriptions()
        yield from self._processes(processes)
        yield self._status(running)
        yield self._gauge("wfo_active_process_count", "Processes with a step in progress.", value=running)
        to_launch = sum(by_status[status] for status in TO_LAUNCH)
        yield self._gauge("wfo_queue_length", "Processes that wait for a run.", value=to_launch)
        yield self._waits()
        yield from self._validations()
        of_step, of_call = ("workflow_name", "step", "status"), ("system", "outcome")
        yield self._durations("steps", "wfo_step_seconds", "Attempts at steps, by how long they took.", of_step)
        yield self._durations("calls", "wfo_external_call_seconds", "Calls of steps to external systems.", of_call)

    def _subscriptions(self) -> Any:
        labels = ("product_name", "lifecycle_state", "insync")
        family = self._gauge("wfo_subscriptions_count", "Subscriptions.", labels=labels)
        for one in self._of.get("subscriptions", []):
            family.add_metric([one.subject or "", one.status or "", str(one.flag)], one.number)
        return family

    def _processes(self, processes: Sequence[Figure]) -> Iterator[Any]:
        count = self._gauge("wfo_process_count", "Processes.", labels=OF_PROCESS)
        seconds = "How long the processes took that have ended."
        took = self._gauge("wfo_process_seconds_total_count", seconds, labels=OF_PROCESS)
        for one in processes:
            labels = [one.subject or "", one.target or "", str(one.flag), one.status or ""]
            count.add_metric(labels, one.number)
            took.add_metric(labels, one.seconds)
        yield from (count, took)

    def _status(self, running: int) -> Any:
        paused = EngineStatus.PAUSING if running else EngineStatus.PAUSED
        now = paused if self._present.is_paused else EngineStatus.RUNNING
        states = {status.value: status is now for status in EngineStatus}
        return self._states("wfo_engine_status", "Whether the engine starts anything new.", states)

    def _waits(self) -> Any:
        family = self._histogram("wfo_wait_age_seconds", "Open waits, by their age.", labels=("kind",))
        for kind, rows in groupby(sorted(self._present.waits), key=lambda row: row[0]):
            _add(family, (kind,), AGES, [row[1:] for row in rows])
        return family

    def _validations(self) -> Iterator[Any]:
        labels = ("product_name", "result")
        family = self._gauge("wfo_validations_count", "Subscriptions by their newest result.", labels=labels)
        for one in self._of.get("validations", []):
            if one.flag:
                family.add_metric([one.subject or "", one.status or NOT_VALIDATED], one.number)
        yield family
        for name, text, found in (
            ("wfo_validation_age_seconds", "The age of the oldest newest result.", self._present.oldest),
            ("wfo_validation_overdue_seconds", "How long the first validation is due.", self._present.overdue),
        ):
            family = self._gauge(name, text, labels=("product_name",))
            for product, seconds in found.items():
                family.add_metric([product], seconds)
            yield family

    def _durations(self, kind: str, name: str, text: str, labels: Sequence[str]) -> Any:
        family = self._histogram(name, text, labels=labels)

        def key(one: Figure) -> tuple[str, ...]:
            return tuple(value or "" for value in (one.subject, one.name, one.status))[-len(labels) :]

        for found, figures in groupby(sorted(self._of.get(kind, []), key=key), key=key):
            _add(family, found, BOUNDS, [(one.bound or 0.0, one.number, one.seconds) for one in figures])
        return family


def _add(
    family: Any,
    labels: Sequence[str],
    bounds: Sequence[float],
    found: Sequence[tuple[float, int, float]],
) -> None:
    """Add a histogram of numbers and sums by upper bound; the buckets of Prometheus count all up to theirs."""
    buckets = [
        (
            "+Inf" if bound == bounds[-1] else str(bound),
            float(sum(number for upto, number, _ in found if upto <= bound)),
        )
        for bound in bounds
    ]
    family.add_metric(labels, buckets, sum_value=sum(seconds for *_, seconds in found))
