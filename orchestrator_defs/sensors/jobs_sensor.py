"""A sensor of many jobs: Dagster's own, without its warning, and without long waits for locks."""

from collections.abc import Sequence
from typing import Any

from dagster import SensorDefinition, SensorEvaluationContext

from resources.database.session import lock_waits_limited

LOCK_SECONDS = 0.5
"""How long a tick waits for a row. A frozen process may hold it, and the other processes must not wait behind that."""


class JobsSensor(SensorDefinition):
    """A sensor of many jobs. Dagster's own warns of a parameter that it uses itself when resources are bound."""

    def with_updated_jobs(self, new_jobs: Sequence[Any]) -> "JobsSensor":
        """The sensor with its jobs' resources bound."""
        return JobsSensor(
            name=self.name,
            evaluation_fn=self._raw_fn,
            jobs=new_jobs,
            minimum_interval_seconds=self.minimum_interval_seconds,
            default_status=self.default_status,
            description=self.description,
        )

    def evaluate_tick(self, context: SensorEvaluationContext) -> Any:
        """Evaluate the sensor; a row that another transaction holds raises DatabaseBusy, and the next tick retries."""
        with lock_waits_limited(LOCK_SECONDS):
            return super().evaluate_tick(context)
