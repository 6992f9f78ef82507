"""What comes too slowly, too often or under a false name, and what the log says of it."""

import asyncio
import logging
import os

import pytest
from starlette.applications import Starlette
from starlette.requests import HTTPConnection, Request
from starlette.responses import PlainTextResponse, RedirectResponse
from starlette.routing import Route

from orchestrator_defs.api.security import limits, middleware
from orchestrator_defs.api.security.limits import BodyLimit, RateLimit, SecurityHeaders
from orchestrator_defs.api.server_settings import ApiSettings
from tests.api import LOOP, calling, running
from tests.oidc import bearer

PATH = "/api/processes/"
ABORT = "/api/processes/1/abort"
SETTINGS = ApiSettings(oauth2_active=False)


def test_serving_processes_count_together():
    limit = RateLimit(2)
    assert limit.seconds_to_wait("a") == 0
    if (child := os.fork()) == 0:
        os._exit(0 if limit.seconds_to_wait("a") == 0 else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert limit.seconds_to_wait("a") > 0
    assert limit.seconds_to_wait("b") == 0


def test_what_is_given_back_was_not_counted():
    limit = RateLimit(1)
    for _ in range(5):
        assert limit.seconds_to_wait("a") == 0
        limit.give_back("a")


def test_a_body_that_does_not_come_is_given_up(monkeypatch):
    monkeypatch.setattr(limits, "BODY_SECONDS", 0.05)
    sent = []

    async def read(request: Request):
        return PlainTextResponse(await request.body())

    async def receive():
        if sent or receive.begun:
            await asyncio.sleep(60)
        receive.begun = True
        return {"type": "http.request", "body": b"a", "more_body": True}

    async def send(message):
        sent.append(message)

    receive.begun = False
    app = BodyLimit(Starlette(routes=[Route("/", read, methods=["POST"])]), SETTINGS)
    scope = {"type": "http", "method": "POST", "path": "/", "headers": [], "query_string": b""}
    LOOP.run(app(scope, receive, send))
    assert sent[0]["status"] == 408


def test_a_request_that_has_come_may_take_as_long_as_it_needs(monkeypatch):
    monkeypatch.setattr(limits, "BODY_SECONDS", 0.05)

    async def slow(request: Request):
        await request.body()
        await asyncio.sleep(0.2)
        return PlainTextResponse(str(await request.is_disconnected()))

    app = BodyLimit(Starlette(routes=[Route("/", slow, methods=["POST"])]), SETTINGS)
    with calling(app, running) as client:
        assert client.post("/", content=b"x").status_code == 200


@pytest.mark.parametrize("host", ["localhost:80@evil.org", "a b", "127.0.0.1/x", "a,b", "[::1", "x:port", "é"])
def test_a_host_that_is_none_is_refused(secured, host):
    answer = secured().get("/api/health/", headers={"Host": host.encode()})
    assert (answer.status_code, answer.json()["detail"][:15]) == (400, "The header Host")


@pytest.mark.parametrize("host", ["orchestrator.example.org", "127.0.0.1:8080", "[::1]:80", "my_host"])
def test_hosts_that_are_names_or_addresses_pass(secured, host):
    assert secured().get("/api/health/", headers={"Host": host}).status_code == 200


def test_a_redirect_to_ourselves_names_no_host(provider, secured):
    headers = {**bearer(provider.mint()), "Host": "evil.example.org"}
    answer = secured().get("/api/processes?x=1", headers=headers, follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (307, "/api/processes/?x=1")


def test_a_redirect_to_ourselves_leads_to_no_other_host():
    async def away(request: Request):
        return RedirectResponse(f"{request.base_url}/evil.example.org")

    app = SecurityHeaders(Starlette(routes=[Route("/", away)]), SETTINGS)
    with calling(app, running) as client:
        assert client.get("/", follow_redirects=False).headers["location"] == "/evil.example.org"


def test_refusals_are_logged_with_who_asked_for_what(provider, secured, caplog):
    client = secured()
    with caplog.at_level(logging.INFO):
        client.put(ABORT, headers=bearer(provider.mint()))
        client.get(PATH)
        client.post("/api/processes/1/callback/the-secret-token")
    lines = [one.getMessage() for one in caplog.records if one.getMessage().startswith("Refused")]
    assert lines[0] == (
        f"Refused with 403: PUT {ABORT} from 127.0.0.1: PUT {ABORT} needs the role operator; ada has viewer."
    )
    assert lines[1].startswith(f"Refused with 401: GET {PATH} from 127.0.0.1: Log in first")
    assert len(lines) == 3
    assert "the-secret-token" not in "".join(lines)


def test_a_refusal_is_one_line_of_the_log_whatever_was_sent(secured, caplog):
    with caplog.at_level(logging.INFO):
        secured().get("/api/a%0aRefused with 200")
    (line,) = [one.getMessage() for one in caplog.records if one.getMessage().startswith("Refused")]
    assert "\n" not in line


def test_an_ipv6_caller_is_counted_by_its_network():
    addresses = [f"2001:db8:0:1::{number}" for number in range(3)]
    scopes = [{"type": "http", "client": (one, 1)} for one in (*addresses, "2001:db8:0:2::1", "10.0.0.1", "name")]
    counted = [middleware._address(HTTPConnection(scope)) for scope in scopes]
    assert counted == ["2001:db8:0:1::/64"] * 3 + ["2001:db8:0:2::/64", "10.0.0.1", "name"]
