"""A fuzzer that reads the description of the API: no server error, no status that it does not name, no other shape."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ops.steps.forms import SubmitFormPage
from ops.steps.step import begin
from ops.waiting.wait_steps import inputstep
from orchestrator_defs.jobs.decorators import task
from resources.types import Assignee
from tests.api import serving
from tests.scale import Scaled
from tests.toy_network import DEVICE, World, device_workflows

FULL_SECONDS = 1800
CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"
CONFIG = """
[checks]
not_a_server_error.expected-statuses = ["2xx", "3xx", "4xx", 502, 503, 510]
"""
"""510 asks for the next page of a form; 503 says that the engine is paused, which the fuzzer may have asked for."""


class Name(SubmitFormPage):
    """A page."""

    name: str


@pytest.fixture
def engine(engine_of):
    """A database that is not empty: subscriptions, processes that ended, failed, and wait."""

    @inputstep("Who?", assignee=Assignee.NOC)
    def who() -> type[SubmitFormPage]:
        return Name

    @task("Asking", initial_input_form=Name)
    def asking():
        return begin >> who

    world = World()
    engine = engine_of(asking, *device_workflows(world), products=[DEVICE])
    engine.run("create_device", [{"product": DEVICE.name}, {"hostname": "one"}])
    engine.run("asking", [{"name": "ada"}])
    world.broken = {"configure"}
    engine.run("create_device", [{"product": DEVICE.name}, {"hostname": "two"}])
    return engine


@pytest.mark.slow
@pytest.mark.timeout(FULL_SECONDS + 300)
def test_the_api_does_what_its_description_says(engine, api_of, scaled: Scaled, tmp_path: Path) -> None:
    (tmp_path / "schemathesis.toml").write_text(CONFIG)
    address = str(api_of(engine, at=serving).base_url).rstrip("/")
    command = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(tmp_path / "schemathesis.toml"), "run"]
    seconds, examples = scaled(FULL_SECONDS, least=60), scaled(100, least=15)
    options = ["--checks", CHECKS, "--continue-on-failure", "--seed", "1"]
    options += ["--max-time", str(seconds), "--max-examples", str(examples)]
    if seconds < FULL_SECONDS:
        options += ["--phases", "examples,coverage,fuzzing"]
    found = subprocess.run(
        [*command, *options, f"{address}/openapi.json"],
        cwd=tmp_path,
        env={**os.environ, "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0, f"{found.stdout}\n{found.stderr}"
