"""What a browser makes of the answers: preflights, errors that it would hide, logins, the WebSocket."""

import json
import time
from collections.abc import Callable, Iterator

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Origin, Subprotocol

from tests.engine import Engine
from tests.test_orchestrator_defs.test_api.test_client_contract.conftest import Secured
from tests.waiting import GENEROUS_SECONDS
from tests.web_client import UI, WebClient

AN_ID = "00000000-0000-4000-8000-000000000000"
CALLS = [
    *[("GET", f"/settings/{name}") for name in ("status", "worker-status", "cache-names", "overview")],
    ("PUT", "/settings/status"),
    ("DELETE", "/settings/cache/all"),
    ("POST", "/settings/search-index/reset"),
    ("GET", "/processes/status-counts"),
    ("GET", "/translations/en-GB"),
    ("POST", "/processes/create_device"),
    *[(method, f"/processes/{AN_ID}") for method in ("GET", "PATCH", "DELETE")],
    *[("PUT", f"/processes/{rest}") for rest in (f"{AN_ID}/resume", f"{AN_ID}/abort", "resume-all")],
    ("GET", f"/subscriptions/workflows/{AN_ID}"),
    ("PUT", f"/subscriptions/{AN_ID}/set_in_sync"),
    *[(method, "/subscription_customer_descriptions") for method in ("POST", "PUT")],
    *[("PATCH", f"/{kind}/{AN_ID}") for kind in ("products", "product_blocks", "resource_types", "workflows")],
    ("POST", "/forms/configure_schedule"),
    *[(method, path) for method in ("POST", "DELETE") for path in ("/schedules", "/schedules/")],
    ("GET", "/search/definitions"),
    ("POST", "/graphql"),
]
"""Every call of the client that a browser asks leave for."""
GUARDED = [(method, path) for method, path in CALLS if not path.startswith("/translations")]


# --- leave to call ---


def test_the_pages_may_call(ui: WebClient) -> None:
    for method, path in CALLS:
        answer = ui.preflight(method, path, ["authorization", "content-type"])
        assert int(answer.headers["access-control-max-age"]) >= 600, (method, path)


def test_leave_is_given_without_login(secured: Secured) -> None:
    with WebClient(secured.url) as client:
        for method, path in CALLS:
            client.preflight(method, path, ["authorization", "content-type"])


def test_other_pages_get_no_leave(ui: WebClient) -> None:
    asked = {"Origin": "https://elsewhere.example.org", "Access-Control-Request-Method": "GET"}
    answer = ui.http.options("/settings/status", headers=asked)
    assert "access-control-allow-origin" not in answer.headers


# --- errors ---


def test_who_is_not_logged_in_learns_it(secured: Secured) -> None:
    with WebClient(secured.url) as client:
        for method, path in GUARDED:
            answer = client.call(method, path, {})
            assert answer.status == 401, (method, path)
            if path == "/graphql":  # the client logs out by this type, in lower case
                assert answer.data["errors"][0]["extensions"]["error_type"] == "not_authenticated"
            else:
                assert answer.data["status"] == 401, (method, path)


def test_a_login_that_is_over_is_said(secured: Secured) -> None:
    with secured.client(exp=int(time.time()) - 3600) as client:
        assert client.get("/settings/status").status == 401


def test_who_may_not_learns_it(secured: Secured) -> None:
    with secured.client(roles=["viewer"]) as client:
        assert client.put("/settings/status", {"global_lock": True}).status == 403


def test_a_body_that_is_too_long_is_said(ui: WebClient) -> None:
    assert ui.post("/processes/build_rack", [{"site": "x" * 10_001}]).status == 413


def test_a_fault_of_the_server_is_said(url: str) -> None:
    with WebClient(url) as client:  # whose connection the server closes then
        answer = client.get("/broken")
    assert (answer.status, answer.data["title"]) == (500, "Internal Server Error")


