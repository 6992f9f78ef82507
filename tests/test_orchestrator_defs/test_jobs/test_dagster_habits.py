"""What people do with Dagster's jobs, resources and definitions works with workflows too, or says why not."""

from collections.abc import Callable, Iterator
from typing import Any, ClassVar
from unittest.mock import Mock

import dagster as dg
import pytest
from dagster._core.remote_representation.external_data import RepositorySnap
from pydantic import BaseModel

from ops import StepList, SubmitFormPage, begin, step
from orchestrator_defs import build_definitions, task
from orchestrator_defs.jobs.decorators import WorkflowJob
from orchestrator_defs.jobs.orchestrator import Orchestrator
from resources.errors import WorkflowDeclarationError
from resources.figures.counts import status_counts
from resources.runs.run_execution import execute
from resources.types import ProcessStatus
from tests.engine import Engine

SEEN: list[Any] = []


class Ipam(dg.ConfigurableResource[Any]):
    """Addresses of the network."""

    is_shared: ClassVar[bool] = True
    url: str = "http://ipam"

    def next_address(self) -> str:
        """A free address."""
        return f"10.0.0.1 of {self.url}"


class PlainIpam:
    """A class that knows nothing of Dagster."""

    def next_address(self) -> str:
        """A free address."""
        return "10.0.0.2"


@step("Reserve")
def reserve(ipam: Ipam) -> dict[str, str]:
    return {"address": ipam.next_address()}


@task("Reserve an address")
def reserve_address() -> StepList:
    return begin >> reserve


@step("Reserve plainly")
def reserve_plainly(ipam: dg.ResourceParam[PlainIpam]) -> dict[str, str]:
    return {"address": ipam.next_address()}


@task("Reserve an address plainly")
def reserve_address_plainly() -> StepList:
    return begin >> reserve_plainly


class Addresses(BaseModel):
    """A class that pydantic could read from the state."""


@step("Reserve from the state")
def reserve_from_state(ipam: Addresses) -> dict[str, str]:
    return {"address": str(ipam)}


@dg.success_hook
def note(context: dg.HookContext) -> None:
    SEEN.append(context.op.name)


@dg.resource
def made_ipam(_: Any) -> PlainIpam:
    """A function that makes a resource."""
    return PlainIpam()


@pytest.fixture(autouse=True)
def seen() -> Iterator[None]:
    SEEN.clear()
    yield


def snaps(defs: dg.Definitions) -> dict[str, Any]:
    """What Dagster's page knows of the resources."""
    return {one.name: one for one in RepositorySnap.from_def(defs.get_repository_def()).resources}


# --- copies of jobs ---


def test_a_workflow_with_hooks_is_a_workflow(engine_of: Callable[..., Engine]) -> None:
    hooked = reserve_address.with_hooks({note})
    engine = engine_of(hooked, resources={"ipam": Ipam()})
    assert engine.launch("reserve_address", {"inputs": {}}).success
    assert SEEN == ["start", "reserve", "done"]


@pytest.mark.parametrize(
    "copy",
    [
        lambda job: job.with_metadata({"team": "network"}),
        lambda job: job.with_logger_defs({}),
        lambda job: job.with_executor_def(dg.in_process_executor),
    ],
)
def test_every_copy_of_a_workflow_is_a_workflow(copy: Callable[[Any], Any]) -> None:
    copied = copy(reserve_address)
    assert isinstance(copied, WorkflowJob)
    assert copied.workflow is reserve_address.workflow


def test_what_is_no_workflow_is_refused_with_a_sentence() -> None:
    with pytest.raises(WorkflowDeclarationError, match="build_definitions: `workflows` is a list of workflow"):
        build_definitions([], [reserve_address.graph.to_job(name="other")])  # type: ignore[list-item]


# --- executors ---


def test_an_executor_of_a_process_for_each_step_is_refused_at_load() -> None:
    with pytest.raises(WorkflowDeclarationError, match=r"multiprocess.*in_process_executor"):
        reserve_address.with_executor_def(dg.multiprocess_executor)


def test_a_run_by_such_an_executor_is_refused_before_it_does_anything(engine_of: Callable[..., Engine]) -> None:
    """A job of one's own, of the graph of a workflow."""
    engine = engine_of(reserve_address, resources={"ipam": Ipam()})
    bound = engine.orchestrator.job("reserve_address")
    job = dg.JobDefinition(graph_def=bound.graph, resource_defs=bound.resource_defs, config=bound.config_mapping)
    run = engine.instance.create_run_for_job(job, run_config={"inputs": {}})
    execute(engine.instance, job, run)
    assert engine.instance.get_run_by_id(run.run_id).status is dg.DagsterRunStatus.FAILURE
    assert engine.count_processes() == 0


