"""The middleware: what passes without login, what browsers may do, and what is too much."""

import json
from contextlib import ExitStack

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from orchestrator_defs.api.security.access_rules import Open, Rule, RuleBook
from orchestrator_defs.api.security.authorisation import Authorisation
from orchestrator_defs.api.security.exposure import check_exposure
from orchestrator_defs.api.security.limits import RateLimit
from orchestrator_defs.api.server_settings import ApiSettings
from resources.errors import SettingsError
from resources.users import Role
from tests.api import caller, calling, running, serving
from tests.oidc import bearer, secured_app

PATH = "/api/processes/"
ABORT = "/api/processes/1/abort"
CALLBACK = "/api/processes/00000000-0000-4000-8000-00000000000{}/callback/token"


@pytest.fixture
def open_server():
    """Runs without login; a client."""
    with ExitStack() as stack:

        def make(*, at=running, **settings):
            app = secured_app(ApiSettings(oauth2_active=False, **settings))
            return stack.enter_context(calling(app, at))

        yield make


# --- without login ---


def test_without_login_everybody_here_is_the_system(open_server):
    client = open_server()
    assert client.get(PATH).json() == "SYSTEM"
    assert client.get("/api/me").json() == {"name": "SYSTEM", "roles": ["admin"], "is_logged_in": False}


def test_without_login_only_names_of_this_machine_are_answered_to(open_server):
    client = open_server()
    for host in ("rebound.example.org", "rebound.example.org:80", "10.0.0.1", "localhost.evil.org"):
        answer = client.get(PATH, headers={"Host": host})
        assert (answer.status_code, "SERVE_WITHOUT_LOGIN" in answer.json()["detail"]) == (403, True), host


def test_names_of_this_machine_are_many(open_server):
    client = open_server()
    for host in ("localhost", "localhost:3000", "127.0.0.1", "127.3.2.1:80", "[::1]:80", "LOCALHOST."):
        assert client.get(PATH, headers={"Host": host}).status_code == 200, host


def test_said_twice_a_server_without_login_answers_to_all(open_server):
    client = open_server(serve_without_login=True)
    headers = {"Host": "orchestrator.example.org", "Origin": "https://elsewhere.example.org"}
    assert client.put(ABORT, headers=headers).status_code == 200


@pytest.mark.parametrize("headers", [{"Origin": "https://evil.example.org"}, {"Sec-Fetch-Site": "cross-site"}])
def test_without_login_another_sites_page_changes_nothing(open_server, headers):
    assert open_server().put(ABORT, headers=headers).status_code == 403
    assert open_server(cors_origins="*").put(ABORT, headers=headers).status_code == 403


def test_without_login_a_page_that_is_named_may_call(open_server):
    client = open_server(cors_origins="http://localhost:3000")
    headers = {"Origin": "http://localhost:3000", "Sec-Fetch-Site": "same-site"}
    assert client.put(ABORT, headers=headers).status_code == 200


def test_without_login_another_sites_page_opens_no_websocket(open_server):
    address = str(open_server(at=serving).base_url).replace("http", "ws") + "/api/ws/events"
    with connect(address, origin="https://evil.example.org") as socket, pytest.raises(ConnectionClosed) as closed:
        socket.recv()
    assert closed.value.rcvd.code == 1008


def test_a_link_to_a_server_without_login_can_be_followed(open_server):
    headers = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    assert open_server().get(PATH, headers=headers).status_code == 200


def test_without_login_nothing_binds_to_what_others_reach():
    for host in ("0.0.0.0", "::", "", "10.1.2.3", "orchestrator.example.org"):
        with pytest.raises(SettingsError, match="SERVE_WITHOUT_LOGIN=True"):
            check_exposure(ApiSettings(oauth2_active=False), host)
        check_exposure(ApiSettings(oauth2_active=False, serve_without_login=True), host)


def test_without_login_loopback_is_bound_to():
    for host in ("127.0.0.1", "::1", "localhost"):
        check_exposure(ApiSettings(oauth2_active=False), host)


def test_a_login_without_a_provider_is_an_error_that_says_what_to_set():
    with pytest.raises(SettingsError, match=r"OIDC_BASE_URL \(or OIDC_CONF_URL\) and OAUTH2_RESOURCE_SERVER_ID"):
        Authorisation(ApiSettings())
    with pytest.raises(SettingsError, match="OIDC_BASE_URL"):
        check_exposure(ApiSettings(), "127.0.0.1")


def test_a_short_secret_is_refused():
    with pytest.raises(ValueError, match="32 characters"):
        ApiSettings(session_secret="short")


# --- roles ---