def test_what_is_no_json_is_refused_in_json(ui: WebClient) -> None:
    headers = {"Origin": UI, "Content-Type": "application/json"}
    answer = ui.http.post("/processes/build_rack", content="[{", headers=headers)
    assert (answer.status_code, answer.json()["status"]) == (422, 422)
    assert answer.headers["access-control-allow-origin"] == UI


# --- with a login ---


def test_a_viewer_sees_the_frame(secured: Secured) -> None:
    with secured.client(roles=["viewer"]) as client:
        frame = ("/settings/status", "/processes/status-counts", "/translations/en-GB")
        assert [client.get(path).status for path in frame] == [200] * 3


def test_an_operator_starts_and_is_written_down(secured: Secured) -> None:
    with secured.client(roles=["operator"]) as client:
        assert client.post("/processes/build_rack", []).status == 510
        started = client.post("/processes/build_rack", [{"site": "ams"}, {"rack": 1}])
        assert started.status == 201
        assert client.get(f"/processes/{started.data['id']}").data["created_by"] == "ada"


def test_an_operator_answers_and_aborts(secured: Secured, engine: Engine) -> None:
    with secured.client(roles=["operator"]) as client:
        answered, aborted = engine.run("ask"), engine.run("ask")
        assert client.put(f"/processes/{answered}/resume", [{"approved": True}]).status == 204
        assert client.put(f"/processes/{aborted}/abort").status == 204


def test_an_admin_edits_in_place(secured: Secured, ui: WebClient) -> None:
    workflow = next(one for one in ui.get("/workflows/").data if one["name"] == "fail")
    with secured.client(roles=["admin"]) as client:
        answer = client.patch(f"/workflows/{workflow['workflow_id']}", {"description": "Fail"})
    assert (answer.status, answer.data["description"]) == (200, "Fail")


# --- the WebSocket ---


def events(url: str) -> str:
    """Where the client listens."""
    return f"{url.replace('http', 'ws', 1)}/ws/events"


def pong_after(connection: ClientConnection) -> float:
    """Seconds from a ping to its answer, whatever else is sent in between."""
    asked = time.monotonic()
    connection.send("__ping__")
    while connection.recv(timeout=GENEROUS_SECONDS) != "__pong__":
        pass
    return time.monotonic() - asked


@pytest.fixture
def listening(url: str) -> Iterator[ClientConnection]:
    """A tab that is open."""
    with connect(events(url), origin=Origin(UI), proxy=None) as connection:
        yield connection


def test_a_ping_is_answered_before_the_client_gives_up(listening: ClientConnection) -> None:
    assert min(pong_after(listening) for _ in range(5)) < 2


def test_without_a_token_there_is_no_sub_protocol(listening: ClientConnection) -> None:
    assert listening.subprotocol is None


def test_messages_are_in_the_clients_words(
    listening: ClientConnection, engine: Engine, device: Callable[[], str]
) -> None:
    process_id = engine.run("validate_device", [{"subscription_id": device()}])
    subscription_id = engine.process(process_id).state["subscription_id"]
    values = [
        {"type": "processes", "id": "LIST"},
        {"type": "processes", "id": str(process_id)},
        {"type": "processStatusCounts"},
        {"type": "subscriptions"},
        {"type": "subscriptions", "id": subscription_id},
    ]
    wanted = {json.dumps({"name": "invalidateCache", "value": value}, separators=(",", ":")) for value in values}
    while wanted:
        wanted.discard(str(listening.recv(timeout=GENEROUS_SECONDS)))


def test_a_token_comes_as_a_sub_protocol(secured: Secured) -> None:
    offered = [Subprotocol("base64.bearer.token"), Subprotocol(secured.provider.mint())]
    with connect(events(secured.url), origin=Origin(UI), subprotocols=offered, proxy=None) as connection:
        assert connection.subprotocol == "base64.bearer.token"
        assert pong_after(connection) < GENEROUS_SECONDS


def test_without_a_token_nothing_is_told(secured: Secured) -> None:
    with connect(events(secured.url), origin=Origin(UI), proxy=None) as connection:
        with pytest.raises(ConnectionClosed):
            connection.recv(timeout=GENEROUS_SECONDS)
        assert connection.close_code == 1008
