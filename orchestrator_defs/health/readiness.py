"""Readiness: checks everything that a request needs."""

from collections.abc import Callable
from dataclasses import dataclass, field

from dagster import DagsterInstance

from orchestrator_defs.health.diagnosis import late_sensors
from orchestrator_defs.jobs.served import Served
from resources.database import schema
from resources.database.ping import ping
from resources.errors import OrchestratorError, TransportError

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


def readiness(served: Served) -> Readiness:
    """Check the database, its schema and its catalogue, up to the first failure.

    An embedded database is migrated first. May take as long as the database lets it wait.
    """
    found = Readiness(dict.fromkeys(CHECKS, UNKNOWN))
    for name, check in CHECKS.items():
        try:
            found.checks[name] = check(served) or OK
        except (OrchestratorError, TransportError) as error:
            found.checks[name] = str(error)
        if found.checks[name] != OK:
            break
    return found


def sensors(served: Served, instance: DagsterInstance) -> str:
    """`ok`, or which of the sensors is late: requests are answered without them, but nothing continues by itself."""
    states = instance.all_instigator_state() if instance.schedule_storage else ()
    return next((late for one in served.orchestrators for late in late_sensors(one, states)), OK)


def _database(served: Served) -> None:
    ping(served.first.database)


def _schema(served: Served) -> str | None:
    if served.first.database.is_embedded:
        served.prepare()
    current, head = schema.current(served.first.database), schema.head()
    if current == head:
        return None
    return f"The schema is at revision {current or 'none'}; this version needs {head}. Run `orchestrator db upgrade`."


def _catalogue(served: Served) -> str | None:
    with served.first.database.transaction(read_only=True):
        behind = [one.name for one in served.orchestrators if not one.catalogue.is_current()]
    if not behind:
        return None
    return (
        f"The catalogue in the database lacks what code location {', '.join(map(repr, behind))} declares. See"
        " `orchestrator catalogue plan`, then run `orchestrator catalogue apply`."
    )


CHECKS: dict[str, Callable[[Served], str | None]] = {
    "database": _database,
    "schema": _schema,
    "catalogue": _catalogue,
}
