"""What the pages for those who write products show is true: each example runs, as it stands on its page."""

import json
import re
import sys
import tempfile
import textwrap
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from types import ModuleType
from typing import Any
from unittest.mock import Mock
from uuid import uuid4

import pytest
import yaml
from pydantic import BaseModel, SecretStr, ValidationError

from ops.starting.drift_answer import Answer
from orchestrator_defs.scaffolding.project import first_product, write_project
from orchestrator_defs.testing import Run, Testbed
from resources.errors import ExternalSystemError, ExternalSystemUnavailable, FormInvalid, StartRefused
from tests.architecture import ROOT
from tests.drift import write_result

ACCEPT = Answer.ACCEPT_REALITY
PAGES = ("forms", "external_systems", "steps", "validation", "testing", "model_a_product", "write_a_workflow", "waits")
BEFORE = {"write_a_workflow": ("model_a_product",)}
"""Pages from which others go on."""


def blocks(page: str, language: str) -> list[str]:
    text = (ROOT / "docs" / f"{page}.md").read_text()
    found = re.findall(rf"^ *```{language}\n(.*?)^ *```", text, re.DOTALL | re.MULTILINE)
    return [textwrap.dedent(code) for code in found]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project from which the pages continue."""
    folder = tmp_path_factory.mktemp("own") / "acme"
    write_project(folder, first_product("Line"))
    return folder


@contextmanager
def importable(folder: Path) -> Iterator[ModuleType]:
    """A project can be imported in the block; its fake controller."""
    sys.path.insert(0, str(folder))
    try:
        from acme import fake_controller  # type: ignore[import-not-found]

        yield fake_controller
    finally:
        sys.path.remove(str(folder))
        for name in [name for name in sys.modules if name.partition(".")[0] == "acme"]:
            del sys.modules[name]


@pytest.fixture
def project(folder: Path) -> Iterator[ModuleType]:
    """It can be imported during a test; its fake controller."""
    with importable(folder) as fake_controller:
        yield fake_controller


@pytest.fixture
def page_of(project: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ModuleType]:
    """A page's examples as one module, with a folder for temporary files of its own."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    def load(page: str) -> ModuleType:
        module = ModuleType(f"examples_of_{page}")
        code = "\n".join(block for one in (*BEFORE.get(page, ()), page) for block in blocks(one, "python"))
        exec(compile(code, f"docs/{page}.md", "exec"), module.__dict__)
        return module

    return load


@pytest.fixture
def controller(project: ModuleType) -> Iterator[Any]:
    with project.serving(project.FakeController()) as fake:
        yield fake


@pytest.fixture
def bed_of(testbed_of: Callable[..., Testbed], controller: Any) -> Callable[..., Testbed]:
    """A test bed of a page's workflows, with the project's own product and controller."""

    def make(*workflows: Any, products: Sequence[Any] = (), **systems: Any) -> Testbed:
        from acme.definitions.line import WORKFLOWS  # type: ignore[import-not-found]
        from acme.resources.controller import Controller  # type: ignore[import-not-found]
        from acme.resources.line import PRODUCTS  # type: ignore[import-not-found]

        external = {"controller": Controller(url=controller.url), **systems}
        return testbed_of([*WORKFLOWS, *workflows], [*PRODUCTS, *products], external)

    return make


def created(bed: Testbed) -> Run:
    run = bed.run("create_line", [{"product": "Line"}, {"site": "Utrecht", "speed": 1000}])
    run.assert_completed()
    return run


def on(run: Run) -> dict[str, str]:
    return {"subscription_id": str(run.subscription_id)}


@pytest.mark.parametrize("page", PAGES)
def test_examples_load_from_the_first_to_the_last(page_of: Callable[[str], ModuleType], page: str) -> None:
    assert blocks(page, "python")
    page_of(page)


# --- docs/your_own_product.md ---

MORE = (
    ("resources", "    speed: LineSpeed | None = None\n", "redundant: bool | None = None"),
    ("resources", "    speed: LineSpeed\n", "redundant: bool"),
    ("definitions", "    site: LineSite\n    speed: LineSpeed\n", "redundant: bool = False"),
    ("ops", "(product: UUID, ", "redundant: bool"),
    ("ops", '{"site": line.site, ', '"redundant": line.redundant'),
    ("ops", "    ordered.line.speed = speed\n", "ordered.line.redundant = redundant"),
)
"""A value more: room, what it stands behind, and what the page has people write."""