@pytest.mark.parametrize(
    ("claims", "settings", "roles"),
    [
        ({"roles": ["viewer", "other"]}, {}, ["viewer"]),
        ({"roles": "admin viewer"}, {}, ["viewer", "admin"]),
        ({"roles": {"admin": True}}, {}, []),
        ({"roles": [["admin"], 1, None]}, {}, []),
        ({"roles": ["Admin"]}, {}, []),
        (
            {"realm_access": {"roles": ["noc"]}},
            {"oauth2_roles_claim": "realm_access.roles", "oauth2_roles": '{"noc": "operator"}'},
            ["operator"],
        ),
        ({"roles": ["admin"]}, {"oauth2_roles": {"noc": "operator"}}, []),
        ({"https://example.org/roles": ["admin"]}, {"oauth2_roles_claim": "https://example.org/roles"}, ["admin"]),
        ({"a": ["viewer"], "b": ["admin"]}, {"oauth2_roles_claim": "a,b"}, ["viewer", "admin"]),
        ({"realm_access": "admin"}, {"oauth2_roles_claim": "realm_access.roles"}, []),
        ({"roles": []}, {"oauth2_authorization_active": False}, ["admin"]),
    ],
)
def test_claims_give_roles(provider, secured, monkeypatch, claims, settings, roles):
    for name, value in settings.items():
        monkeypatch.setenv(name.upper(), value if isinstance(value, str) else json.dumps(value))
    answer = secured().get("/api/me", headers=bearer(provider.mint(**{"roles": None, **claims})))
    assert answer.json() == {"name": "ada", "roles": roles, "is_logged_in": True}


def test_whoever_has_no_role_is_told(provider, secured):
    answer = secured().get(PATH, headers=bearer(provider.mint(roles=[])))
    assert (answer.status_code, answer.json()["detail"]) == (
        403,
        "GET /api/processes/ needs the role viewer; ada has no role here.",
    )


def test_without_authorisation_whoever_is_logged_in_may_all(provider, secured):
    client = secured(oauth2_authorization_active=False)
    assert client.put(ABORT, headers=bearer(provider.mint(roles=[]))).status_code == 200
    assert client.put(ABORT).status_code == 401


def test_what_no_rule_names_needs_an_admin(provider, secured):
    client = secured()
    answers = {role: client.get("/own", headers=bearer(provider.mint(roles=[role]))).status_code for role in Role}
    assert answers == {"viewer": 403, "operator": 403, "engineer": 403, "admin": 200}


def test_an_organisation_has_rules_of_its_own(provider, secured):
    client = secured(options={"rules": [Rule("GET", "/own", Role.VIEWER), Rule("PUT", ABORT, Role.ADMIN)]})
    assert client.get("/own", headers=bearer(provider.mint())).json() == "mine"
    assert client.put(ABORT, headers=bearer(provider.mint(roles=["engineer"]))).status_code == 403


def test_an_organisation_has_a_policy_of_its_own(provider, secured):
    class Weekend:
        async def refusal(self, user, call):
            return f"{user} may not {call.method} at the weekend."

        async def close(self):
            pass

    answer = secured(options={"policy": Weekend()}).get(PATH, headers=bearer(provider.mint()))
    assert answer.json()["detail"] == "ada may not GET at the weekend."


def test_a_path_that_looks_like_an_open_one_is_closed(secured):
    client = secured(at=serving)
    for path in ("/api/health/../processes/", "/api/health//", "/api/health/%2e%2e/processes/"):
        request = client.build_request("GET", "/")
        request.url = request.url.copy_with(raw_path=path.encode())
        assert client.send(request).status_code == 401, path


def test_only_a_callbacks_own_shape_is_open(secured):
    client = secured(at=serving)
    for path in (
        "/api/processes/1/callback/token",
        "/api/processes/00000000-0000-4000-8000-000000000001/callback/a%2Fb",
        "/api/processes/00000000-0000-4000-8000-000000000001/callback/",
        "/api/processes/00000000-0000-4000-8000-000000000001/callback/token/other",
        "/api/processes/00000000-0000-4000-8000-000000000001%0a/callback/token",
    ):
        assert client.post(path).status_code == (400 if "%0a" in path else 401), path


def test_a_callback_by_another_method_is_closed(secured):
    assert secured().put(CALLBACK.format(1)).status_code == 401


def test_a_head_is_a_look(provider, secured):
    assert secured().head(PATH, headers=bearer(provider.mint())).status_code == 200


def test_the_first_rule_that_fits_counts():
    own = Rule("GET", "/api/{rest:path}", Open.EVERYBODY)
    assert RuleBook([own]).find("GET", "/api/settings/overview", is_dagsters=False)[0] is own


# --- WebSockets ---


def events(client, path="/api/ws/events", **options):
    """What a WebSocket says first, or how it was closed."""
    with connect(str(client.base_url).replace("http", "ws") + path, **options) as socket:
        try:
            return socket.recv(), socket.subprotocol
        except ConnectionClosed as closed:
            return closed.rcvd.code, socket.subprotocol


