"""Who asks for what: the server's policy is asked about the workflow by every route that does something with one."""

import pytest

from orchestrator_defs.api.app import create_app
from orchestrator_defs.api.rest.processes import _reporter
from orchestrator_defs.api.security.rights import _workflow_check
from orchestrator_defs.api.server_settings import ApiSettings
from resources.errors import NotAuthorised
from resources.users import Role, User
from tests.api import calling


@pytest.fixture
def asked():
    """What the policy was asked: workflow and verb."""
    return []


@pytest.fixture
def refusing(engine, asked):
    """A server whose policy forbids everything."""

    def check(workflow_name, action):
        asked.append((workflow_name, action))
        raise NotAuthorised(f"You may not {action} {workflow_name}.")

    app = create_app(ApiSettings(oauth2_active=False), engine.orchestrator, instance=engine.instance)
    app.dependency_overrides[_workflow_check] = lambda: check
    with calling(app, path="/api") as client:
        yield client


def test_the_policy_is_asked_before_anything_is_done(refusing, engine, asked):
    failed, asking, done = (engine.run(name) for name in ("fail", "ask", "look_around"))
    reason = {"reason": "why"}
    answers = [
        refusing.post("/processes/look_around", json=[{}]),
        refusing.put(f"/processes/{asking}/resume", json=[{"approved": True}]),
        refusing.put(f"/processes/{failed}/resume", json={}),
        refusing.put(f"/processes/{failed}/abort"),
        refusing.put(f"/processes/{failed}/skip", json=reason),
        refusing.put(f"/processes/{failed}/back", json={**reason, "step": "look"}),
        refusing.patch(f"/processes/{failed}", json={"note": "x"}),
        refusing.delete(f"/processes/{done}"),
    ]
    assert [answer.status_code for answer in answers] == [403] * 8
    assert asked == [
        ("look_around", "start"),
        ("ask", "resume"),
        ("fail", "retry"),
        ("fail", "abort"),
        ("fail", "skip"),
        ("fail", "send back"),
        ("fail", "note"),
        ("look_around", "delete"),
    ]
    assert engine.count_processes() == 3
    assert (engine.process(failed).last_status, engine.process(failed).note) == ("failed", None)


def test_what_the_policy_forbids_is_passed_by_when_all_are_resumed(refusing, engine, asked):
    engine.run("fail")
    assert refusing.put("/processes/resume-all").json() == {"count": 0}
    assert asked == [("fail", "retry")]


def test_what_the_policy_forbids_is_not_said_to_be_allowed(refusing, engine):
    permissions = refusing.get(f"/processes/{engine.run('fail')}").json()["user_permissions"]
    assert permissions == {"retryAllowed": False, "resumeAllowed": False}


def test_whoever_is_logged_in_speaks_for_nobody_else():
    eve = User("eve", roles=[Role.OPERATOR])
    assert _reporter(eve, ApiSettings(oauth2_active=True), "ada") == "eve"


def test_a_reporter_has_the_rights_of_who_speaks():
    reporter = _reporter(User("SYSTEM", roles=[Role.ADMIN]), ApiSettings(oauth2_active=False), "ada")
    assert (reporter, reporter.roles) == ("ada", {Role.ADMIN})
