"""The lab's server process, started on first use and shared by all processes of the machine.

In its home, `lab` beside the embedded data, or `lab-<hash>` for a database of your own, lie

    lab.pid    pid, then address, of the server once it answers       lab.log     its output
    lab.lease  held by each process that uses it; the server ends after the last
    lab.start  held by a process that checks whether it runs, and starts it
"""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

from resources.database import lease
from resources.database.reaper import running_pid, stop
from resources.errors import ExternalSystemUnavailable
from resources.secrecy import environment_of_others
from resources.settings import settings

TOKEN = "lab"
"""The lab's token, for NetBox and for the playbook runner: it listens on loopback and holds nothing real."""

START_SECONDS = 60


def lab_answers(*urls: str | None) -> bool:
    """Whether the lab answers for systems with these addresses: none is set, and the database is the embedded one.

    It never does on a database of your own: a typo in the name of NETBOX_URL must not provision into the lab.
    """
    return not any(urls) and settings().database_uri is None


def lab_url() -> str:
    """The address of the running lab, which this process then uses until it ends; starts it when needed.

    Raises ExternalSystemUnavailable when it cannot be started.
    """
    home = lab_home()
    if lease.is_held(lease_file(home)) and (url := running_url(home)):
        return url
    home.mkdir(parents=True, exist_ok=True)
    lease.hold(lease_file(home))
    with lease.mutex(home / "lab.start"):
        return running_url(home) or _start(home)


def lab_home() -> Path:
    """The directory of the lab for this database."""
    uri = settings().database_uri
    name = "lab" if uri is None else f"lab-{hashlib.sha256(uri.get_secret_value().encode()).hexdigest()[:12]}"
    return settings().home.absolute() / name


def pid_file(home: Path) -> Path:
    """The file with the server's pid and address."""
    return home / "lab.pid"


def lease_file(home: Path) -> Path:
    """The file that users of the server hold."""
    return home / "lab.lease"


def running_url(home: Path) -> str | None:
    """The address of the lab of this home, or None when it does not run."""
    if running_pid(pid_file(home)) is None:
        return None
    try:
        return pid_file(home).read_text().split()[1]
    except (OSError, IndexError):
        return None


def stop_lab() -> bool:
    """Stop the lab's server, also while it is used; the next use starts it again. False when it did not run."""
    home = lab_home()
    if running_url(home) is None:
        return False
    stop(pid_file(home))
    return True


def _start(home: Path) -> str:
    pid_file(home).unlink(missing_ok=True)
    log = home / "lab.log"
    with os.fdopen(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as output:
        # Returns when the server answers; the server runs on in the background.
        subprocess.run(
            [sys.executable, "-m", "resources.lab.server", str(pid_file(home))],
            cwd=home,
            env=_environment(),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            timeout=START_SECONDS,
            check=False,
        )
    if (url := running_url(home)) is not None:
        return url
    last = " ".join(log.read_text(errors="replace").strip().splitlines()[-1:])
    raise ExternalSystemUnavailable(
        f"The lab cannot be started; its last output: {last or 'nothing'} (all of it in {log}). "
        "Set NETBOX_URL and PLAYBOOK_URL to use systems of your own."
    )


def _environment() -> dict[str, str]:
    """The environment of the server, which works in another directory: with our settings that depend on ours."""
    project = str(Path(__file__).resolve().parents[2])
    paths = [project, *filter(None, [os.environ.get("PYTHONPATH")])]
    given = environment_of_others()
    return given | {"PYTHONPATH": os.pathsep.join(paths), "ORCHESTRATOR_HOME": str(settings().home.absolute())}
