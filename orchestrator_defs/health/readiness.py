"""Readiness: whether everything is there that a request needs, and what is missing."""

from collections.abc import Callable
from dataclasses import dataclass, field

from orchestrator_defs.jobs.orchestrator import Orchestrator
from resources.database import schema
from resources.database.ping import ping
from resources.errors import OrchestratorError

OK = "ok"
UNKNOWN = "not asked"


@dataclass(frozen=True, slots=True)
class Readiness:
    """What each check has found: `ok`, or a sentence that says what is missing."""

    checks: dict[str, str] = field(default_factory=dict)

    @property
    def missing(self) -> str:
        """The sentence of the first check that failed; empty when all is there."""
        return next((found for found in self.checks.values() if found != OK), "")


def readiness(orchestrator: Orchestrator) -> Readiness:
    """Ask the database, its schema and its catalogue, in three statements; what comes after a failure is not asked.

    An embedded database is brought up to date first. May take as long as the database lets it wait.
    """
    found = Readiness(dict.fromkeys(CHECKS, UNKNOWN))
    for name, check in CHECKS.items():
        try:
            found.checks[name] = check(orchestrator) or OK
        except OrchestratorError as error:
            found.checks[name] = str(error)
        if found.checks[name] != OK:
            break
    return found


def _database(orchestrator: Orchestrator) -> None:
    ping(orchestrator.database)


def _schema(orchestrator: Orchestrator) -> str | None:
    if orchestrator.database.is_embedded:
        orchestrator.prepare()
    current, head = schema.current(orchestrator.database), schema.head()
    if current == head:
        return None
    return f"The schema is at revision {current or 'none'}; this version needs {head}. Run `orchestrator db upgrade`."


def _catalogue(orchestrator: Orchestrator) -> str | None:
    with orchestrator.database.transaction(read_only=True):
        if orchestrator.catalogue.is_current(additions_only=orchestrator.database.is_embedded):
            return None
    return (
        "The catalogue in the database is not the one of the code. See `orchestrator catalogue plan`, then run"
        " `orchestrator catalogue apply`."
    )


CHECKS: dict[str, Callable[[Orchestrator], str | None]] = {
    "database": _database,
    "schema": _schema,
    "catalogue": _catalogue,
}
