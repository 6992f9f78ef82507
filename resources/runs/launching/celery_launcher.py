"""The run launcher for many machines: Celery carries the request, PostgreSQL records which worker executes the run.

dagster-celery's launcher trusts the broker and its result backend. A worker that is killed with its run, a message that
is delivered twice and a cancelled run then depend on what Celery remembers, which after a kill is nothing. This
launcher asks the dispatch table, which has the one worker that executes a run; docs/many-machines.md lists the
differences.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

from dagster import DagsterRun, DagsterRunStatus, Field, IntSource

# The base class of `run_launcher:` in dagster.yaml, and the types of its methods; they have no public path.
from dagster._core.launcher.base import CheckRunHealthResult, LaunchRunContext, ResumeRunContext, WorkerStatus

# dagster.yaml makes an object of a class with this.
from dagster._serdes import ConfigurableClassData
from dagster_celery.config import TASK_EXECUTE_JOB_NAME
from dagster_celery.launcher import CeleryRunLauncher
from dagster_celery.tags import DAGSTER_CELERY_QUEUE_TAG, DAGSTER_CELERY_TASK_ID_TAG

from resources import tags
from resources.errors import SettingsError
from resources.runs.dispatch import Dispatch
from resources.runs.launching.launcher import PRIORITY
from resources.runs.workers.worker import report_end

REDIS = ("redis://", "rediss://", "redis+socket://", "sentinel://")
LEVELS = 10
"""The priorities in Redis. Each is a list of its own, and the lowest number is served first."""
ORDINARY = 5
VISIBILITY_SECONDS = 60
"""After so long Redis delivers an unacknowledged message again. Its worker may still execute the run: harmless."""


@dataclass(frozen=True)
class Attempt:
    """How often a run was sent to the workers, and which message a worker accepted last (and how often that one).

    It lies in the run's tags, because launcher, daemon and workers share nothing else.
    """

    sent: int = 0
    taken: int = -1
    tries: int = 0
    worker: str = ""

    @classmethod
    def of(cls, run: DagsterRun) -> "Attempt | None":
        """Read it from the run's tags; None when the run was not launched to Celery."""
        sent = tags.read(run.tags, tags.CELERY_SENT)
        if sent is None:
            return None
        taken, tries, worker = (tags.read(run.tags, tags.CELERY_TAKEN) or "-1 0 ").split(" ", 2)
        return cls(int(sent), int(taken), int(tries), worker)

    @property
    def is_waiting(self) -> bool:
        """Whether no worker has accepted the newest message yet."""
        return self.taken < self.sent

    def take(self, worker: str) -> dict[str, str]:
        """The tags after a worker has accepted the newest message."""
        tries = 1 if self.is_waiting else self.tries + 1
        return {tags.CELERY_TAKEN: f"{self.sent} {tries} {worker}"}