def test_a_value_more_needs_no_other_place_than_the_page_names(
    tmp_path: Path, testbed_of: Callable[..., Testbed]
) -> None:
    write_project(tmp_path / "acme", first_product("Line"))
    text = (ROOT / "docs" / "your_own_product.md").read_text()
    for room, anchor, written in MORE:
        assert f"`{written}`" in text
        file = tmp_path / "acme" / "acme" / room / "line.py"
        code = file.read_text()
        assert code.count(anchor) == 1
        new = f"    {written}\n" if anchor.endswith("\n") else f"{written}, "
        file.write_text(code.replace(anchor, anchor + new))

    with (
        importable(tmp_path / "acme") as fake_controller,
        fake_controller.serving(fake_controller.FakeController()) as fake,
    ):
        from acme.definitions.line import WORKFLOWS
        from acme.resources.controller import Controller
        from acme.resources.line import PRODUCTS

        bed = testbed_of(WORKFLOWS, PRODUCTS, {"controller": Controller(url=fake.url)})
        order = {"site": "Utrecht", "speed": 1000, "redundant": True}
        line = bed.run("create_line", [{"product": "Line"}, order])
        line.assert_completed()
        assert [one["values"] for one in fake.services.values()] == [order]
        fake.drift("C-1001", {"redundant": False})
        bed.run("validate_line", on(line)).assert_drift("redundant is False and should be True")


# --- docs/forms.md ---


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"site": "Atlantis", "speed": 10}, "we do not deliver there"),
        ({"site": "Delft", "speed": 10, "is_redundant": True}, "at least 100 Mbit/s"),
        ({"site": "Delft", "speed": 0}, "greater than 0"),
        ({"site": "Delft", "speed": 10, "colour": "red"}, "not permitted"),
    ],
)
def test_page_refuses_what_its_validators_refuse(
    page_of: Callable[[str], ModuleType], given: dict[str, Any], said: str
) -> None:
    form: type[BaseModel] = page_of("forms").OrderForm

    assert form.model_validate({"site": "Delft", "speed": 10}).model_dump()["is_redundant"] is False
    with pytest.raises(ValidationError, match=said):
        form.model_validate(given)


def test_forms_of_functions_are_filled_before_the_start_and_in_a_step(
    page_of: Callable[[str], ModuleType], bed_of: Callable[..., Testbed]
) -> None:
    bed = bed_of(page_of("forms").upgrade_line_after_survey)
    line = created(bed)
    (pages,) = (yaml.safe_load(text)["inputs"] for text in blocks("forms", "yaml"))
    pages[0] = on(line)

    run = bed.run("upgrade_line_after_survey", pages)
    run.assert_suspended(at="survey_form")
    run.assert_state({"note": "circuit C-1001"})
    run.answer([{"kind": "fibre"}, {"remark": "dig first"}])

    run.assert_completed()
    run.assert_state({"kind": "fibre", "remark": "dig first"})
    bed.assert_blocks(line.subscription_id, {"line": {"speed": 2500}})


# --- docs/external_systems.md ---


