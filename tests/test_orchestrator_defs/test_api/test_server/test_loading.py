"""What a server loads before it serves, and in which words it refuses what cannot be loaded."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from orchestrator_defs.api.dagster_page import locations_of
from orchestrator_defs.api.server.command import listening
from orchestrator_defs.api.server.loading import named_definitions, own_application, served_orchestrators
from orchestrator_defs.api.server.prefix import Prefixed
from orchestrator_defs.definitions import orchestrator
from orchestrator_defs.serving import Serving
from resources.errors import SettingsError
from tests.api import calling
from tests.architecture import ROOT


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder whose modules can be imported, and are forgotten afterwards."""
    before = set(sys.modules)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    for name in set(sys.modules) - before:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


def workspace(folder: Path, text: str) -> dict[str, Any]:
    path = folder / "workspace.yaml"
    path.write_text(text)
    return {"workspace": [str(path)]}


def test_the_projects_own_workspace_is_served() -> None:
    served = served_orchestrators(None, {"workspace": [str(ROOT / "workspace.yaml")]})
    assert served.orchestrators == (orchestrator,)


def test_every_location_with_an_orchestrator_is_served(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    (folder / "other.py").write_text("import dagster as dg\nhere = dg.Definitions()\n")
    (folder / "mine.py").write_text("from orchestrator_defs.definitions import defs as mine\n")
    (folder / "yours.py").write_text("from orchestrator_defs import build_definitions as b\ndefs = b([], [])\n")
    found = workspace(
        folder,
        "load_from: [{python_file: other.py}, {python_module: {module_name: mine, attribute: mine}},"
        " {python_module: {module_name: yours}}]",
    )
    assert [one.name for one in served_orchestrators(None, found).orchestrators] == ["orchestrator", "yours"]
    assert "Code location other.py has no orchestrator" in caplog.text
    assert [one.name for one in served_orchestrators(None, found | {"location": "yours"}).orchestrators] == ["yours"]


def test_without_an_orchestrator_every_location_has_its_reason(folder: Path) -> None:
    (folder / "other.py").write_text("import dagster as dg\nhere = dg.Definitions()\n")
    (folder / "broken.py").write_text("\n1 / 0\n")
    text = """load_from: [{python_file: other.py}, {python_file: broken.py},
        {grpc_server: {host: code, port: 4000, location_name: far}}]"""
    with pytest.raises(SettingsError) as refused:
        served_orchestrators(None, workspace(folder, text))
    said = str(refused.value)
    assert "Code location other.py has no orchestrator." in said
    assert f"Code location broken.py cannot be loaded: division by zero ({folder / 'broken.py'}, line 2)." in said
    assert "Code location far has an interpreter or a server of its own." in said
    assert said.endswith("--definitions MODULE:ATTRIBUTE.")


def test_definitions_are_found_by_name() -> None:
    assert named_definitions("orchestrator_defs") is named_definitions("orchestrator_defs.definitions:defs")
    with pytest.raises(SettingsError, match="has no Definitions named orchestrator"):
        named_definitions("orchestrator_defs.definitions:orchestrator")


def test_an_application_of_ones_own_is_what_create_app_made(folder: Path) -> None:
    (folder / "own.py").write_text(
        "from orchestrator_defs.api.app import create_app\n"
        "from orchestrator_defs.api.server_settings import ApiSettings\n"
        "from orchestrator_defs.definitions import defs\n"
        "def application(): return create_app(ApiSettings(oauth2_active=False), defs)\n"
        "def strange(): return 7\n"
        "nothing = None\n"
    )
    assert own_application("own").title == "Service orchestrator"
    with pytest.raises(SettingsError, match="it returned int"):
        own_application("own:strange")
    with pytest.raises(SettingsError, match="has no function nothing"):
        own_application("own:nothing")
    with pytest.raises(SettingsError, match="No module named 'nobodys'"):
        own_application("nobodys:application")


def test_the_locations_are_those_named_or_the_projects(folder: Path) -> None:
    with pytest.raises(SettingsError, match="Name one with -m MODULE, -f FILE or -w WORKSPACE"):
        locations_of({})
    with pytest.raises(SettingsError, match=r"other\.yaml"):
        locations_of({"workspace": ["other.yaml"]})
    named = workspace(folder, "load_from: [{python_file: other.py}]")
    assert [one.name for one in locations_of({})] == [one.name for one in locations_of(named)] == ["other.py"]


def test_a_workspace_that_is_none_is_refused(folder: Path) -> None:
    with pytest.raises(SettingsError, match="No code location is found here"):
        locations_of(workspace(folder, "load_from: 7"))


def test_an_address_that_is_not_here_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"Cannot listen on 192\.0\.2\.1, port 80"):
        listening("192.0.2.1", 80)


def test_an_order_is_understood_as_it_was_given() -> None:
    serving = Serving(host="::", port=81, workers=3, path_prefix="/orc")
    assert Serving.from_json(serving.command()[-1]) == serving
    assert serving.address == "http://[::1]:81/orc/"


def test_what_is_not_under_the_prefix_is_not_there() -> None:
    inside = Starlette(routes=[Route("/api", lambda _: PlainTextResponse("inside"))])
    with calling(Prefixed(inside, "/orc")) as client:
        assert client.get("/orc/api").text == "inside"
        assert client.get("/").headers["location"] == "/orc/"
        assert client.get("/orchid").json()["status"] == 404
