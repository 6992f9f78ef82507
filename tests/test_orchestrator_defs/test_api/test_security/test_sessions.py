"""The login of a browser: there and back, and what its cookie is good for."""

import json
import re
import socket
import subprocess
import sys
import time
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from orchestrator_defs.api.security.login.sessions import safe_target
from orchestrator_defs.api.server.prefix import Prefixed
from orchestrator_defs.api.server_settings import ApiSettings
from tests.api import caller, calling, serving
from tests.oidc import bearer, secured_app, settings_for

PATH = "/api/processes/"
HTML = {"Accept": "text/html,*/*"}
ABORT = "/api/processes/1/abort"


def browser(client, **settings):
    """Another browser at the same server, which follows where it is sent."""
    return caller(client.base_url, headers=HTML, follow_redirects=True, **settings)


@pytest.fixture
def server(secured):
    return secured(session_secret="x" * 32)


@pytest.fixture
def logged_in(server):
    with browser(server) as client:
        assert client.get(PATH).json() == "ada"
        yield client


def own(client):
    """What a browser sends along from the server's own pages."""
    return {"Origin": str(client.base_url).rstrip("/"), "Sec-Fetch-Site": "same-origin"}


def age(server, seconds):
    """Let time pass for the server's sessions and tokens."""
    authorisation = server.app.state.authorisation
    before = authorisation.sessions.now
    authorisation.sessions.now = lambda: before() + seconds


def test_a_browser_logs_in_and_is_where_it_wanted(server):
    with browser(server) as client:
        answer = client.get(f"{PATH}?a=1&b=x%26y")
    assert answer.json() == "ada"
    assert str(answer.url) == f"{server.base_url}{PATH}?a=1&b=x%26y"
    steps = [(one.status_code, urlsplit(one.headers["location"]).path) for one in answer.history]
    assert steps == [(303, "/api/login"), (303, "/authorize"), (302, "/api/login/callback"), (303, PATH)]


def test_a_program_is_not_sent_to_log_in(server):
    assert server.get(PATH, headers={"Accept": "application/json"}).status_code == 401
    assert server.get(PATH, headers={**HTML, "Sec-Fetch-Mode": "cors"}).status_code == 401


def test_the_login_asks_with_a_challenge_a_state_and_a_nonce(server):
    query = parse_qs(urlsplit(server.get("/api/login").headers["location"]).query)
    assert query["code_challenge_method"] == ["S256"]
    assert {len(query[name][0]) for name in ("code_challenge", "nonce")} == {43}
    assert query["redirect_uri"] == [f"{server.base_url}/api/login/callback"]
    assert query["scope"] == ["openid profile email"]


def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites(logged_in):
    (sent,) = [one for answer in [login(logged_in)] for one in answer.headers.get_list("set-cookie")]
    assert re.fullmatch(r"orchestrator=[\w.-]+; Path=/; Max-Age=43\d\d\d; HttpOnly; SameSite=Lax", sent)


def login(client):
    """The answer that ends a login."""
    client.cookies.clear()
    return client.get(PATH).history[-1]


def test_over_https_the_cookie_is_for_this_host_only(provider, secured):
    with browser(secured(base_url="https://orchestrator.example.org")) as client:
        begun = client.get("/api/login", follow_redirects=False)
    assert begun.headers["set-cookie"].startswith("__Host-orchestrator-login=")
    assert begun.headers["set-cookie"].endswith("; Path=/; Max-Age=600; HttpOnly; SameSite=Lax; Secure")
    assert parse_qs(urlsplit(begun.headers["location"]).query)["redirect_uri"] == [
        "https://orchestrator.example.org/api/login/callback"
    ]


def test_without_https_nobody_logs_in_from_elsewhere(server):
    answer = server.get("/api/login", headers={"Host": "orchestrator.example.org"})
    assert (answer.status_code, answer.json()["detail"].split(".")[0]) == (
        400,
        "Browsers keep a login over https only",
    )


