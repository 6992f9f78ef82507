"""An organisation's own package beside the shipped one, on one database, under one `up`: neither touches the other."""

import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.ports import free_port
from tests.test_acceptance.conftest import PROJECT, Project, Webserver, fresh_home
from tests.waiting import GENEROUS_SECONDS, eventually

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("up")]

ACME = """
from pathlib import Path
from typing import ClassVar
from uuid import UUID

import dagster as dg

from ops import FormGenerator, StepList, SubmitFormPage, begin, callback_step, inputstep, step
from orchestrator_defs import build_definitions, create_workflow, validate_workflow
from resources import Assignee, DriftFound, Product, ProductBlockModel, State, SubscriptionModel


class Registrar(dg.ConfigurableResource):
    resource_key: ClassVar[str] = "registrar"
    folder: str

    def names(self) -> list[str]:
        return sorted(path.name for path in Path(self.folder).iterdir())

    def order(self, fqdn: str, call_back: str) -> None:
        (Path(self.folder) / fqdn).write_text(call_back)


class DomainBlock(ProductBlockModel, product_block_name="Domain"):
    fqdn: str | None = None


class Domain(SubscriptionModel, is_base=True):
    domain: DomainBlock


class DomainForm(SubmitFormPage):
    fqdn: str


@step("Write the domain")
def write_domain(product: UUID, fqdn: str) -> State:
    subscription = Domain.from_product_id(product, customer_id="acme")
    subscription.description = f"Domain {fqdn}"
    subscription.domain.fqdn = fqdn
    return {"subscription": subscription}


class Consent(SubmitFormPage):
    paid: bool


@inputstep("Ask the accounts department", Assignee.SYSTEM)
def ask_accounts() -> FormGenerator:
    page = yield Consent
    return page.model_dump()


@step("Order the name")
def order(registrar: Registrar, fqdn: str, callback_route: str) -> None:
    registrar.order(fqdn, callback_route)


@step("Check the answer")
def check_answer(callback_result: dict) -> State:
    return {"order_number": callback_result["number"]}


@create_workflow("Create domain", initial_input_form=DomainForm, product_type="Domain")
def create_domain() -> StepList:
    return begin >> write_domain >> ask_accounts >> callback_step("Register the name", order, check_answer)


@step("Look at the registrar")
def look(subscription: Domain, registrar: Registrar) -> None:
    if subscription.domain.fqdn not in registrar.names():
        raise DriftFound(f"The registrar has no {subscription.domain.fqdn}.")


@validate_workflow("Validate domain", product_type="Domain")
def validate_domain() -> StepList:
    return begin >> look


defs = build_definitions(
    [Product("Domain", "DOM", Domain, "Domain", "A name on the internet")],
    [create_domain, validate_domain],
    resources={"registrar": Registrar(folder=str(Path(__file__).with_name("registrar")))},
)
"""
UNIT_TEST = """
import dagster as dg
from acme import Registrar, defs

class Mock(Registrar):
    def order(self, fqdn, call_back):
        raise AssertionError("nobody has said yes yet")

job = defs.resolve_job_def("create_domain")
with dg.DagsterInstance.ephemeral() as instance:
    inputs = {"inputs": [{"product": "Domain"}, {"fqdn": "mock.example"}]}
    result = job.execute_in_process(inputs, instance=instance, resources={
        **{key: value for key, value in defs.resources.items() if key != "registrar"}, "registrar": Mock(folder=".")})
    assert result.success
"""
WORKSPACE = """load_from:
  - python_module: {module_name: acme}
  - python_module: {module_name: orchestrator_defs, location_name: orchestrator}
"""
RUNS = """{runsOrError(limit: 1000) {... on Runs {results {
  runId jobName status tags {key value} repositoryOrigin {repositoryLocationName}}}}}"""
SENSOR = """mutation($selector: SensorSelector!) {startSensor(sensorSelector: $selector) {__typename}}"""


