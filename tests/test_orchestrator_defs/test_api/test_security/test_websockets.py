"""A WebSocket ends when a request with its login would be refused, and not at the end of the day."""

import time
from contextlib import contextmanager

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from orchestrator_defs.api.security import middleware
from orchestrator_defs.api.security.login import tokens
from tests.api import caller, serving
from tests.oidc import CLIENT


@pytest.fixture(autouse=True)
def _often(monkeypatch):
    """Look at logins again at once, and believe the provider for no time."""
    monkeypatch.setattr(middleware, "RECHECK_SECONDS", 0.05)
    monkeypatch.setattr(tokens, "OPAQUE_SECONDS", 0)


@contextmanager
def opened(client, token=None, **options):
    """A WebSocket that is open."""
    protocols = ["base64.bearer.token", token] if token else None
    with connect(f"{client.base_url}/api/ws/events".replace("http", "ws"), subprotocols=protocols, **options) as socket:
        assert socket.recv() == "ada"
        yield socket


def end_of(socket):
    with pytest.raises(ConnectionClosed) as closed:
        socket.recv(timeout=20)
    return closed.value.rcvd.code, closed.value.rcvd.reason


def test_it_ends_with_its_token(provider, secured):
    client = secured(at=serving, oauth2_clock_skew_seconds=0)
    with opened(client, provider.mint(exp=int(time.time()) + 2)) as socket:
        assert end_of(socket) == (1008, "The token has expired.")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"active": False}, "The identity provider says that the token is not valid."),
        ({"roles": ["viewer", "operator"]}, "The rights of the user have changed."),
        ({"roles": []}, "WEBSOCKET /api/ws/events needs the role viewer; ada has no role here."),
    ],
)
def test_it_ends_with_what_the_provider_says_of_its_token(provider, secured, change, reason):
    known = {"active": True, "preferred_username": "ada", "client_id": CLIENT, "roles": ["viewer"]}
    provider.opaque["secret"] = known
    with opened(secured(at=serving), "secret") as socket:
        provider.opaque["secret"] = {**known, **change}
        assert end_of(socket) == (1008, reason)


def test_it_ends_with_its_session(provider, secured):
    provider.lifetime = 1
    client = secured(at=serving)
    address = str(client.base_url).rstrip("/")
    with caller(client.base_url, headers={"Accept": "text/html"}, follow_redirects=True) as browser:
        browser.get("/api/processes/")
        cookie = {"Cookie": f"orchestrator={browser.cookies['orchestrator']}"}
    with opened(client, additional_headers=cookie, origin=address) as socket:
        assert end_of(socket) == (1008, "The session has ended. Log in again at /api/login.")


def test_it_stays_open_while_its_login_is_good(provider, secured):
    with opened(secured(at=serving), provider.mint()) as socket, pytest.raises(TimeoutError):
        socket.recv(timeout=0.5)