class OrchestratorCeleryLauncher(CeleryRunLauncher):
    """dagster-celery's launcher with its configuration, for Redis; the state of a run comes from the dispatch table."""

    def __init__(self, grace_seconds: int = 10, inst_data: ConfigurableClassData | None = None, **config: Any) -> None:
        broker = config.get("broker") or ""
        if not broker.startswith(REDIS):
            raise SettingsError(
                f"The broker of runs must be Redis ({REDIS[0]}host:port/number); dagster.yaml names"
                f" {broker.partition('://')[0] or 'none'}. Priorities and redelivery mean something else elsewhere."
            )
        super().__init__(inst_data=inst_data, **(config | {"config_source": _settings(config.get("config_source"))}))
        self.grace_seconds = grace_seconds
        self._waiting_since: dict[str, float] = {}

    @classmethod
    def config_type(cls) -> Any:
        """That of dagster-celery, without a result backend: nothing here asks Celery how a run ended."""
        known: dict[str, Any] = dict(cast(Mapping[str, Any], super().config_type()))
        known["backend"] = Field(str, is_required=False, default_value="disabled://", description="not used")
        known["grace_seconds"] = Field(
            IntSource, is_required=False, default_value=10, description="a worker that ignores an interrupt ends then"
        )
        return known

    @cached_property
    def dispatch(self) -> Dispatch:
        """The table in the instance's database."""
        return Dispatch(self._instance)

    # --- what Dagster calls ---

    def launch_run(self, context: LaunchRunContext) -> None:
        """Send a run to the workers. May run twice: one worker executes it."""
        self._send(context.dagster_run, sent=0)

    def resume_run(self, context: ResumeRunContext) -> None:
        """Send a run to the workers again whose worker is gone. The ledger skips the steps that are done."""
        known = Attempt.of(context.dagster_run) or Attempt()
        self._send(context.dagster_run, sent=known.sent + 1)

    def _send(self, run: DagsterRun, sent: int) -> None:
        queue = run.tags.get(DAGSTER_CELERY_QUEUE_TAG, self.default_queue)
        task = f"{run.run_id}-{sent}"
        # Before the message: a worker may finish the run before this process continues.
        known = {tags.CELERY_SENT: str(sent), DAGSTER_CELERY_TASK_ID_TAG: task}
        self._instance.add_run_tags(run.run_id, known)
        self._waiting_since.pop(run.run_id, None)
        # Only the run's id. The stock message holds the instance's configuration, with its passwords.
        self.celery.send_task(
            TASK_EXECUTE_JOB_NAME,
            (run.run_id, sent),
            task_id=task,
            queue=queue,
            priority=_level(run),
            ignore_result=True,
        )

    def terminate(self, run_id: str) -> bool:
        """Cancel a run: its worker is notified and interrupts the op; a run without a worker ends here."""
        run = self._instance.get_run_by_id(run_id)
        if run is None or run.is_finished or Attempt.of(run) is None:
            return False
        if run.status is not DagsterRunStatus.CANCELING:
            self._instance.report_run_canceling(run)
        # In this order: a worker that claims the run from now on sees its status.
        self.dispatch.cancel(run_id)
        entry = self.dispatch.entry(run_id)
        if entry is None or not entry.has_live_worker:
            report_end(self._instance, run_id, "The run was canceled before a worker claimed it.")
        return True

    def check_run_worker_health(self, run: DagsterRun) -> CheckRunHealthResult:
        """The state of the worker that has claimed a run."""
        attempt = Attempt.of(run)
        if attempt is None:  # a process of the user's own executes it (`dagster job execute`)
            return CheckRunHealthResult(WorkerStatus.RUNNING, "The run was not launched to Celery.")
        entry = self.dispatch.entry(run.run_id)
        if attempt.is_waiting and not (entry and entry.has_live_worker):
            return self._waiting(run)
        if entry is not None and entry.state == "claimed" and not entry.is_lost:
            return CheckRunHealthResult(WorkerStatus.RUNNING, run_worker_id=attempt.worker or None)
        if entry is not None and entry.is_lost and entry.worker is not None:
            self.dispatch.give_up(run.run_id, entry.worker)
        return CheckRunHealthResult(
            WorkerStatus.FAILED, f"Worker {attempt.worker}, which had claimed the run, is gone.", False, attempt.worker
        )

    def _waiting(self, run: DagsterRun) -> CheckRunHealthResult:
        waiting = time.monotonic() - self._waiting_since.setdefault(run.run_id, time.monotonic())
        timeout = self._instance.run_monitoring_start_timeout_seconds
        if not timeout or waiting < timeout:
            return CheckRunHealthResult(WorkerStatus.RUNNING, "The run waits for a worker.")
        del self._waiting_since[run.run_id]
        return CheckRunHealthResult(WorkerStatus.FAILED, f"No worker claimed the run within {timeout} seconds.")

    def get_run_worker_debug_info(self, run: DagsterRun, include_container_logs: bool | None = True) -> str | None:
        """What Dagster shows beside a run that did not start in time."""
        attempt = Attempt.of(run)
        if attempt is None:
            return "The run was not launched to Celery."
        if attempt.is_waiting:
            return f"Message {run.run_id}-{attempt.sent} waits in Redis. Is a Celery worker up that reads its queue?"
        return f"Worker {attempt.worker} took it, as try {attempt.tries} of sending {attempt.sent}."


def _settings(given: Mapping[str, Any] | None) -> dict[str, Any]:
    """Celery's settings; `config_source` of dagster.yaml overrides them."""
    settings = dict(given or {})
    transport = {
        "visibility_timeout": VISIBILITY_SECONDS,
        "priority_steps": list(range(LEVELS)),
        "queue_order_strategy": "priority",
        **settings.pop("broker_transport_options", {}),
    }
    return {
        # A worker acknowledges a message when its run has ended, not before, and fetches no message in advance.
        "task_acks_late": True,
        "task_reject_on_worker_lost": True,
        "worker_prefetch_multiplier": 1,
        "worker_hijack_root_logger": False,  # Dagster has its own log
        "worker_redirect_stdouts": False,  # its output is no warning of Celery's
        "broker_connection_retry_on_startup": True,
        "broker_transport_options": transport,
        **settings,
    }


def _level(run: DagsterRun) -> int:
    """Redis serves the lowest number first; the tag means the reverse, like in Dagster's queue."""
    try:
        priority = int(run.tags.get(PRIORITY, "0"))
    except ValueError:
        priority = 0
    return min(max(ORDINARY - priority, 0), LEVELS - 1)
