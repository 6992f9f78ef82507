"""The examples of docs/dagster.md and docs/from_dagster.md run, as they stand on their pages."""

import importlib.util
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import dagster as dg
import pytest

from orchestrator_defs.jobs.orchestrator import orchestrator_of
from orchestrator_defs.testing import Testbed
from resources.database.session import SubscriptionDatabase
from resources.settings import settings
from tests.architecture import ROOT
from tests.ticks import execute


@pytest.fixture
def page(
    database: SubscriptionDatabase, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[ModuleType]:
    """The page's examples as one module, on the test's database."""
    monkeypatch.setenv("DATABASE_URI", database.uri)
    settings.cache_clear()
    code = "\n".join(re.findall(r"```python\n(.*?)```", (ROOT / "docs/dagster.md").read_text(), re.DOTALL))
    module = ModuleType("example_of_dagster")
    exec(compile(code, "docs/dagster.md", "exec"), module.__dict__)
    yield module
    monkeypatch.undo()
    settings.cache_clear()


def test_the_unit_test_passes(page: ModuleType, instance: dg.DagsterInstance) -> None:
    Testbed(orchestrator_of(page.defs), instance)
    page.test_reserve()
    assert page.defs.resources["mailer"].sent == ["10.0.0.9"]


def test_the_resources_and_the_sensor_work(
    page: ModuleType, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IPAM_URL", "http://ipam")
    Testbed(orchestrator_of(page.alone), instance)
    (request,) = page.every_request.evaluate_tick(dg.build_sensor_context(instance)).run_requests
    assert execute(page.alone, request._replace(job_name="reserve"), instance).success
    assert page.defs.resources["mailer"].sent == ["10.0.0.1 of http://ipam"]


def test_the_hook_is_called(page: ModuleType, instance: dg.DagsterInstance) -> None:
    Testbed(orchestrator_of(page.watched), instance)
    assert page.watched.resolve_job_def("reserve").hook_defs == {page.tell_the_noc}
    assert page.watched.resolve_job_def("reserve").execute_in_process({"inputs": {}}, instance=instance).success


def test_both_orchestrators_are_in_the_location(page: ModuleType) -> None:
    assert {"reserve", "say_hello"} <= {job.name for job in page.both.get_repository_def().get_all_jobs()}


def test_the_executor_is_refused_with_the_reason(page: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    assert "reserve: its executor 'multiprocess' may run each step in a process of its own" in capsys.readouterr().out


def test_the_first_ten_lines_find_the_answer(testbed_of: Callable[..., Testbed]) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs/from_dagster.md").read_text(), re.DOTALL)
    module = ModuleType("answer")
    exec(compile(code, "docs/from_dagster.md", "exec"), module.__dict__)

    testbed_of([module.find_the_answer], []).run("find_the_answer").assert_state({"number": 42})


@pytest.mark.slow
@pytest.mark.parametrize("command", ["dagster definitions validate -m orchestrator_defs", "dg check defs"])
def test_the_checks_of_definitions_pass(command: str, tmp_path: Path) -> None:
    words, folder = command.split(), tmp_path / "acme"
    if words[0] == "dg":
        if importlib.util.find_spec("dagster_dg_cli") is None:
            pytest.skip("dagster-dg-cli is not installed")
        orchestrator = str(Path(sys.executable).with_name("orchestrator"))
        subprocess.run([orchestrator, "init", str(folder)], check=True, capture_output=True)
    folder.mkdir(exist_ok=True)
    words[0] = str(Path(sys.executable).with_name(words[0]))
    environment = {key: value for key, value in os.environ.items() if key not in ("DAGSTER_HOME", "DATABASE_URI")}
    done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