def test_behind_a_proxy_the_addresses_are_those_of_the_browser(provider, secured):
    headers = {"Host": "orchestrator.example.org", "X-Forwarded-Proto": "https"}
    begun = secured(at=serving).get("/api/login", headers=headers)
    assert parse_qs(urlsplit(begun.headers["location"]).query)["redirect_uri"] == [
        "https://orchestrator.example.org/api/login/callback"
    ]
    assert "Secure" in begun.headers["set-cookie"]


def test_no_token_can_be_read_in_the_cookie(logged_in, provider):
    (value,) = [cookie.value for cookie in logged_in.cookies.jar if cookie.name == "orchestrator"]
    (refresh_token,) = provider.refresh_tokens
    assert value.startswith("ey")
    assert value.count(".") == 4, "it is encrypted"
    assert refresh_token not in value


def test_a_cookie_that_was_changed_is_none(logged_in):
    value = logged_in.cookies["orchestrator"]
    for place in (0, 60, len(value) - 1):
        changed = value[:place] + ("A" if value[place] != "A" else "B") + value[place + 1 :]
        with caller(logged_in.base_url, cookies={"orchestrator": changed}) as other:
            assert other.get(PATH).status_code == 401, place


def test_another_server_with_the_secret_takes_the_session(logged_in, secured):
    other, stranger = secured(session_secret="x" * 32), secured()
    for client in (other, stranger):
        client.cookies["orchestrator"] = logged_in.cookies["orchestrator"]
    assert other.get(PATH).json() == "ada"
    assert stranger.get(PATH).status_code == 401


def test_a_login_begun_in_another_browser_is_refused(server):
    with browser(server) as victim, browser(server) as attacker:
        begun = attacker.get("/api/login", follow_redirects=False).headers["location"]
        back = attacker.get(begun, follow_redirects=False).headers["location"]
        victim.get("/api/login", follow_redirects=False)
        answer = victim.get(back)
        assert answer.status_code == 401
        assert "orchestrator" not in victim.cookies


def test_a_code_is_good_once(server):
    with browser(server) as client:
        back = client.get(client.get("/api/login", follow_redirects=False).headers["location"], follow_redirects=False)
        address = back.headers["location"]
        assert client.get(address, follow_redirects=False).status_code == 303
        assert client.get(address, follow_redirects=False).status_code == 401


def test_logins_in_two_tabs_both_end_well(server):
    with browser(server) as client:
        begun = [client.get(f"/api/login?next=/api/me?{tab}", follow_redirects=False) for tab in "ab"]
        ends = [client.get(one.headers["location"]) for one in begun]
        assert [(end.status_code, end.url.query) for end in ends] == [(200, b"a"), (200, b"b")]


def test_an_id_token_for_something_else_is_refused(server, provider):
    for changes in ({"nonce": "another"}, {"aud": "somebody"}, {"sub": "2"}, {"exp": 1}, {"iss": "https://elsewhere"}):
        provider.changes = changes
        with browser(server) as client:
            assert client.get(PATH).status_code == 401, changes


def test_a_login_takes_ten_minutes_at_most(server):
    with browser(server) as client:
        begun = client.get("/api/login", follow_redirects=False).headers["location"]
        age(server, 601)
        assert client.get(begun).status_code == 401


def test_a_refusal_of_the_provider_is_told(server):
    answer = server.get("/api/login/callback?error=access_denied")
    assert answer.json()["detail"] == (
        "The identity provider refused the login: access_denied. Try again at /api/login."
    )
    assert "<b>" not in server.get("/api/login/callback?error=<b>").text


def test_a_login_leads_nowhere_else(server):
    foreign = ("https://evil.example.org", "//evil.example.org", "/\\evil.example.org", "/\t/evil", "\\\\evil")
    for target in (*foreign, "javascript:x", ""):
        assert safe_target(target) == "/", target
        with browser(server) as client:
            answer = client.get("/api/login", params={"next": target})
            assert (answer.url.host, answer.url.path) == (server.base_url.host, "/"), target


