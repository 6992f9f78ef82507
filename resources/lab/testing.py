"""A lab for tests: the real application over real HTTP, on the test's own database."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from resources.database.session import SubscriptionDatabase
from resources.lab.control import LabControl
from resources.lab.launcher import TOKEN
from resources.lab.server import loopback_socket, uvicorn_server
from resources.systems.netbox import NetBox
from resources.systems.playbooks import PlaybookRunner

START_SECONDS = 20


@dataclass(frozen=True)
class Lab:
    """A running lab: its clients and its controls."""

    url: str
    netbox: NetBox
    playbooks: PlaybookRunner
    control: LabControl


@contextmanager
def lab_server(database: SubscriptionDatabase) -> Iterator[Lab]:
    """Serve the lab on `database` in a thread of this process while the block runs.

    For code that makes its own `NetBox()`, set NETBOX_URL and PLAYBOOK_URL to `lab.url`, both tokens to
    `lab` (their default), and call `settings.cache_clear()`.
    """
    server = uvicorn_server(database)
    listener, url = loopback_socket()
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name="lab", daemon=True)
    thread.start()
    give_up = time.monotonic() + START_SECONDS
    while not server.started and thread.is_alive() and time.monotonic() < give_up:
        time.sleep(0.005)
    try:
        playbooks = PlaybookRunner(url=url, token=TOKEN, poll_interval=0.02)
        yield Lab(url, NetBox(url=url, token=TOKEN), playbooks, LabControl(database))
    finally:
        server.should_exit = True
        thread.join(START_SECONDS)
        listener.close()
