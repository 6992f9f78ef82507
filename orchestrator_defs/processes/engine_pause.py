"""The engine's pause: nothing new begins, running steps end, and the release continues what stopped."""

import logging

from orchestrator_defs.processes.process_access import ProcessAccess
from orchestrator_defs.processes.process_answers import ProcessAnswers
from resources.processes import pause
from resources.processes.pause import EngineState
from resources.systems import slack
from resources.types import ProcessId

log = logging.getLogger(__name__)


class EnginePause:
    def __init__(self, access: ProcessAccess, answers: ProcessAnswers) -> None:
        self._access = access
        self._answers = answers

    def pause(self, *, user: str) -> EngineState:
        """Pause: nothing new begins, running steps end, and waits stay. Commits. May run twice."""
        return self._set_paused(True, user)

    def release(self, *, user: str) -> list[ProcessId]:
        """End the pause: what it stopped continues, once. Returns the processes to launch now. Commits. May run twice.

        The sensor finds those that were not launched, or were too many for one call.
        """
        self._set_paused(False, user)
        return self._answers.wake()

    def _set_paused(self, is_paused: bool, user: str) -> EngineState:
        with self._access.database.transaction():
            is_changed = pause.set_paused(is_paused, user=user)
            state = pause.state()
        if is_changed:
            said = f"The engine was {'paused' if is_paused else 'released'} by {user}."
            log.info("%s", said)
            slack.notify(said)
        return state

    def status(self) -> EngineState:
        """Whether the engine is paused, and whether a step still runs."""
        with self._access.database.transaction(read_only=True):
            return pause.state()
