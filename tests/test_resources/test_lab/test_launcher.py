"""The lab's server process: started on first use, shared, restarted after its death, ended with its last user."""

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from resources.database import lease
from resources.database.reaper import running_pid
from resources.database.session import SubscriptionDatabase
from resources.lab.launcher import TOKEN, lab_home, lab_url, pid_file, running_url, stop_lab
from resources.settings import settings
from resources.systems.netbox import NetBox

ASK = "from resources.lab.launcher import lab_url; print(lab_url())"


@pytest.fixture
def home(database: SubscriptionDatabase, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """The lab's directory, in a home with a space in its name; the lab is gone after the test."""
    monkeypatch.setenv("ORCHESTRATOR_HOME", str(tmp_path / "my home"))
    monkeypatch.setenv("DATABASE_URI", database.uri)
    settings.cache_clear()
    yield lab_home()
    lease.release(lab_home() / "lab.lease")
    wait_for_end(lab_home())
    monkeypatch.undo()
    settings.cache_clear()


def wait_for_end(home: Path) -> None:
    """Until the server has ended."""
    while running_pid(pid_file(home)) is not None:
        time.sleep(0.02)


def netbox() -> NetBox:
    """A client for the lab, which is started when it does not run."""
    return NetBox(url=lab_url(), token=TOKEN)


def test_processes_share_one_lab(home: Path) -> None:
    url = lab_url()
    processes = [subprocess.Popen([sys.executable, "-c", ASK], stdout=subprocess.PIPE, text=True) for _ in range(3)]
    assert {process.communicate(timeout=60)[0].strip() for process in processes} == {url}


def test_the_lab_ends_with_its_last_user(home: Path) -> None:
    url = subprocess.run([sys.executable, "-c", ASK], capture_output=True, text=True, check=True, timeout=60).stdout
    wait_for_end(home)
    assert running_url(home) is None
    with pytest.raises(requests.ConnectionError):
        requests.get(url.strip(), timeout=5)


def test_a_killed_lab_is_started_again_and_has_forgotten_nothing(home: Path) -> None:
    made = netbox().create_device("ams1", vendor="Nokia", model="7750 SR-7", site="ams", role="pe", idempotency_key="a")
    pid = running_pid(pid_file(home))
    subprocess.run(["kill", "-9", str(pid)], check=True)
    while running_pid(pid_file(home)) == pid:
        time.sleep(0.01)
    assert netbox().find_device("ams1") == made


def test_a_stopped_lab_is_started_again_by_the_next_use(home: Path) -> None:
    assert netbox().sites()
    assert stop_lab()
    assert not stop_lab()
    assert netbox().sites()


def test_a_lab_that_cannot_start_says_why(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URI", "postgresql://nobody@127.0.0.1:9/nowhere")
    settings.cache_clear()
    with pytest.raises(Exception, match=r"The lab cannot be started; its last output: .*127\.0\.0\.1"):
        lab_url()
    lease.release(lab_home() / "lab.lease")
    monkeypatch.undo()
