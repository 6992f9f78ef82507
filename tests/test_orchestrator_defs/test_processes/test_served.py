"""Several locations served by one process, as the API serves a workspace: each process is its own location's."""

from collections.abc import Iterator
from typing import ClassVar

import pytest
from dagster import ConfigurableResource, DagsterInstance
from pydantic_forms.core import FormPage
from pydantic_forms.types import FormGenerator

from ops import StepList, begin, retrystep, step
from orchestrator_defs import task
from orchestrator_defs.jobs.orchestrator import Orchestrator
from orchestrator_defs.jobs.served import Served
from orchestrator_defs.processes.processes import Processes
from orchestrator_defs.testing import Testbed
from resources.catalogue.catalogue import Product
from resources.database.session import SubscriptionDatabase
from resources.errors import SettingsError, UnknownWorkflow
from resources.types import ProcessId, ProcessStatus, State
from tests.test_resources.test_domain.domain import DeviceInactive
from tests.test_resources.test_domain.samples import block, model, product, registry_kept
from tests.toy_network import DEVICE


class Ledger(ConfigurableResource):
    """A system that both organisations have, each its own."""

    resource_key: ClassVar[str] = "book"
    place: str


def _ask(book: Ledger) -> FormGenerator:
    class Page(FormPage):
        place: str = book.place

    page = yield Page
    return page.model_dump()


@step("Say where")
def say_where(book: Ledger) -> State:
    return {"done_at": book.place}


@retrystep("Try")
def fail() -> State:
    raise ValueError("not today")


@task("Ours", _ask)
def our_task() -> StepList:
    return begin >> say_where


@task("Theirs", _ask)
def their_task() -> StepList:
    return begin >> say_where


@task("Fails")
def failing_task() -> StepList:
    return begin >> fail


@pytest.fixture(autouse=True)
def kept_registry() -> Iterator[None]:
    with registry_kept():
        yield


@pytest.fixture
def orchestrators(database: SubscriptionDatabase) -> Iterator[list[Orchestrator]]:
    ours = Orchestrator([], [our_task], {"book": Ledger(place="here")}, database=database, name="ours")
    theirs = Orchestrator(
        [], [their_task, failing_task], {"book": Ledger(place="there")}, database=database, name="theirs"
    )
    with database.transaction():
        for one in (ours, theirs):
            one.catalogue.apply()
    yield [ours, theirs]


@pytest.fixture
def both(orchestrators: list[Orchestrator], instance: DagsterInstance) -> Processes:
    return Processes(Served(orchestrators), instance)


def location_of(processes: Processes, process_id: ProcessId) -> str | None:
    return processes.queries.line(process_id).location


def test_process_belongs_to_the_location_of_its_workflow(both: Processes) -> None:
    started = [both.starts.start(name, {}, user="a") for name in ("our_task", "their_task")]
    assert [location_of(both, one) for one in started] == ["ours", "theirs"]


@pytest.mark.parametrize(("workflow", "place"), [("our_task", "here"), ("their_task", "there")])
def test_forms_and_steps_have_the_systems_of_their_own_location(both: Processes, workflow: str, place: str) -> None:
    process_id = both.starts.start(workflow, {}, user="a")
    assert both.runs.execute(process_id, user="a") is ProcessStatus.COMPLETED
    state = both.queries.detail(process_id).state
    assert (state["place"], state["done_at"]) == (place, place)


def test_process_of_a_location_that_is_not_served_is_shown_and_left_alone(
    both: Processes, orchestrators: list[Orchestrator], instance: DagsterInstance
) -> None:
    process_id = both.starts.start("failing_task", {}, user="a")
    both.runs.execute(process_id, user="a")
    ours = Processes(orchestrators[0], instance)

    assert ours.queries.detail(process_id).line.location == "theirs"
    for act in (ours.interventions.retry, ours.interventions.abort):
        with pytest.raises(UnknownWorkflow, match="is of code location 'theirs', and this acts for ours"):
            act(process_id, user="a")
    assert both.queries.line(process_id).status.value in ("failed", "waiting")


def test_workflow_of_a_location_that_is_not_served_is_refused_with_its_name(
    both: Processes, orchestrators: list[Orchestrator], instance: DagsterInstance
) -> None:
    with pytest.raises(UnknownWorkflow, match="their_task is of code location 'theirs', and this acts for ours"):
        Processes(orchestrators[0], instance).starts.start("their_task", {}, user="a")


def test_all_tasks_of_all_locations_are_resumed(both: Processes) -> None:
    process_id = both.starts.start("failing_task", {}, user="a")
    both.runs.execute(process_id, user="a")
    assert both.interventions.resume_all(user="a") == [process_id]


def test_workflows_of_one_name_are_refused_with_both_locations(database: SubscriptionDatabase) -> None:
    one, other = (Orchestrator([], [our_task], database=database, name=name) for name in ("one", "other"))
    with pytest.raises(SettingsError, match="'one' and 'other' both have a workflow 'our_task'"):
        Served([one, other])


def test_note_on_a_subscription_is_a_process_of_the_location_of_its_product(
    database: SubscriptionDatabase, instance: DagsterInstance
) -> None:
    thing = Product("Thing", "THING", DeviceInactive, "Thing", "of the other location")
    ours = Orchestrator([DEVICE], [], database=database, name="ours")
    theirs = Testbed(Orchestrator([thing], [], database=database, name="theirs"), instance)
    with database.transaction():
        ours.catalogue.apply()
    subscription = theirs.add("Thing", device={"hostname": "thing"})
    both = Processes(Served([ours, theirs.orchestrator]), instance)
    pages = [{"subscription_id": str(subscription.subscription_id)}, {"note": "mind the gap"}]
    assert location_of(both, both.starts.start("modify_note", pages, user="a")) == "theirs"


def test_block_that_two_locations_declare_alike_is_served(database: SubscriptionDatabase) -> None:
    thing = Product("Thing", "THING", DeviceInactive, "Thing", "with the block of a device")
    products = {"ours": DEVICE, "theirs": thing}
    alike = [Orchestrator([product], [], database=database, name=name) for name, product in products.items()]
    assert Served(alike).names == "ours, theirs"


def test_block_that_two_locations_declare_otherwise_is_refused(database: SubscriptionDatabase) -> None:
    kits = {
        name: product(model(f"Kit{name}", {"kit": block("Rack Kit", fields)}), name=f"Kit {name}")
        for name, fields in {"ours": {"size": int}, "theirs": {"colour": str}}.items()
    }
    different = [Orchestrator([product], [], database=database, name=name) for name, product in kits.items()]
    with pytest.raises(SettingsError, match="'ours' and 'theirs' both have a block 'Rack Kit'"):
        Served(different)


def test_locations_whose_orchestrators_have_one_name_are_refused(database: SubscriptionDatabase) -> None:
    with pytest.raises(SettingsError, match="2 code locations have an orchestrator named 'ours'"):
        Served([Orchestrator([], [], database=database, name="ours") for _ in range(2)])
