"""The pages that describe the API: whole where nothing else is reached, and true about the login."""

import base64
import hashlib
import re

import pytest

from orchestrator_defs.api.app import create_app
from orchestrator_defs.api.documentation import describe_authorisation
from orchestrator_defs.api.security.access_rules import RuleBook
from orchestrator_defs.jobs.orchestrator import Orchestrator
from tests.oidc import bearer, login_at, settings_for
from tests.toy_network import DEVICE, World, device_workflows


@pytest.fixture
def engine(engine_of):
    return engine_of(*device_workflows(World()), products=[DEVICE])


PAGES = ("docs", "redoc")


def test_a_page_loads_only_what_the_server_has(engine, api_of):
    client = api_of(engine)
    for page in PAGES:
        answer = client.get(f"/{page}")
        addresses = re.findall(r'(?:src|href)="([^"]+)"', answer.text)
        assert len(addresses) >= 2, page
        for address in addresses:
            assert address.startswith("/api/docs/assets/")
            assert client.get(address.removeprefix("/api")).status_code == 200, address


def test_a_page_runs_only_what_the_server_sent(engine, api_of):
    client = api_of(engine)
    for page in PAGES:
        answer = client.get(f"/{page}")
        policy = answer.headers["content-security-policy"]
        for script in re.findall(r"<script>(.*?)</script>", answer.text, re.DOTALL):
            assert f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'" in policy, script
        (sources,) = re.findall(r"script-src ([^;]+);", policy)
        assert "unsafe" not in sources, page
        assert "http" not in sources, page


def test_the_description_says_what_needs_a_login(provider):
    app = create_app(settings_for(provider), Orchestrator([DEVICE], device_workflows(World())))
    me = app.openapi()["paths"]["/api/me"]["get"]
    assert me["security"] == [{"bearer": []}]
    assert me["responses"].keys() == {"200", "401", "403", "503"}
    logout = app.openapi()["paths"]["/api/logout"]["post"]
    assert "security" not in logout


def test_the_description_says_what_the_gate_answers_in_the_place_of_a_route():
    rules = RuleBook()
    callback = {"requestBody": {}, "responses": {"200": {}}}
    schema = {"paths": {"/api/processes/{process_id}/callback/{token}": {"post": callback}}}
    describe_authorisation(schema, rules, with_login=True)
    assert callback["responses"].keys() == {"200", "400", "408", "413", "429"}


def test_the_description_is_for_those_who_are_logged_in(provider, engine, api_of):
    client = api_of(engine, **login_at(provider))
    assert client.get("/openapi.json").status_code == 401
    described = client.get("/openapi.json", headers=bearer(provider.mint())).json()
    assert described["components"]["securitySchemes"]["bearer"]["scheme"] == "bearer"