def test_a_websocket_takes_the_token_beside_its_sub_protocol(provider, secured):
    protocols = ["base64.bearer.token", provider.mint()]
    assert events(secured(at=serving), subprotocols=protocols) == ("ada", "base64.bearer.token")


def test_a_websocket_is_accepted_and_closed_when_the_token_is_not_good(provider, secured):
    client = secured(at=serving)
    protocols = ["base64.bearer.token", provider.mint(exp=1)]
    assert events(client, subprotocols=protocols) == (1008, "base64.bearer.token")
    assert events(client) == (1008, None)
    assert events(client, subprotocols=["base64.bearer.token", provider.mint(roles=[])])[0] == 1008


def test_sub_protocols_that_are_no_pair_are_a_protocol_error(secured):
    client = secured(at=serving)
    for protocols in (["base64.bearer.token"], ["a", "base64.bearer.token"], ["base64.bearer.token"] * 3):
        assert events(client, subprotocols=protocols)[0] == 1002, protocols


def test_a_token_in_the_address_is_taken_by_the_websockets_of_old_only(provider, secured):
    client = secured(at=serving)
    token = provider.mint()
    assert events(client, f"/api/processes/all/?token={token}")[0] == "ada"
    assert events(client, f"/api/ws/events?token={token}")[0] == 1008
    assert client.get(f"{PATH}?token={token}").status_code == 401


def test_a_websocket_takes_the_session_of_its_own_page_only(provider, secured):
    client = secured(at=serving)
    with caller(client.base_url, headers={"Accept": "text/html"}, follow_redirects=True) as browser:
        browser.get(PATH)
        cookie = {"Cookie": f"orchestrator={browser.cookies['orchestrator']}"}
    assert events(client, additional_headers=cookie, origin=str(client.base_url).rstrip("/"))[0] == "ada"
    assert events(client, additional_headers=cookie, origin="https://evil.example.org")[0] == 1008
    assert events(client, additional_headers=cookie)[0] == 1008


def test_a_websocket_ends_when_a_session_would(provider, secured):
    client = secured(at=serving, session_hours=0.5 / 3600)
    token = ["base64.bearer.token", provider.mint()]
    with connect(f"{client.base_url}/api/ws/events".replace("http", "ws"), subprotocols=token) as socket:
        assert socket.recv() == "ada"
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv(timeout=60)
    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (1008, "The login has expired.")


# --- an Open Policy Agent ---


@pytest.fixture
def agent():
    """A policy agent; `questions` it was asked, and the `answer` that it gives to the next."""

    async def decide(request: Request) -> JSONResponse:
        app.state.questions.append(json.loads(await request.body())["input"])
        return JSONResponse(app.state.answer, 200 if app.state.answer else 500)

    app = Starlette(routes=[Route("/v1/data/allow", decide, methods=["POST"])])
    app.state.questions = []
    app.state.answer = {"result": True}
    with serving(app) as address:
        app.state.url = f"{address}/v1/data/allow"
        yield app.state


def test_the_agent_is_told_who_does_what_to_what(provider, secured, agent):
    client = secured(opa_url=agent.url)
    answer = client.put(f"{ABORT}?force=yes", json={"why": "é"}, headers=bearer(provider.mint()))
    assert answer.json() == {"body": '{"why":"é"}'}
    (question,) = agent.questions
    assert question["preferred_username"] == "ada"
    assert {name: question[name] for name in ("resource", "method", "arguments")} == {
        "resource": ABORT,
        "method": "PUT",
        "arguments": {"path": {"process_id": "1"}, "query": {"force": "yes"}, "json": {"why": "é"}},
    }


def test_the_agents_answer_counts(provider, secured, agent):
    client, headers = secured(opa_url=agent.url), bearer(provider.mint(roles=[]))
    for said, status in (
        ({"result": True}, 200),
        ({"result": {"allow": True}}, 200),
        ({"result": False}, 403),
        ({"result": {"allow": False}}, 403),
        ({"result": "yes"}, 503),
        ({"result": {}}, 503),
        ({}, 503),
        ([], 503),
    ):
        agent.answer = said
        assert client.get(PATH, headers=headers).status_code == status, said


def test_an_agent_that_is_not_there_lets_nobody_in(provider, secured):
    client = secured(opa_url="http://127.0.0.1:1/")
    answer = client.get(PATH, headers=bearer(provider.mint(roles=["admin"])))
    assert (answer.status_code, answer.json()["detail"]) == (
        503,
        "The policy agent does not answer. Try again in a moment.",
    )
    assert client.get("/api/health/").status_code == 200


def test_a_strange_body_does_not_break_the_question(provider, secured, agent):
    client, headers = secured(opa_url=agent.url), bearer(provider.mint())
    for body in (b"NaN", b'"\\ud800"', b"\x00", b"[" * 100_000, b"9" * 5000):
        assert client.put(ABORT, content=body, headers=headers).status_code == 200, body[:10]


