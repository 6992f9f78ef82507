"""Runs playbooks in steps: to the end, once for each process, with a record in the state."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from ops import StepContext
from resources import PlaybookFailed, PlaybookRunner, State, public_url


def play(playbook: str, variables: Mapping[str, Any], playbooks: PlaybookRunner, context: StepContext) -> State:
    """Run a playbook and wait until it has succeeded. Adds `playbook`: its name, its job and what it changed.

    May run again: the runner knows the step's key, so it returns the earlier job, or starts a failed one again; and a
    playbook describes a state, so it changes nothing on a device that has it.
    """
    job = playbooks.run(playbook, variables, idempotency_key=context.idempotency_key)
    changes = [asdict(difference) for difference in job.differences]
    return {"playbook": {"name": playbook, "job": job.id, "changed": job.changed, "changes": changes}}


def begin_play(
    playbook: str, variables: Mapping[str, Any], callback_route: str, playbooks: PlaybookRunner, context: StepContext
) -> State:
    """Start a playbook, which calls back when it has ended. Adds `playbook`: its name and its job.

    May run again, like `play`; the runner then calls back at the first address, which works as well.
    """
    job = playbooks.start(
        playbook,
        variables,
        idempotency_key=context.idempotency_key,
        callback_url=public_url(callback_route),
    )
    return {"playbook": {"name": playbook, "job": job.id}}


def end_play(callback_result: Mapping[str, Any], playbook: Mapping[str, Any]) -> State:
    """Process the callback of the runner. Changes `playbook`: adds what the job changed.

    Raises PlaybookFailed with the runner's own message.
    """
    if callback_result.get("status") != "successful":
        error = callback_result.get("error") or f"it is {callback_result.get('status', 'without a status')}"
        raise PlaybookFailed(f"Playbook {playbook['name']} (job {playbook['job']}) failed: {error}")
    changed = bool(callback_result.get("changed"))
    return {"playbook": {**playbook, "changed": changed, "changes": callback_result.get("differences") or []}}