# --- resources ---


def test_a_mock_stands_for_a_resource_in_a_unit_test(engine_of: Callable[..., Engine]) -> None:
    """As Dagster's documents teach it: in an ephemeral instance, whose processes no daemon touches."""
    engine = engine_of(reserve_address, resources={"ipam": Ipam()})
    ipam = Mock()
    ipam.next_address.return_value = "a mock's"
    job = engine.orchestrator.job("reserve_address")
    result = job.execute_in_process({"inputs": {}}, resources={"ipam": ipam})
    assert result.success
    with engine.database.transaction(read_only=True):
        assert status_counts() == {(ProcessStatus.COMPLETED, True): 1}
    assert engine.process(result.run_id).state["address"] == "a mock's"


def test_a_setting_comes_from_the_environment(
    engine_of: Callable[..., Engine], monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = engine_of(reserve_address, resources={"ipam": Ipam(url=dg.EnvVar("IPAM_URL"))})
    monkeypatch.setenv("IPAM_URL", "http://elsewhere")
    process_id = engine.run("reserve_address", {})
    assert engine.process(process_id).state["address"] == "10.0.0.1 of http://elsewhere"


def test_a_form_gets_settings_from_the_environment_too(
    engine_of: Callable[..., Engine], monkeypatch: pytest.MonkeyPatch
) -> None:
    def form(ipam: Ipam) -> Any:
        class Page(SubmitFormPage):
            address: str = ipam.next_address()

        page = yield Page
        return page.model_dump()

    @task("Ask for one", form)
    def ask_for_one() -> StepList:
        return begin

    engine = engine_of(ask_for_one, resources={"ipam": Ipam(url=dg.EnvVar("IPAM_URL"))})
    monkeypatch.setenv("IPAM_URL", "http://elsewhere")
    assert engine.process(engine.run("ask_for_one", [{}])).state["address"] == "10.0.0.1 of http://elsewhere"


@pytest.mark.parametrize("ipam", [PlainIpam(), made_ipam, dg.ResourceDefinition(lambda _: PlainIpam())])
def test_a_resource_of_any_class_is_taken_as_dagster_takes_it(engine_of: Callable[..., Engine], ipam: Any) -> None:
    engine = engine_of(reserve_address_plainly, resources={"ipam": ipam})
    assert engine.process(engine.run("reserve_address_plainly", {})).state["address"] == "10.0.0.2"


def test_a_form_takes_it_too(engine_of: Callable[..., Engine]) -> None:
    def form(ipam: dg.ResourceParam[PlainIpam]) -> Any:
        class Page(SubmitFormPage):
            address: str = ipam.next_address()

        page = yield Page
        return page.model_dump()

    @task("Ask", form)
    def ask() -> StepList:
        return begin

    engine = engine_of(ask, resources={"ipam": PlainIpam()})
    assert engine.process(engine.run("ask", [{}])).state["address"] == "10.0.0.2"


@pytest.mark.parametrize("ipam", [Addresses(), made_ipam])
def test_a_resource_that_would_be_looked_for_in_the_state_is_refused_at_load(ipam: Any) -> None:
    @task("Reserve")
    def reserving() -> StepList:
        return begin >> reserve_from_state

    with pytest.raises(WorkflowDeclarationError, match=r"reserve_from_state takes 'ipam'.*ResourceParam\[Addresses\]"):
        Orchestrator([], [reserving], {"ipam": ipam})


@pytest.mark.filterwarnings("ignore:Property `ScheduleDefinition.environment_vars`:DeprecationWarning")
def test_resources_keep_their_names_and_descriptions_on_the_page() -> None:
    found = snaps(build_definitions([], [reserve_address], {"ipam": Ipam(url=dg.EnvVar("IPAM_URL"))}))
    assert found["ipam"].resource_type.endswith("test_dagster_habits.Ipam")
    assert found["ipam"].resource_snapshot.description == "Addresses of the network."
    assert found["ipam"].configured_values["url"].name == "IPAM_URL"
    assert found["database"].resource_type.endswith(".DatabaseResource")
    assert found["database"].resource_snapshot.description == "Subscriptions, processes and the catalogue."