def test_whoever_has_no_usable_name_is_told_at_the_login(server, provider):
    provider.claims["preferred_username"] = "a\0b"
    with browser(server) as client:
        answer = client.get(PATH)
    assert (answer.status_code, answer.url.path) == (401, "/api/login/callback")


def test_a_login_works_under_a_path_prefix(provider):
    app = secured_app(settings_for(provider))
    with calling(Prefixed(app, "/of/ours")) as server, browser(server) as client:
        answer = client.get(f"/of/ours{PATH}?a=1")
        assert (answer.json(), answer.url.path, answer.url.query) == ("ada", f"/of/ours{PATH}", b"a=1")
        assert client.get("/of/ours/api/login").url.path == "/of/ours/"


def test_an_independent_provider_does_as_well(unused_tcp_port):
    """Its access tokens are no JWT, and it has no introspection: its userinfo says who it is."""
    issuer = f"http://localhost:{unused_tcp_port}"
    user = json.dumps({"sub": "grace", "preferred_username": "grace", "roles": ["viewer"]})
    command = [sys.executable, "-m", "oidc_provider_mock", "--port", str(unused_tcp_port), "--user-claims", user]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            wait_for(issuer)
            settings = ApiSettings(
                oidc_base_url=issuer, oauth2_resource_server_id="orchestrator", oauth2_resource_server_secret="any"
            )
            with calling(secured_app(settings)) as server, browser(server) as client:
                form = client.get(PATH)
                answer = client.post(form.url, data={"sub": "grace"})
                assert (answer.json(), answer.url.path) == ("grace", PATH)
        finally:
            process.terminate()


@pytest.fixture
def unused_tcp_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def wait_for(address):
    """Until somebody answers there."""
    deadline = time.monotonic() + 60
    while True:
        try:
            return httpx.get(address)
        except httpx.TransportError:
            assert time.monotonic() < deadline, f"nobody answers at {address}"
            time.sleep(0.05)


# --- renewal and end ---


def test_a_session_is_renewed_with_the_roles_of_now(server, provider, logged_in):
    assert logged_in.get("/api/me").json()["roles"] == ["viewer"]
    provider.claims["roles"] = ["operator"]
    assert logged_in.get("/api/me").json()["roles"] == ["viewer"]
    age(server, 301)
    answer = logged_in.get("/api/me")
    assert (answer.json()["roles"], answer.history) == (["operator"], [])
    age(server, 301)
    assert logged_in.get("/api/me").json()["roles"] == ["operator"]


def test_requests_that_come_together_share_a_renewal(server, provider, logged_in):
    """The refresh token is good for one use here."""
    cookie = {"Cookie": f"orchestrator={logged_in.cookies['orchestrator']}"}
    age(server, 301)
    answers = [server.get("/api/me", headers=cookie) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 200]
    assert provider.requests["/token"] == 2


def test_a_session_that_the_provider_ended_is_over(server, provider, logged_in):
    provider.refresh_tokens.clear()
    age(server, 301)
    answer = logged_in.get("/api/me", headers={"Accept": "application/json"})
    assert (answer.status_code, answer.json()["detail"]) == (401, "The session has ended. Log in again at /api/login.")


def test_a_session_cannot_be_renewed_while_the_provider_is_down(server, provider, logged_in):
    provider.is_down = True
    assert logged_in.get("/api/me").status_code == 200
    age(server, 301)
    assert logged_in.get("/api/me").status_code == 503


def test_a_session_ends_however_often_it_is_renewed(secured):
    server = secured(session_hours=0.1)
    with browser(server) as client:
        client.get(PATH)
        age(server, 301)
        assert client.get("/api/me").history == []
        age(server, 61)
        assert client.get("/api/me", headers={"Accept": "application/json"}).status_code == 401