# --- other sites, sizes, frequencies ---

PREFLIGHT = {
    "Origin": "https://ui.example.org",
    "Access-Control-Request-Method": "PUT",
    "Access-Control-Request-Headers": "authorization,content-type",
}


def test_a_page_that_is_named_may_ask_what_it_may_without_login(secured):
    answer = secured(cors_origins="https://ui.example.org/, https://other.example.org").options(
        ABORT, headers=PREFLIGHT
    )
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == "https://ui.example.org"
    assert answer.headers["access-control-max-age"] == "600"
    assert "access-control-allow-credentials" not in answer.headers


def test_a_page_that_is_not_named_may_nothing(secured):
    answer = secured(cors_origins="https://other.example.org").options(ABORT, headers=PREFLIGHT)
    assert "access-control-allow-origin" not in answer.headers
    assert secured().options(ABORT, headers=PREFLIGHT).status_code == 401


def test_a_page_that_is_named_can_read_why_it_was_refused(secured):
    answer = secured(cors_origins="https://ui.example.org").get(PATH, headers={"Origin": "https://ui.example.org"})
    assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (401, "https://ui.example.org")
    assert "ETag" in answer.headers["access-control-expose-headers"]


def test_all_pages_may_call_with_a_token_but_never_with_the_cookie(provider, secured):
    answer = secured(cors_origins="*").get(PATH, headers={"Origin": "https://x.org", **bearer(provider.mint())})
    assert answer.headers["access-control-allow-origin"] == "*"
    assert "access-control-allow-credentials" not in answer.headers


def test_browsers_are_told_to_be_careful(secured):
    headers = secured().get("/api/health/").headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["referrer-policy"] == "same-origin"
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert headers["cache-control"] == "private, no-cache"
    assert "strict-transport-security" not in headers


def test_dagsters_page_may_frame_itself(open_server):
    headers = open_server().get("/runs").headers
    assert headers["x-frame-options"] == "SAMEORIGIN"
    assert "content-security-policy" not in headers


def test_over_https_browsers_are_told_to_stay_there(secured):
    client = secured(base_url="https://orchestrator.example.org")
    assert client.get("/api/health/").headers["strict-transport-security"] == "max-age=31536000"


def chunks(size):
    """A body that does not say how long it is."""
    for _ in range(size // 1000):
        yield b"x" * 1000


@pytest.mark.parametrize("body", [b"x" * 5000, pytest.param(chunks(5000), id="in chunks")])
def test_a_body_that_is_too_long_is_not_read(provider, secured, body):
    client = secured(at=serving, max_body_bytes=4000)
    answer = client.put(ABORT, content=body, headers=bearer(provider.mint(roles=["operator"])))
    assert (answer.status_code, answer.json()["detail"]) == (413, "The body of a request may have 4000 bytes.")


def test_a_body_that_just_fits_is_read(provider, secured):
    client = secured(at=serving, max_body_bytes=4000)
    answer = client.put(ABORT, content=chunks(4000), headers=bearer(provider.mint(roles=["operator"])))
    assert len(answer.json()["body"]) == 4000


def test_a_policy_reads_no_body_that_is_too_long(provider, secured, agent):
    client = secured(at=serving, max_body_bytes=4000, opa_url=agent.url)
    assert client.put(ABORT, content=chunks(5000), headers=bearer(provider.mint())).status_code == 413
    assert agent.questions == []


def test_callbacks_come_only_so_often(secured):
    client = secured(callbacks_per_minute=3)
    answers = [client.post(CALLBACK.format(1)) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert 0 < int(answers[-1].headers["retry-after"]) <= 21


def test_wrong_tokens_do_not_keep_the_right_one_out(secured):
    client = secured(at=serving, callbacks_per_minute=3)
    path = CALLBACK.format(1)
    guesses = [client.post(f"{path}{number}") for number in range(3)]
    assert [answer.status_code for answer in guesses] == [200, 200, 200]
    elsewhere = httpx.HTTPTransport(verify=False, local_address="127.0.0.2")
    with caller(client.base_url, transport=elsewhere) as other:
        assert other.post(path).status_code == 200


def test_calls_are_counted_for_each_key():
    now = 0.0
    limit = RateLimit(2, clock=lambda: now)
    assert [limit.seconds_to_wait("a", "1"), limit.seconds_to_wait("a", "2")] == [0, 0]
    assert limit.seconds_to_wait("a", "3") == pytest.approx(30)
    assert [limit.seconds_to_wait("b", "1"), limit.seconds_to_wait("c", "1")] == [0, pytest.approx(30)]
    now = 30.0
    assert limit.seconds_to_wait("a", "3") == 0
