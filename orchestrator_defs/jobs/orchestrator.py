"""The orchestrator of a code location, and how to find it in Dagster definitions."""

import difflib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

import structlog
from dagster import (
    DagsterInstance,
    DagsterRun,
    Definitions,
    InitResourceContext,
    JobDefinition,
    RepositoryDefinition,
    ResourceDefinition,
)

from ops.running.asset_reports import ProductAssets
from ops.steps.workflow import Workflow
from orchestrator_defs.jobs.decorators import WorkflowJob
from orchestrator_defs.jobs.launchpad import Launchpad
from orchestrator_defs.jobs.resource_check import check_resources
from orchestrator_defs.jobs.task_schedules import task_schedules
from orchestrator_defs.jobs.tasks import built_in_workflows
from resources.catalogue.catalogue import Catalogue, Product, WorkflowEntry
from resources.database import schema
from resources.database.session import SubscriptionDatabase
from resources.domain.subscription_model import SubscriptionModel
from resources.errors import SettingsError, UnknownWorkflow, WorkflowDeclarationError
from resources.runs.code_location import CodeLocation
from resources.runs.shared_resources import as_shared
from resources.subscriptions.customers import Customers, use_customers
from resources.types import ProcessId

LaunchNext = Callable[[DagsterInstance, DagsterRun, Sequence[ProcessId], ProcessId | None], None]

Sample: TypeAlias = Callable[[int, int], Iterator[SubscriptionModel]]
"""Makes up so many subscriptions; the second number differs from call to call, so that names and ids do."""


class Orchestrator:
    """A code location's catalogue, workflows, database and external systems.

    `name` is stored with its processes and catalogue rows: it stays the same when Dagster's location is renamed, and
    two locations of one database have two. `translations` are folders whose `en-GB.json` and so on have the names of
    its workflows and fields for people. `sample` makes subscriptions up for `orchestrator seed`.
    """

    def __init__(
        self,
        products: Iterable[Product],
        workflows: Iterable[WorkflowJob],
        resources: Mapping[str, Any] | None = None,
        database: SubscriptionDatabase | None = None,
        translations: Iterable[Path] = (),
        name: str = "orchestrator",
        sample: Sample | None = None,
    ) -> None:
        self.name = name
        self.sample = sample
        self.own_jobs = tuple(workflows)
        built_in = built_in_workflows(self, self.own_jobs)
        jobs = (*built_in, *self.own_jobs)
        self.database = replace(database or SubscriptionDatabase(), location=name)
        self.code: CodeLocation | None = None  # set when it is loaded from a workspace
        self.resources: dict[str, Any] = dict(resources or {})
        self.jobs = jobs
        self.translations = tuple(translations)
        self.bound_resources = {key: as_shared(resource) for key, resource in self.resources.items()}
        self.workflows = _by_name(jobs)
        _use_customers(self.resources.get("customers"))
        check_resources(jobs, self.resources)
        products = tuple(products)
        for job in jobs:
            if isinstance(job.config_mapping, Launchpad):
                job.config_mapping.offer(products)
        types = sorted({product.product_type for product in products})
        entries = [_entry(job.workflow, types, is_built_in=job in built_in) for job in jobs]
        self.catalogue = Catalogue(products, entries, name)
        self.definitions = Definitions(
            jobs=jobs,
            schedules=task_schedules(jobs),
            resources={**self.bound_resources, "database": DatabaseResource(self)},
        )
        self.made = self.definitions  # with more of them, where a location is made
        self.launch_next: LaunchNext | None = None  # set where a location is made
        self.product_assets = ProductAssets()  # filled where a location is made
        if not structlog.is_configured():
            _keep_libraries_quiet()

    @classmethod
    def of_all(cls, parts: Sequence["Orchestrator"]) -> "Orchestrator":
        """One orchestrator of what several have, with the name of the first. Raises SettingsError when two differ."""
        first = parts[0]
        resources: dict[str, Any] = {}
        for part in parts:
            if part.database.uri != first.database.uri:
                raise SettingsError(f"{first.name} and {part.name} have two databases; a code location has one.")
            for key, resource in part.resources.items():
                if key in resources and resources[key] != resource:
                    raise SettingsError(f"Two merged orchestrators have different resources {key!r}; give both one.")
                resources[key] = resource
        products: list[Product] = []
        products.extend(each for part in parts for each in part.catalogue.products if each not in products)
        return cls(
            products,
            dict.fromkeys(job for part in parts for job in part.own_jobs),
            resources,
            first.database,
            dict.fromkeys(folder for part in parts for folder in part.translations),
            first.name,
            next((part.sample for part in parts if part.sample is not None), None),
        )

    def prepare(self) -> SubscriptionDatabase:
        """Check that schema and catalogue match the code; cached once they do.

        The embedded database is migrated. On your own server, SchemaOutOfDate and CatalogueOutOfDate name the command
        to run.
        """
        schema.ensure_current(self.database)
        self.catalogue.ensure_current(self.database)
        return self.database

    def workflow(self, name: str) -> Workflow:
        """Find a workflow. Raises UnknownWorkflow with similar names."""
        if name in self.workflows:
            return self.workflows[name]
        near = difflib.get_close_matches(name, self.workflows, n=3) or sorted(self.workflows)
        raise UnknownWorkflow(f"There is no workflow {name!r}; there is {', '.join(near)}.")

    def job(self, name: str) -> JobDefinition:
        """The Dagster job of a workflow, with its resources. Raises UnknownWorkflow."""
        return self.definitions.resolve_job_def(self.workflow(name).name)

    def ready_database(self, _context: InitResourceContext) -> SubscriptionDatabase:
        """The database for a run."""
        return self.prepare()