class Two(Project):
    """A project with both locations, driven through its API."""

    def __init__(self, home: Path, folder: Path, port: int) -> None:
        super().__init__(home, folder)
        self.port = port
        self.environment["PYTHONPATH"] = str(folder)
        self.page = Webserver(port, "acme", None)  # type: ignore[arg-type]
        self.api = httpx.Client(base_url=f"http://127.0.0.1:{port}/api", timeout=GENEROUS_SECONDS)

    def said(self) -> str:
        return (self.home / "orchestrator.log").read_text()

    def post(self, path: str, body: Any) -> Any:
        """What the API answers, when it accepts."""
        answer = self.api.post(path, json=body)
        assert answer.is_success, answer.text
        return answer.json() if answer.content else None

    def process(self, process_id: str) -> dict[str, Any]:
        """A process, also while the server restarts."""
        found: dict[str, Any] = {}

        def is_answered() -> bool:
            with suppress(httpx.HTTPError):
                answer = self.api.get(f"/processes/{process_id}")
                found.update(answer.json())
                return answer.is_success
            return False

        eventually(is_answered, f"an answer about {process_id}")
        return found

    def until(self, process_id: str, status: str) -> None:
        eventually(lambda: self.process(process_id)["last_status"] == status, f"{process_id} to be {status}")

    def part(self, name: str) -> list[int]:
        """The processes of a part: by name, or by the command that has no name of ours."""
        if name == "postmaster":
            with suppress(OSError, IndexError):
                return [int((self.home / "pg" / "postmaster.pid").read_text().split()[0])]
            return []
        command_of = {"inner code server": "api grpc", "code server": "code-server start"}.get(name, "no command")
        return [*self.named(name), *(pid for pid, command in self.processes().items() if command_of in command)]

    def kill(self, name: str) -> None:
        """Kill a part, wherever `up` has it; another is there afterwards."""
        killed = eventually(lambda: self.part(name), name)
        for pid in killed:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        eventually(lambda: {*self.part(name)} - {*killed}, f"another {name}")

    def switch_on(self, location: str) -> None:
        """The sensor that validates the fleet."""
        selector = {"repositoryLocationName": location, "repositoryName": "__repository__"}
        selector["sensorName"] = "validation_sensor"

        def is_on() -> bool:
            answer = self.page.ask(SENSOR, {"selector": selector})["startSensor"]
            return bool(answer["__typename"] == "Sensor")

        eventually(is_on, f"the sensors of {location}")

    def runs(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.page.ask(RUNS)["runsOrError"]["results"]
        return found

    def locations_of(self, job: str) -> set[str]:
        """The locations whose runs of a job there are."""
        return {run["repositoryOrigin"]["repositoryLocationName"] for run in self.runs() if run["jobName"] == job}


@pytest.fixture
def two(tmp_path: Path) -> Iterator[Two]:
    shutil.copy(PROJECT / "dagster.yaml", tmp_path)
    (tmp_path / "workspace.yaml").write_text(WORKSPACE)
    (tmp_path / "acme.py").write_text(ACME)
    (tmp_path / "registrar").mkdir()
    with fresh_home() as home:
        port = free_port()
        two = Two(home, tmp_path, port)
        with two.service("orchestrator", "up", "--no-examples", "--port", str(port)) as process:
            for ready in ("Ready: the daemon", "runs of acme", "runs of orchestrator"):
                eventually(lambda ready=ready: process.poll() is not None or ready in two.said(), ready)
                assert process.poll() is None, two.said()
            with two.api:
                yield two
        two.wait_until_left()


def test_two_locations_live_side_by_side(two: Two) -> None:
    """Each with a wait and a callback, through kills of every part, with a unit test beside the daemon."""
    node = yaml.safe_load((PROJECT / "examples" / "create_node.yaml").read_text())
    created = two.post("/processes/create_node", node["inputs"])["id"]
    domain = two.post("/processes/create_domain", [{"product": "Domain"}, {"fqdn": "acme.example"}])["id"]
    unit_test = two.command("python", "-c", UNIT_TEST)
    assert unit_test.returncode == 0, unit_test.stderr
    for part in ("supervisor", "worker", "postmaster"):
        two.kill(part)
    two.until(created, "completed")
    two.until(domain, "suspended")
    subscription = two.process(created)["current_state"]["subscription_id"]
    redeployment = two.post("/processes/redeploy_node", [{"subscription_id": subscription}])["id"]
    two.until(redeployment, "suspended")

    two.kill("code server")  # forked from the server; its successors are commands with a process of their own
    for part in ("daemon", "inner code server", "worker", "serving"):
        two.kill(part)
    eventually(lambda: two.said().count("Ready: the daemon") == 2, "another daemon")
    two.kill("server")
    eventually(lambda: two.said().count("Ready: the daemon") == 3, "another server with a daemon")
    assert two.process(domain)["last_status"] == two.process(redeployment)["last_status"] == "suspended"
    for location in ("acme", "orchestrator"):
        two.switch_on(location)
    two.api.put(f"/processes/{redeployment}/resume", json=[{"go_ahead": True}]).raise_for_status()
    two.api.put(f"/processes/{domain}/resume", json=[{"paid": True}]).raise_for_status()
    two.until(domain, "awaiting_callback")
    route = (two.folder / "registrar" / "acme.example").read_text()
    httpx.post(f"http://127.0.0.1:{two.port}{route}", json={"number": 7}, timeout=GENEROUS_SECONDS).raise_for_status()
    two.kill("worker")
    two.until(domain, "completed")
    two.until(redeployment, "completed")
    eventually(lambda: two.locations_of("task_validate_batch") == {"acme", "orchestrator"}, "validations")
    eventually(lambda: all(run["status"] in ("SUCCESS", "FAILURE") for run in two.runs()), "the ends of all runs")
    ended = [one for one in two.orchestrator("process", "list", "--limit", "1000") if one["status"] != "completed"]
    assert [one["status"] for one in ended] == ["suspended"], (
        ended
    )  # a run whose worker was killed has failed; none else

    for run in two.runs():
        assert run["repositoryOrigin"] is not None, run
    assert two.locations_of("create_domain") == {"acme"}
    assert two.locations_of("create_node") == two.locations_of("redeploy_node") == {"orchestrator"}
    mocked = [one for one in two.orchestrator("process", "list", "--limit", "100") if one["status"] == "suspended"]
    assert [one["workflow"] for one in mocked] == ["create_domain"]
    assert not any(mocked[0]["process_id"] == run["runId"] for run in two.runs())
    assert sorted(path.name for path in (two.folder / "registrar").iterdir()) == ["acme.example"]
