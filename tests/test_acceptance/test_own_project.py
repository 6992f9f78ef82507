"""A project of one's own, from the wheel in an empty folder to the end of a subscription, by what its pages say."""

import json
import re
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.architecture import ROOT
from tests.ports import free_port
from tests.test_acceptance.conftest import Webserver, fresh_home, interrupt
from tests.waiting import GENEROUS_SECONDS, eventually
from tests.wheels import environment

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("packaging")]

PAGE = (ROOT / "docs" / "your_own_product.md").read_text()
DRIFT = {"speed": 7}


def commands(text: str) -> list[str]:
    """The lines of a page that a shell executes."""
    return [line for block in re.findall(r"```sh\n(.*?)```", text, re.DOTALL) for line in block.strip().splitlines()]


class OwnProject:
    """The project in a folder far from this one, with the commands of the environment that has the wheel."""

    def __init__(self, folder: Path, bin_folder: Path, home: Path) -> None:
        self.folder = folder
        self.home = home
        self.port, self.fake_port = free_port(), free_port()
        self.fake = f"http://127.0.0.1:{self.fake_port}"
        self.environment = environment(
            PATH=f"{bin_folder}:/usr/bin:/bin",
            ORCHESTRATOR_HOME=str(home),
            CONTROLLER_URL=self.fake,
            PIP_NO_INDEX="1",
            PIP_NO_BUILD_ISOLATION="0",  # in pip's words: none
            NO_COLOR="1",
            COLUMNS="200",
        )

    @property
    def readme(self) -> list[str]:
        """The commands of its README."""
        return commands((self.folder / "README.md").read_text())

    def shell(self, command: str) -> "subprocess.CompletedProcess[str]":
        """Execute a line of a page."""
        return subprocess.run(
            ["bash", "-c", command],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=2 * GENEROUS_SECONDS,
            check=False,
        )

    @contextmanager
    def up(self) -> Iterator["subprocess.Popen[str]"]:
        """Execute the README's command that runs everything, until the end of the block; then ^C."""
        (command,) = [line for line in self.readme if line.endswith("orchestrator up")]
        with (self.home / "up.log").open("a") as log:
            process = subprocess.Popen(
                ["bash", "-c", f"{command} --port {self.port}"],
                cwd=self.folder,
                env=self.environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,
            )
        try:
            eventually(lambda: process.poll() is not None or "in reserve" in self.said, "everything to be up")
            assert process.poll() is None, self.said
            yield process
        finally:
            interrupt(process)

    @property
    def said(self) -> str:
        return (self.home / "up.log").read_text()

    def drift(self, circuit: str) -> None:
        """Change a service as the README does, which has `curl` do it."""
        (line,) = [line for line in self.readme if line.startswith("curl")]
        method, path = re.search(r"-X (\w+) http://127.0.0.1:9900/(\w+)/", line).groups()  # type: ignore[union-attr]
        httpx.request(method, f"{self.fake}/{path}/{circuit}", json=DRIFT).raise_for_status()

    def service(self, circuit: str) -> Any:
        """What the external system has under this number; None if nothing."""
        found = httpx.get(f"{self.fake}/services").raise_for_status().json()
        return next((one["values"] for one in found.values() if one["circuit"] == circuit), None)

    def subscription(self, site: str) -> Mapping[str, Any]:
        """The line to this site, as the API shows it."""
        (found,) = [one for one in self.get("subscriptions/") if f" {site}" in one["description"]]
        whole: Mapping[str, Any] = self.get(f"subscriptions/domain-model/{found['subscription_id']}")
        return whole

    def get(self, path: str) -> Any:
        """A GET of the API."""
        return httpx.get(f"http://127.0.0.1:{self.port}/api/{path}", timeout=GENEROUS_SECONDS).raise_for_status().json()


@pytest.fixture(scope="module")
def project(installed: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnProject]:
    """What `orchestrator init` writes into an empty folder, as the page says."""
    folder = tmp_path_factory.mktemp("newcomer")
    (init,) = [line for line in commands(PAGE) if line.startswith("orchestrator init")]
    with fresh_home() as home:
        made = OwnProject(folder, installed, home)
        done = made.shell(init)
        assert done.returncode == 0, done.stderr
        made.folder = folder / init.split()[-1]
        (another,) = [line for line in commands(PAGE) if line.startswith("orchestrator new")]
        done = made.shell(another)
        assert done.returncode == 0, done.stderr
        yield made


@pytest.fixture(scope="module")
def running(project: OwnProject) -> Iterator[OwnProject]:
    """The project with everything up."""
    with project.up() as process:
        yield project
        interrupt(process)
    assert process.returncode == 0
    assert project.said.endswith("Everything is stopped.\n")


def test_page_and_readme_have_the_same_two_commands(project: OwnProject) -> None:
    both = [line for line in project.readme if line.startswith("pip install")]

    assert len(both) == 2
    assert set(both) < set(commands(PAGE))


def test_install_and_test(project: OwnProject) -> None:
    (command,) = [line for line in project.readme if line.endswith("pytest")]

    done = project.shell(command)

    assert done.returncode == 0, done.stdout + done.stderr
    assert "passed" in done.stdout


def test_code_is_fully_typed(project: OwnProject) -> None:
    done = project.shell("pip install -q -e . && python -m mypy")

    assert done.returncode == 0, done.stdout