class DatabaseResource(ResourceDefinition):
    """The database resource of an orchestrator's definitions, which knows it."""

    def __init__(self, orchestrator: Orchestrator) -> None:
        super().__init__(orchestrator.ready_database, description="Subscriptions, processes and the catalogue.")
        self.orchestrator = orchestrator

    @property
    def product_assets(self) -> ProductAssets:
        """The assets of the products, which runs report on."""
        return self.orchestrator.product_assets

    def launch_next(
        self, instance: DagsterInstance, run: DagsterRun, ready: Sequence[ProcessId], stopped: ProcessId | None
    ) -> None:
        if self.orchestrator.launch_next is not None:
            self.orchestrator.launch_next(instance, run, ready, stopped)


def orchestrator_of(found: Definitions | RepositoryDefinition, code: CodeLocation | None = None) -> Orchestrator:
    """The orchestrator of these definitions, also after a merge with others. `code`: their origin, if known.

    Raises SettingsError.
    """
    resources = found.get_top_level_resources() if isinstance(found, RepositoryDefinition) else found.resources
    database = (resources or {}).get("database")
    if isinstance(database, DatabaseResource):
        database.orchestrator.code = code or database.orchestrator.code
        return database.orchestrator
    raise SettingsError("These definitions belong to no orchestrator; build them with `build_definitions`.")


def _use_customers(own: Any) -> None:
    if own is None:
        return
    if not isinstance(own, Customers):
        raise SettingsError(
            f"The resource `customers` says who the customers are: {type(own).__name__} has no `named` and `listed`."
            " Give it these methods, or another key."
        )
    use_customers(own)


def _by_name(jobs: Iterable[WorkflowJob]) -> dict[str, Workflow]:
    found: dict[str, Workflow] = {}
    for job in jobs:
        if job.name in found:
            raise WorkflowDeclarationError(f"There are two workflows named {job.name!r}; names are unique.")
        found[job.name] = job.workflow
    return found


def _entry(workflow: Workflow, types: Iterable[str], *, is_built_in: bool) -> WorkflowEntry:
    of_types = tuple(each for each in types if workflow.may_run_on(each)) or workflow.product_types
    words = workflow.name, workflow.target, workflow.description, workflow.is_task
    return WorkflowEntry(*words, of_types, is_built_in, workflow.formerly)


def _keep_libraries_quiet() -> None:
    """pydantic-forms logs each form's input, with secrets, at debug level, and structlog prints all by default."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(30))
