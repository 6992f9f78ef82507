"""Drive a running server from outside: `python examples/drive_the_api.py [http://127.0.0.1:8080]`.

Needs a server on the lab (`orchestrator up`), `httpx` and `websockets`, and runs in the project's folder. It creates
a node by its form, page by page, and watches that over the WebSocket; has the node redeployed, agrees to that, and
calls back in the place of the playbook runner; aborts another redeployment; and reads the result. A server with a login
wants a bearer token in TOKEN.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from websockets.sync.client import ClientConnection, connect

ENDED = ("completed", "aborted", "failed", "inconsistent_data", "api_unavailable")
PATIENCE_SECONDS = 60
TOKEN = os.environ.get("TOKEN")
Page = Mapping[str, Any]
Answers = Callable[[Mapping[str, Any]], Page]


def main(url: str) -> None:
    """Play the whole piece."""
    name = f"api-{int(time.time())}"
    with httpx.Client(base_url=f"{url}/api", headers=_login(), timeout=60) as api, _live(url) as live:
        node = create_node(api, live, name)
        say(f"Node {name} is subscription {node}.")

        process = start(api, "redeploy_node", [{"subscription_id": node}])
        asked = follow(api, live, process, until="suspended")
        say(f"Asked: {asked['form']['title']}. {', '.join(asked['form']['properties'])}.")
        with slow_runner():
            api.put(f"/processes/{process}/resume", json=[{"go_ahead": True}]).raise_for_status()
            follow(api, live, process, until="awaiting_callback")
            call_back({"status": "successful", "changed": False, "differences": []})
            follow(api, live, process, until="completed")

        other = start(api, "redeploy_node", [{"subscription_id": node}])
        follow(api, live, other, until="suspended")
        api.put(f"/processes/{other}/abort").raise_for_status()
        follow(api, live, other, until="aborted")
        show(api, node)


# --- forms ---


def create_node(api: httpx.Client, live: ClientConnection, name: str) -> str:
    """Fill page after page as the server asks for them; the id of the subscription."""
    nokia = next(one for one in api.get("/products/").json() if one["name"] == "Node Nokia")
    pages = [{"product": nokia["product_id"]}]
    process = fill(api, "create_node", pages, lambda form: node_page(form, name))
    done = follow(api, live, process, until="completed")
    return str(done["current_state"]["subscription_id"])


def node_page(form: Mapping[str, Any], name: str) -> Page:
    """The node's name, and the first choice of whatever else has to be chosen."""
    chosen = {field: choices(form, field)[0] for field in form["required"] if field != "node_name"}
    return {"node_name": name, **chosen}


def choices(form: Mapping[str, Any], field: str) -> list[str]:
    """What a field lets one choose from."""
    shape = form["properties"][field]
    if "$ref" in shape:
        shape = form["$defs"][shape["$ref"].rpartition("/")[2]]
    return list(shape["enum"])


def fill(api: httpx.Client, workflow: str, pages: list[Page], answer: Answers) -> str:
    """Post all pages so far until there are no more: 510 asks for the next one, 201 is the end."""
    while True:
        response = api.post(f"/processes/{workflow}", json=pages)
        if response.status_code != 510:
            return started(response)
        form = response.json()["form"]
        say(f"Page {len(pages) + 1}: {form['title']}. {', '.join(form['properties'])}.")
        pages.append(answer(form))


def start(api: httpx.Client, workflow: str, pages: list[Page]) -> str:
    """Start a workflow whose form needs no more than this."""
    return started(api.post(f"/processes/{workflow}", json=pages))


def started(response: httpx.Response) -> str:
    """The id of the process, or the end of this script with the server's own words."""
    if response.status_code != 201:
        raise SystemExit(f"{response.status_code}: {response.json()['detail']}")
    return str(response.json()["id"])


# --- watching ---


@contextmanager
def _live(url: str) -> Iterator[ClientConnection]:
    protocols: Any = ["base64.bearer.token", TOKEN] if TOKEN else None
    with connect(f"{url.replace('http', 'ws', 1)}/api/ws/events", subprotocols=protocols) as live:
        live.send("__ping__")
        yield live


def follow(api: httpx.Client, live: ClientConnection, process: str, *, until: str) -> dict[str, Any]:
    """Look at a process whenever the server says that it has changed, until it stands so; the process then."""
    give_up, seen = time.monotonic() + PATIENCE_SECONDS, ""
    while time.monotonic() < give_up:
        found: dict[str, Any] = api.get(f"/processes/{process}").json()
        status, step = found["last_status"], found["last_step"]
        if (line := f"{found['workflow_name']}: {status}, {step}") != seen:
            say(line)
            seen = line
        if status == until:
            return found
        if status in ENDED:
            raise SystemExit(f"Process {process} is {status}: {found['failed_reason']}")
        wait_for_news(live, process)
    raise SystemExit(f"Process {process} is not {until} after {PATIENCE_SECONDS} s.")


def wait_for_news(live: ClientConnection, process: str) -> None:
    """Until the server says that this process has changed."""
    while (message := live.recv(timeout=PATIENCE_SECONDS)) is not None:
        news = {} if message == "__pong__" else json.loads(message)["value"]
        if news.get("type") == "processes" and news.get("id") in (process, None):
            return


# --- in the place of the playbook runner ---


@contextmanager
def slow_runner() -> Iterator[None]:
    """Have the lab's runner take its time, so that somebody else can call back before it."""
    lab("slow", "20", "--only", "job provision_node")
    try:
        yield
    finally:
        lab("heal")


def call_back(result: Mapping[str, Any]) -> None:
    """Post a result to the URL that the runner was given: no login, the token in the path is good for one answer."""
    calls = json.loads(lab("calls", "--json"))
    url = next(call["body"]["callback_url"] for call in reversed(calls) if call["path"].endswith("/provision_node"))
    httpx.post(f"{url}/progress", json={"percent": 50}).raise_for_status()
    httpx.post(url, json=result).raise_for_status()


def lab(*words: str) -> str:
    """Say something to the lab."""
    command = [str(Path(sys.executable).with_name("orchestrator")), "lab", *words]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


# --- the result ---


def show(api: httpx.Client, subscription: str) -> None:
    """The subscription, and what may be done with it now."""
    found = api.get(f"/subscriptions/domain-model/{subscription}").json()
    say(f"{found['description']}: {found['status']}, {'in sync' if found['insync'] else 'out of sync'}.")
    for target, workflows in api.get(f"/subscriptions/workflows/{subscription}").json().items():
        for one in workflows if isinstance(workflows, list) else ():
            say(f"  {target}: {one['name']}{', not now: ' + one['reason'] if one.get('reason') else ''}")


def say(line: str) -> None:
    """Print a line."""
    sys.stdout.write(f"{line}\n")


def _login() -> dict[str, str]:
    return {"Authorization": f"Bearer {TOKEN}"} if TOKEN else {}


if __name__ == "__main__":
    main(sys.argv[1].rstrip("/") if len(sys.argv) > 1 else "http://127.0.0.1:8080")
