"""Playbooks as steps run them: to the end, once per process, with a trace in the state."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from ops.context import StepContext
from resources.playbooks import PlaybookRunner
from resources.types import State


def play(playbook: str, variables: Mapping[str, Any], playbooks: PlaybookRunner, context: StepContext) -> State:
    """Run a playbook and wait until it has succeeded. Adds `playbook`: its name, its job and what it changed.

    May run again: the runner knows the step's key, so it gives the job of before, or starts a failed one anew; and
    playbooks describe a state, so one that finds its device as wanted changes nothing.
    """
    job = playbooks.run(playbook, variables, idempotency_key=context.idempotency_key)
    changes = [asdict(difference) for difference in job.differences]
    return {"playbook": {"name": playbook, "job": job.id, "changed": job.changed, "changes": changes}}
