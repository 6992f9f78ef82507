"""A sensor of many jobs: Dagster's own, without its warning."""

from collections.abc import Sequence
from typing import Any

from dagster import SensorDefinition


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