def test_hint_names_a_file_of_the_project(running: OwnProject) -> None:
    (name,) = re.findall(r"as in (\S+),", " ".join(running.said.split()))

    assert (running.folder / name).is_file()


# --- a life, whoever starts its workflows ---

Start = Callable[[str, Sequence[Mapping[str, Any]]], bool]
"""Starts a workflow with pages, waits for its end; whether it has succeeded."""


def by_api(project: OwnProject) -> Start:
    def start(workflow: str, pages: Sequence[Mapping[str, Any]]) -> bool:
        url = f"http://127.0.0.1:{project.port}/api/processes/{workflow}"
        process_id = httpx.post(url, json=pages, timeout=GENEROUS_SECONDS).raise_for_status().json()["id"]
        ended = ("completed", "failed", "inconsistent_data", "api_unavailable", "aborted")
        ask = lambda: (found := project.get(f"processes/{process_id}")["last_status"]) in ended and found  # noqa: E731
        return bool(eventually(ask, f"{workflow} to end") == "completed")

    return start


def by_launchpad(project: OwnProject) -> Start:
    server = Webserver(project.port, "acme", None)  # type: ignore[arg-type]

    def start(workflow: str, pages: Sequence[Mapping[str, Any]]) -> bool:
        inputs: Any = pages[0] if len(pages) == 1 else pages
        return server.outcome(server.launch(workflow, {"inputs": inputs})) == "SUCCESS"

    return start


@pytest.mark.parametrize(("door", "site"), [(by_api, "Delft"), (by_launchpad, "Leiden")])
def test_whole_life(running: OwnProject, door: Callable[[OwnProject], Start], site: str) -> None:
    start = door(running)

    assert start("create_line", [{"product": "Line"}, {"site": site, "speed": 100}])
    line = running.subscription(site)
    circuit, on = line["line"]["circuit"], {"subscription_id": line["subscription_id"]}
    assert (line["status"], running.service(circuit)) == ("active", {"site": site, "speed": 100})

    assert start("modify_line", [on, {"speed": 200}])
    assert running.service(circuit) == {"site": site, "speed": 200}
    assert start("validate_line", [on])

    running.drift(circuit)
    assert not start("validate_line", [on])
    assert running.subscription(site)["insync"] is False

    assert start("reconcile_line", [on])
    assert (running.subscription(site)["insync"], running.service(circuit)["speed"]) == (True, 200)

    assert start("terminate_line", [on])
    assert (running.subscription(site)["status"], running.service(circuit)) == ("terminated", None)


def test_another_product_relates_to_the_first(running: OwnProject) -> None:
    """What `orchestrator new` writes runs in the launchpad beside what `orchestrator init` wrote."""
    start = by_launchpad(running)
    assert start("create_line", [{"product": "Line"}, {"site": "Breda", "speed": 100}])
    line = running.subscription("Breda")["subscription_id"]
    assert start("create_ip_prefix", [{"product": "IP prefix"}, {"prefix": "10.9.0.0/24", "line": line}])

    prefix = running.subscription("10.9.0.0/24")
    assert (prefix["status"], prefix["ip_prefix"]["line"]["site"]) == ("active", "Breda")
    assert start("validate_ip_prefix", [{"subscription_id": prefix["subscription_id"]}])


def test_whole_life_by_the_commands_of_the_readme(running: OwnProject) -> None:
    """Each line as it stands, with the ID that the list shows."""
    life = [line for line in running.readme if line.startswith(("orchestrator", "curl"))]
    outcomes = []
    short_id = circuit = "?"
    for line in life:
        if line.startswith("curl"):
            circuit = running.subscription("Utrecht")["line"]["circuit"]
            running.drift(circuit)
            continue
        done = running.shell(line.replace("=ID", f"={short_id}"))
        outcomes.append((line.split()[1:3], done.returncode))
        if line == "orchestrator subscriptions":
            (short_id,) = re.findall(r"^(\w{8}) .*Utrecht", done.stdout, re.MULTILINE)
            example = running.folder / "examples" / "modify_line.yaml"
            example.write_text(re.sub(r"0{8}-[0-]+", short_id, example.read_text()))

    assert outcomes == [
        (["run", "create_line"], 0),
        (["subscriptions"], 0),
        (["run", "modify_line"], 0),
        (["run", "validate_line"], 0),
        (["run", "validate_line"], 1),
        (["run", "reconcile_line"], 0),
        (["run", "terminate_line"], 0),
    ]
    assert running.service(circuit) is None


def test_page_creates_through_the_api_as_it_says(running: OwnProject) -> None:
    (line,) = [line for line in commands(PAGE) if line.startswith("curl")]
    path, pages = re.search(r"8080/api/processes/(\w+) .*-d '(.*)'$", line).groups()  # type: ignore[union-attr]

    assert by_api(running)(path, json.loads(pages))


def test_fake_that_cannot_listen_says_so(running: OwnProject) -> None:
    done = running.shell("python -m acme.fake_controller true")

    assert done.returncode == 1
    assert "cannot listen" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_end_of_the_command_is_the_end_of_the_fake(project: OwnProject) -> None:
    done = project.shell(f"CONTROLLER_URL=http://127.0.0.1:{free_port()} python -m acme.fake_controller sh -c 'exit 3'")

    assert done.returncode == 3
