"""An organisation's own application: the example of the documentation, and one that does not start."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from orchestrator_defs.api import app as app_module
from tests.api import calling
from tests.architecture import ROOT
from tests.toy_network import DEVICE, World, device_workflows
from tests.waiting import GENEROUS_SECONDS, eventually

SCRIPT = """
import contextlib, logging, sys
from starlette.applications import Starlette
from orchestrator_defs.api.server.command import listening
from orchestrator_defs.api.server.prefork import Prefork
from resources.errors import SettingsError
from resources.runs.forked_children import ForkedChildren

@contextlib.asynccontextmanager
async def lifespan(app):
    if sys.argv[1] == "fail":
        raise SettingsError("The moon is not full.")
    yield

logging.basicConfig(level=logging.WARNING, format="%(message)s")
app, listener = Starlette(lifespan=lifespan), listening("127.0.0.1", 0)
children = ForkedChildren()
prefork = Prefork(app, listener, 2, children, on_ready=lambda: print(*(c.pid for c in children.of_kind()), flush=True))
sys.exit(prefork.run())
"""


def test_the_example_of_the_documentation_runs(engine_of, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = engine_of(*device_workflows(World()), products=[DEVICE])
    monkeypatch.setenv("OAUTH2_ACTIVE", "False")
    monkeypatch.setattr(app_module, "dagster_instance", lambda: engine.instance)
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs/serving.md").read_text(), re.DOTALL)
    of_the_project = "from orchestrator_defs import defs\n"
    assert of_the_project in code
    module = ModuleType("our_server")
    module.__dict__["defs"] = engine.orchestrator.definitions
    exec(compile(code.replace(of_the_project, ""), "docs/serving.md", "exec"), module.__dict__)
    with calling(module.application(), path="/api") as client:
        answer = client.get("/support")
        assert answer.json() == {"user": "SYSTEM", "write_to": "noc@example.org", "subscriptions": 0}
        assert answer.headers["x-served-by"] == "our orchestrator"
        assert client.get("/openapi.json").json()["paths"]["/api/support"]


@pytest.mark.slow
def test_one_that_does_not_start_is_not_tried_again() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, "fail"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=GENEROUS_SECONDS,
        check=False,
    )
    assert done.returncode == 3
    assert done.stderr.splitlines() == ["The moon is not full.", "Application startup failed. Exiting."]


@pytest.mark.slow
def test_processes_end_with_one_that_is_killed_and_are_replaced_by_one_that_lives() -> None:
    words = [sys.executable, "-c", SCRIPT, "serve"]
    with subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        first, second = map(int, parent.stdout.readline().split())
        os.kill(first, signal.SIGKILL)
        eventually(lambda: len(_children(parent.pid) - {first}) == 2)
        children = _children(parent.pid)
        assert second in children
        parent.kill()
        eventually(lambda: not any(map(_lives, children)))


def _children(parent: int) -> set[int]:
    return {int(pid) for pid in Path(f"/proc/{parent}/task/{parent}/children").read_text().split() if _lives(int(pid))}


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
