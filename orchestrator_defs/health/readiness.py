"""Readiness: checks everything that a request needs."""

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
    """The result of each check: `ok`, or a sentence with what is missing."""

    checks: dict[str, str] = field(default_factory=dict)

    @property
    def missing(self) -> str:
        """The sentence of the first check that failed, or empty."""
        return next((found for found in self.checks.values() if found != OK), "")


def readiness(orchestrator: Orchestrator) -> Readiness:
    """Check the database, its schema and its catalogue, up to the first failure.

    An embedded database is migrated first. May take as long as the database lets it wait.
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
        if orchestrator.catalogue.is_current():
            return None
    return (
        f"The catalogue in the database lacks what code location '{orchestrator.name}' declares. See `orchestrator "
        "catalogue plan`, then run `orchestrator catalogue apply`."
    )


CHECKS: dict[str, Callable[[Orchestrator], str | None]] = {
    "database": _database,
    "schema": _schema,
    "catalogue": _catalogue,
}