def test_whoever_logs_out_is_out(server, logged_in, provider):
    answer = logged_in.post("/api/logout", headers={**own(logged_in), "Accept": "application/json"})
    assert answer.json()["logout_url"].startswith(f"{provider.issuer}/logout?client_id=orchestrator&post_logout")
    assert "orchestrator" not in logged_in.cookies
    assert logged_in.get("/api/me", headers={"Accept": "application/json"}).status_code == 401


def test_whoever_logs_out_leaves_nothing_that_could_be_renewed(server, logged_in, provider):
    assert len(provider.refresh_tokens) == 1
    logged_in.post("/api/logout", headers={**own(logged_in), "Accept": "application/json"})
    assert provider.refresh_tokens == set()


def test_whoever_logs_out_is_out_while_the_provider_is_down(server, logged_in, provider):
    provider.is_down = True
    answer = logged_in.post("/api/logout", headers={**own(logged_in), "Accept": "application/json"})
    assert answer.json() == {"logout_url": None}
    assert "orchestrator" not in logged_in.cookies


def test_a_page_that_logs_out_goes_on_to_the_provider(logged_in, provider):
    assert 'method="post"' in logged_in.get("/api/logout").text
    answer = logged_in.post("/api/logout", headers=own(logged_in), follow_redirects=False)
    assert answer.status_code == 303
    assert answer.headers["location"].startswith(f"{provider.issuer}/logout?")


def test_claims_that_fill_more_than_one_cookie_are_kept(server, provider):
    provider.claims["groups"] = [f"group {number} {number * 7919 % 10007}" for number in range(900)]
    with browser(server) as client:
        assert client.get(PATH).json() == "ada"
        parts = sorted(cookie.name for cookie in client.cookies.jar if cookie.name.startswith("orchestrator"))
        assert parts[:2] == ["orchestrator", "orchestrator-login"]
        assert "orchestrator.1" in parts
        client.post("/api/logout", headers={**own(client), "Accept": "application/json"})
        assert [cookie.name for cookie in client.cookies.jar] == ["orchestrator-login"]


def test_claims_that_no_browser_can_keep_are_told_of(server, provider):
    provider.claims["groups"] = [f"group {number * 7919 % 1000003}" for number in range(4000)]
    with browser(server) as client:
        answer = client.get(PATH)
    assert answer.status_code == 401
    assert answer.json()["detail"].endswith("configure it to send fewer.")


# --- other sites ---

FOREIGN = [
    {"Origin": "https://evil.example.org"},
    {"Origin": "null"},
    {"Origin": "http://localhost:1"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "none"},
    {},
]


def test_another_site_changes_nothing_with_the_cookie(logged_in, provider):
    provider.claims["roles"] = ["operator"]
    login(logged_in)
    for headers in FOREIGN:
        answer = logged_in.put(ABORT, headers=headers)
        assert (answer.status_code, "the server's own pages" in answer.json()["detail"]) == (403, True), headers


def test_the_servers_own_pages_change_things_with_the_cookie(logged_in, provider):
    provider.claims["roles"] = ["operator"]
    login(logged_in)
    assert logged_in.put(ABORT, headers=own(logged_in)).status_code == 200
    assert logged_in.put(ABORT, headers={"Origin": own(logged_in)["Origin"]}).status_code == 200


def test_another_site_logs_nobody_out(logged_in):
    assert logged_in.post("/api/logout", headers={"Origin": "https://evil.example.org"}).status_code == 403
    assert logged_in.get("/api/me").status_code == 200


def test_a_bearer_token_needs_no_page(server, provider):
    token = provider.mint(roles=["operator"])
    headers = {**bearer(token), "Origin": "https://client.example.org", "Sec-Fetch-Site": "cross-site"}
    assert server.put(ABORT, headers=headers).status_code == 200


def test_a_link_of_another_site_carries_no_mutation(logged_in):
    assert logged_in.get("/graphql?query=mutation{x}", headers={"Sec-Fetch-Site": "none"}).status_code == 403
