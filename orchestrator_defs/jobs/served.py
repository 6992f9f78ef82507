"""The orchestrators that one process serves: a command serves one, the API those of its whole workspace."""

from collections import ChainMap, Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ops.steps.workflow import Workflow
from orchestrator_defs.jobs.orchestrator import Orchestrator
from resources.catalogue.kinds import ENGINE
from resources.catalogue.rows import BlockRow
from resources.database.session import SubscriptionDatabase
from resources.errors import SettingsError, UnknownWorkflow
from resources.processes.process_rows import Located
from resources.subscriptions.queries import workflow_owner


class Served:
    """Orchestrators of one database, by workflow for a start and by location for a process.

    Each has the engine's own tasks; those of the first are started. Raises SettingsError when two have a product, a
    block or a workflow of one name: both are in the message.
    """

    def __init__(self, orchestrators: Iterable[Orchestrator]) -> None:
        self.orchestrators = tuple({id(one): one for one in orchestrators}.values())
        if clashes := list(_clashes(self.orchestrators)):
            raise SettingsError(" ".join(clashes))
        self.workflows: Mapping[str, Workflow] = ChainMap(*(one.workflows for one in self.orchestrators))
        self.resources: Mapping[str, Any] = ChainMap(*(one.bound_resources for one in self.orchestrators))

    @property
    def first(self) -> Orchestrator:
        """The first, whose tasks of the engine are started here."""
        return self.orchestrators[0]

    @property
    def translations(self) -> list[Path]:
        """The folders of all with names for people; a later one adds to those before."""
        return [folder for one in self.orchestrators for folder in one.translations]

    @property
    def names(self) -> str:
        """The names of all, for a sentence."""
        return ", ".join(one.name for one in self.orchestrators)

    def prepare(self) -> SubscriptionDatabase:
        """The database, with the schema and the catalogues of all. Raises as `Orchestrator.prepare`."""
        for one in self.orchestrators:
            one.prepare()
        return self.first.database

    def of_workflow(self, name: str) -> Orchestrator:
        """The orchestrator that starts a workflow. Raises UnknownWorkflow with similar names."""
        return next((one for one in self.orchestrators if name in one.workflows), self.first)

    def of_product(self, name: str | None) -> Orchestrator:
        """The orchestrator that declares a product; the first if none does."""
        return next((one for one in self.orchestrators if name in one.catalogue.rows.products), self.first)

    def workflow(self, name: str) -> Workflow:
        """The workflow of this name, to start it. Raises UnknownWorkflow with its location, else with similar names."""
        if (found := self.workflows.get(name)) is not None:
            return found
        with self.prepare().transaction(read_only=True):
            self._check_is_served(f"Workflow {name}", workflow_owner(name))
        return self.first.workflow(name)

    def find(self, process: Located) -> Orchestrator | None:
        """The orchestrator of a process, None if its location is not served or no longer has its workflow."""
        of_location = [one for one in self.orchestrators if process.location in (None, one.name)]
        return next((one for one in of_location if process.workflow_name in one.workflows), None)

    def of_process(self, process: Located) -> Orchestrator:
        """The orchestrator of a process. Raises UnknownWorkflow, also for a location that is not served here."""
        self.check_serves(process)
        return self.find(process) or self._named(process.location)

    def check_serves(self, process: Located) -> None:
        """Raise UnknownWorkflow for a process of a location that is not served here: it waits for that."""
        self._check_is_served(f"Process {process.process_id}", process.location)

    def _check_is_served(self, what: str, location: str | None) -> None:
        if location not in (None, ENGINE, *(one.name for one in self.orchestrators)):
            raise UnknownWorkflow(
                f"{what} is of code location {location!r}, and this acts for {self.names}. Load {location!r} (-m, -f,"
                " -w, --location) and try again."
            )

    def _named(self, location: str | None) -> Orchestrator:
        return next((one for one in self.orchestrators if one.name == location), self.first)


def _clashes(orchestrators: tuple[Orchestrator, ...]) -> Iterator[str]:
    """A sentence for each name that two orchestrators have; the same block may be in several."""
    owners: dict[tuple[str, str], tuple[str, Any]] = {}
    for name, number in Counter(one.name for one in orchestrators).items():
        if number > 1:
            names = f"{number} code locations have an orchestrator named {name!r}"
            yield f"{names}; give each its own name with `build_definitions(name=…)`."
    for one in orchestrators:
        rows = one.catalogue.rows
        built_in = {entry.name for entry in one.catalogue.workflows if entry.is_built_in}
        own: list[tuple[str, str, Any]] = [("workflow", name, name) for name in one.workflows if name not in built_in]
        own += [("product", name, one.name) for name in rows.products]
        own += [("block", name, row) for name, row in rows.blocks.items()]
        for kind, name, row in own:
            owner, known = owners.setdefault((kind, name), (one.name, row))
            if owner != one.name and not (kind == "block" and _may_be_shared(known, row)):
                yield f"Code locations {owner!r} and {one.name!r} both have a {kind} {name!r}; rename one of them."


def _may_be_shared(one: BlockRow, other: BlockRow) -> bool:
    # Which of them the database has, its owner decides.
    pairs = ((one, other), (other, one))
    return any(part.is_part_of(whole.tag, whole.values, whole.holds) for part, whole in pairs)
