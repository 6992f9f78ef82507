"""What Dagster loads and people launch: jobs, schedules, sensors, and the doors."""

from orchestrator_defs.definitions import defs

__all__ = ["defs"]
