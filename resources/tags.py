"""The tags that a Dagster run carries for its process: one place that names, writes and reads them."""

from collections.abc import Mapping
from typing import Any

HIDDEN = ".dagster/orchestrator_"
"""Dagster's page does not show tags with Dagster's hidden prefix: what the engine reads, and people do not."""

PROCESS = "orchestrator/process"
SUBSCRIPTION = "orchestrator/subscription"
PROGRESS = "orchestrator/progress"
"""How far a long step of a run is."""
USER = "user"
"""Dagster's own tag, which its page shows as "Launched by"."""

WORKFLOW = HIDDEN + "workflow"
STATUS = HIDDEN + "status"
PARENT = HIDDEN + "parent"
REQUEST = HIDDEN + "request"
"""What a sensor requested a run for; of the runs with the same request one starts a process."""
LOCATION = HIDDEN + "location"
"""The name of the orchestrator whose sensor requested a run: two may be in one Dagster instance."""
ACTS_ON = HIDDEN + "acts_on"
"""The process on which a run intervenes; the run is no segment of it."""

SIGNED = HIDDEN + "signed"
"""The signature of who launched a run, with roles and claims, which are in tags of their own."""

CELERY_SENT = HIDDEN + "celery_sent"
CELERY_TAKEN = HIDDEN + "celery_taken"
"""How often a run was sent to Celery's workers; which message a worker accepted last, how often that one, and who."""

FORMER = "orchestrator/"
"""The prefix of the other tags on runs that were made before."""


def read(found: Mapping[str, str], tag: str) -> str | None:
    """The value of a tag of a run, also of one that was made before."""
    name = tag.removeprefix(HIDDEN).rpartition("/")[2]
    return found.get(tag) or found.get(HIDDEN + name) or found.get(FORMER + name)


def of_user(user: str) -> dict[str, str]:
    """Who launched a run. It is hidden when that is the engine, because Dagster's page then names the sensor."""
    return {HIDDEN + "user" if user == "SYSTEM" else USER: user}


def written(values: Mapping[str, Any]) -> dict[str, str]:
    """Tags of these values, without those that have none."""
    return {tag: str(value) for tag, value in values.items() if value}
