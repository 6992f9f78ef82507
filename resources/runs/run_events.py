"""Events that people read in a run, about what was done to its process from outside of it."""

import logging

from dagster import DagsterInstance

from resources.types import ProcessId

log = logging.getLogger(__name__)


def report_event(instance: DagsterInstance, process_id: ProcessId, run_id: str | None, sentence: str) -> None:
    """Add a sentence to the events of a process's run; to those of its first run if Dagster does not have that one.

    Raises nothing: what it tells of is committed.
    """
    try:
        for each in (run_id, str(process_id)):
            run = instance.get_run_by_id(each) if each else None
            if run is not None:
                instance.report_engine_event(sentence, run)
                return
    except Exception:
        log.exception("The event log of run %s lacks this: %s", run_id, sentence)
