"""An organisation's own application: the example of the documentation, and one that does not start."""

import re
import subprocess
import sys
from types import ModuleType

import httpx
import pytest

from orchestrator_defs.api import app as app_module
from tests.api import serving
from tests.architecture import ROOT
from tests.toy_network import DEVICE, World, device_workflows

FAILING = """
import contextlib, logging, sys
from starlette.applications import Starlette
from orchestrator_defs.api.command import listening
from orchestrator_defs.api.prefork import Prefork
from resources.errors import SettingsError

@contextlib.asynccontextmanager
async def lifespan(app):
    raise SettingsError("The moon is not full.")
    yield

logging.basicConfig(level=logging.WARNING, format="%(message)s")
sys.exit(Prefork(Starlette(lifespan=lifespan), listening("127.0.0.1", 0), 2).run())
"""


def test_the_example_of_the_documentation_runs(engine_of, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = engine_of(*device_workflows(World()), products=[DEVICE])
    monkeypatch.setenv("OAUTH2_ACTIVE", "False")
    monkeypatch.setattr(app_module, "dagster_instance", lambda: engine.instance)
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs/serving.md").read_text(), re.DOTALL)
    of_the_project = "from orchestrator_defs.definitions import defs\n"
    assert of_the_project in code
    module = ModuleType("our_server")
    module.__dict__["defs"] = engine.orchestrator.definitions
    exec(compile(code.replace(of_the_project, ""), "docs/serving.md", "exec"), module.__dict__)
    with serving(module.application()) as url:
        answer = httpx.get(f"{url}/api/support")
        assert answer.json() == {"user": "SYSTEM", "write_to": "noc@example.org", "subscriptions": 0}
        assert answer.headers["x-served-by"] == "our orchestrator"
        assert httpx.get(f"{url}/api/openapi.json").json()["paths"]["/api/support"]


def test_one_that_does_not_start_is_not_tried_again() -> None:
    done = subprocess.run(
        [sys.executable, "-c", FAILING], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 3
    assert done.stderr.splitlines() == ["The moon is not full.", "Application startup failed. Exiting."]