class Tickets(ThreadingHTTPServer):
    """A ticket system: a ticket for each key, unless `refusal` says with which status it refuses."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), TicketRequests)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.keys: list[str] = []
        self.refusal = 0


class TicketRequests(BaseHTTPRequestHandler):
    server: Tickets

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        key = self.headers["Idempotency-Key"]
        if key not in self.server.keys:
            self.server.keys.append(key)
        self.answer(self.server.refusal or 200, {"number": self.server.keys.index(key), "error": "busy"})

    def do_GET(self) -> None:
        self.answer(self.server.refusal or 404, {"error": "busy"})

    def answer(self, status: int, answer: Any) -> None:
        content = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *args: Any) -> None:
        """Nothing."""


@pytest.fixture
def tickets() -> Iterator[Tickets]:
    with Tickets() as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_a_client_repeats_a_call_without_a_second_effect(
    page_of: Callable[[str], ModuleType], tickets: Tickets
) -> None:
    client = page_of("external_systems").TicketSystem(url=tickets.url)

    assert client.open("Look", idempotency_key="one") == client.open("Look", idempotency_key="one") == "0"
    assert client.open("Look", idempotency_key="two") == "1"
    assert client.find("7") is None


@pytest.mark.parametrize(
    ("status", "error"),
    [(429, ExternalSystemUnavailable), (503, ExternalSystemUnavailable), (400, ExternalSystemError)],
)
def test_a_client_says_what_went_wrong(
    page_of: Callable[[str], ModuleType], tickets: Tickets, status: int, error: type[Exception]
) -> None:
    tickets.refusal = status

    with pytest.raises(error, match="busy"):
        page_of("external_systems").TicketSystem(url=tickets.url).find("7")


def test_a_step_gets_the_system_by_its_class_and_sends_its_key(
    page_of: Callable[[str], ModuleType], bed_of: Callable[..., Testbed], tickets: Tickets
) -> None:
    from ops import StepList, begin
    from orchestrator_defs import modify_workflow

    page = page_of("external_systems")

    @modify_workflow("Look at line", product_type="Line")
    def look_at_line() -> StepList:
        return begin >> page.open_ticket

    bed = bed_of(look_at_line, tickets=page.TicketSystem(url=tickets.url))
    run = bed.run("look_at_line", on(created(bed)))

    run.assert_completed()
    run.assert_state({"ticket": "0"})
    assert tickets.keys == [f"{run.process_id}:open_ticket"]


def test_a_text_has_one_form_in_form_model_and_comparison(page_of: Callable[[str], ModuleType]) -> None:
    page = page_of("external_systems")
    long = " Look " + "x" * 80

    block = page.TicketBlock.new(uuid4(), title=long)

    assert not page.differs(block, {"title": long.upper()})
    with pytest.raises(ValidationError, match="keeps at most 80 characters here; this has 85"):
        page.TicketForm(title=long)


def test_a_mock_of_the_class_serves_as_the_system(bed_of: Callable[..., Testbed], project: ModuleType) -> None:
    from acme.resources.controller import Controller, Service

    mock = Mock(spec=Controller)
    mock.configure.return_value = Service("C-7", {})

    assert created(bed_of(controller=mock)).subscription.line.circuit == "C-7"


# --- docs/steps.md ---


def test_steps_of_the_page_run_in_their_order(
    page_of: Callable[[str], ModuleType], bed_of: Callable[..., Testbed], controller: Any
) -> None:
    bed = bed_of(page_of("steps").upgrade_with_login)
    line = created(bed)

    run = bed.run("upgrade_with_login", [on(line), {"speed": 2000, "urgent": True, "password": "hush!"}])

    run.assert_completed()
    run.assert_state({"surcharge": 100, "is_open": True, "circuit": "C-1001"})
    assert "password" not in run.state
    assert "hush!" not in json.dumps([row.set for row in run.ledger.values()][1:])
    assert [one["values"] for one in controller.services.values()] == [{"speed": 2000}]


def test_a_condition_skips_its_steps(page_of: Callable[[str], ModuleType], bed_of: Callable[..., Testbed]) -> None:
    bed = bed_of(page_of("steps").upgrade_with_login)
    line = created(bed)

    run = bed.run("upgrade_with_login", [on(line), {"speed": 2000, "password": "no"}])

    run.assert_completed()
    run.assert_step("upgrade_line", "skipped")
    bed.assert_blocks(line.subscription_id, {"line": {"speed": 1000}})


def test_a_failure_gives_people_its_sentence(
    page_of: Callable[[str], ModuleType], bed_of: Callable[..., Testbed]
) -> None:
    bed = bed_of(page_of("steps").upgrade_with_login)

    run = bed.run("upgrade_with_login", [on(created(bed)), {"speed": 10, "password": "hush!"}])

    run.assert_failed("A line is never made slower.", at="check_order")


def test_a_retry_step_waits_while_the_system_is_down(
    page_of: Callable[[str], ModuleType], bed_of: Callable[..., Testbed], controller: Any
) -> None:
    bed = bed_of(page_of("steps").upgrade_with_login)
    line = created(bed)
    controller.is_down = True

    run = bed.run("upgrade_with_login", [on(line), {"speed": 2000, "password": "hush!"}])
    run.assert_waiting(at="configure_with_patience")

    controller.is_down = False
    run.retry().assert_completed()


def test_a_secret_is_given_to_the_step_as_one(page_of: Callable[[str], ModuleType]) -> None:
    assert page_of("steps").log_in.function(SecretStr("hush!"))["is_open"] is True


# --- docs/validation.md ---


def test_a_validation_finds_drift_and_a_reconciliation_puts_it_right(
    page_of: Callable[[str], ModuleType], bed_of: Callable[..., Testbed], controller: Any
) -> None:
    page = page_of("validation")
    bed = bed_of(page.check_line, page.push_line)
    line = created(bed)
    bed.run("check_line", on(line)).assert_completed()

    controller.drift("C-1001", {"speed": 10, "site": "Delft"})
    bed.run("check_line", on(line)).assert_drift("2 places: controller.site is 'Delft'")
    assert not line.subscription.insync

    bed.run("push_line", on(line)).assert_completed()
    assert line.subscription.insync
    bed.run("check_line", on(line)).assert_completed()


def test_what_the_page_accepts_becomes_the_subscription(
    page_of: Callable[[str], ModuleType], bed_of: Callable[..., Testbed]
) -> None:
    page = page_of("validation")
    bed = bed_of(page.check_line, page.change_line_speed)
    line = created(bed)
    found = {"path": "controller.speed", "found": 3}
    write_result(bed.database, line.subscription_id, differences=[found])
    answer = partial(bed.processes.starts.answer_drift, ACCEPT, line.subscription_id, reason="Ticket 7.", user="ada")

    Run(bed, answer()).execute().assert_completed()
    assert line.subscription.line.speed == 10

    write_result(bed.database, line.subscription_id, differences=[found, {"path": "controller.site", "found": "Delft"}])
    with pytest.raises(StartRefused, match="a line that ends elsewhere is another line"):
        answer()


def test_a_system_that_does_not_answer_is_no_drift(
    page_of: Callable[[str], ModuleType], bed_of: Callable[..., Testbed], controller: Any
) -> None:
    bed = bed_of(page_of("validation").check_line)
    line = created(bed)
    controller.is_down = True

    run = bed.run("check_line", on(line))

    run.assert_status("api_unavailable")
    assert line.subscription.insync


# --- docs/model_a_product.md, docs/write_a_workflow.md ---


def test_the_prefix_lives_its_whole_life(page_of: Callable[[str], ModuleType], bed_of: Callable[..., Testbed]) -> None:
    page = page_of("write_a_workflow")
    bed = bed_of(*page.WORKFLOWS, products=page.PRODUCTS)
    line = created(bed)
    pages = [{"product": "IPv4 prefix"}, {"line_id": str(line.subscription_id)}, {"prefix": "2001:db8::/48"}]

    with pytest.raises(FormInvalid, match="this product takes prefixes of IPv4"):
        bed.run("create_prefix", pages)
    prefix = bed.run("create_prefix", [*pages[:2], {"prefix": "192.0.2.0/24"}])
    prefix.assert_completed()
    expected = {"prefix": "192.0.2.0/24", "route_id": 1000, "metric": 100, "title": "192.0.2.0/24 on C-1001"}
    bed.assert_blocks(prefix.subscription_id, {"family": 4, "prefix": {**expected, "line": {"site": "Utrecht"}}})

    bed.run("modify_prefix", [on(prefix), {"metric": 5}]).assert_completed()
    bed.run("validate_prefix", on(prefix)).assert_completed()
    name = str(prefix.subscription_id)
    page.ROUTERS.configure(name, page.ROUTERS.routes()[name] | {"metric": 7})
    bed.run("validate_prefix", on(prefix)).assert_drift("routers.metric is 7 and should be 5")


def test_a_line_that_a_prefix_uses_is_not_terminated(
    page_of: Callable[[str], ModuleType], bed_of: Callable[..., Testbed]
) -> None:
    page = page_of("write_a_workflow")
    bed = bed_of(*page.WORKFLOWS, products=page.PRODUCTS)
    line = created(bed)
    pages = [{"product": "IPv4 prefix"}, {"line_id": str(line.subscription_id)}, {"prefix": "192.0.2.0/24"}]
    prefix = bed.run("create_prefix", pages)

    with pytest.raises(StartRefused, match="in use"):
        bed.run("terminate_line", on(line))
    bed.run("terminate_prefix", on(prefix)).assert_completed()
    bed.run("terminate_line", on(line)).assert_completed()


# --- docs/waits.md ---


def test_the_visit_waits_for_a_person_a_moment_a_callback_and_a_link(
    page_of: Callable[[str], ModuleType], bed_of: Callable[..., Testbed], later: Callable[..., Any]
) -> None:
    page = page_of("waits")
    bed = bed_of(page.visit_site)

    run = bed.run("visit_site", on(created(bed)))
    run.assert_suspended(at="approve_visit")
    run.answer({"visit_at": (datetime.now(UTC) + timedelta(hours=1)).isoformat()})
    run.assert_waiting(at="wait_until_visit_at")
    with later(timedelta(hours=2)):
        bed.wake()
    run.assert_awaiting_callback()
    run.callback({"done": True, "report": "all well"})
    for hours in (3, 4):
        run.assert_waiting(at="wait_for_link")
        with later(timedelta(hours=hours)):
            bed.wake()
    run.assert_completed()
    run.assert_state({"report": "all well", "link": "up"})


# --- docs/testing.md ---


def test_tests_of_the_page_succeed(
    page_of: Callable[[str], ModuleType],
    testbed_of: Callable[..., Testbed],
    controller: Any,
    later: Callable[..., Any],
) -> None:
    page = page_of("testing")

    page.test_a_line_is_created(testbed_of, controller)
    page.test_a_missing_service_is_drift(testbed_of)
    page.test_it_asks_again_after_a_minute(testbed_of, controller, later)
