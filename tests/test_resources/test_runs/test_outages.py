"""What becomes of runs executed by warm workers when the database goes away, and when the whole machine does."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from resources.runs.storage.event_groups import TIMEOUT_SECONDS
from tests.scale import Scaled
from tests.test_resources.test_database.own_server import OwnServer, server_of_its_own
from tests.test_resources.test_runs.dagster_instances import QUIET, custom
from tests.test_resources.test_runs.warm import Warm, gone, warm_instances
from tests.waiting import eventually

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("outages")]  # one server for all
ROOT = Path(__file__).parents[3]
OUTAGE_SECONDS = 5.0


@pytest.fixture(scope="module")
def own() -> Iterator[OwnServer]:
    with server_of_its_own() as server:
        yield server


@pytest.fixture
def warm_of(own: OwnServer, tmp_path: Path) -> Iterator[Callable[..., Warm]]:
    """Makes an instance on a server that can be stopped, whose launcher starts workers by itself."""
    url = own.uri_of_new_database()
    (tmp_path / "dagster.yaml").write_text(json.dumps(QUIET | {"storage": custom(url)}))
    with warm_instances(tmp_path) as make:
        yield make


class Daemons:
    """Dagster's daemon, which starts a code server, beside the workers of an instance."""

    def __init__(self) -> None:
        self._started: list[subprocess.Popen[bytes]] = []

    def start(self, warm: Warm) -> None:
        """Start one, and wait until it is up: on a busy machine that takes longer than what it then does."""
        module = warm.location.pointer.module  # type: ignore[attr-defined]
        command = [sys.executable, "-m", "dagster._daemon", "run", "-m", module, "-d", str(warm.folder)]
        path = warm.folder / f"daemon_{len(self._started)}.log"
        environment = os.environ | {"DAGSTER_HOME": str(warm.folder)}
        with path.open("w") as log:
            daemon = subprocess.Popen(command, cwd=warm.folder, env=environment, stdout=log, stderr=log)
        self._started.append(daemon)
        eventually(lambda: "Instance is configured with" in path.read_text())

    def are_alive(self) -> bool:
        """Whether the newest works."""
        return self._started[-1].poll() is None

    def stop(self) -> None:
        """Kill them all; their code servers end by themselves."""
        for daemon in self._started:
            daemon.kill()
            daemon.wait()


@pytest.fixture
def daemons() -> Iterator[Daemons]:
    daemons = Daemons()
    yield daemons
    daemons.stop()


def cut(own: OwnServer, how: signal.Signals) -> None:
    """Take the server away for a while."""
    began = time.monotonic()
    own.stop(how)
    time.sleep(OUTAGE_SECONDS)
    own.start()
    if (away := time.monotonic() - began) > TIMEOUT_SECONDS - 5:
        pytest.skip(f"This machine is too busy: its server was away for {away:.0f} s, for which no run is to wait.")


def lose_the_machine(warm: Warm) -> None:
    """Kill everything that works in the folder; all are stopped first, so that none sees another die."""
    for number in (signal.SIGSTOP, signal.SIGKILL):
        for pid in warm.processes():
            os.kill(pid, number)
    warm.stop()


def log_of(warm: Warm, run_id: str) -> list[tuple[str, str | None, str]]:
    """What a log says, without what differs from run to run: kind, step, and what the op itself said."""
    said = []
    for record in warm.instance.event_log_storage.get_records_for_run(run_id).records:
        entry = record.event_log_entry
        kind = entry.dagster_event.event_type_value if entry.dagster_event else "-"
        said.append((kind, entry.step_key, "" if entry.dagster_event else entry.user_message))
    return said


# --- the database ---


@pytest.mark.timeout(900)
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGQUIT])
def test_runs_that_talk_through_an_outage_have_their_whole_log(
    warm_of: Callable[..., Warm], daemons: Daemons, own: OwnServer, how: signal.Signals, scaled: Scaled
) -> None:
    warm = warm_of(workers=2)
    daemons.start(warm)
    undisturbed = warm.launch("conversation")
    assert warm.end(undisturbed) == "SUCCESS"
    whole = log_of(warm, undisturbed)
    chance = random.Random(4)
    for _ in range(scaled(10)):
        workers = eventually(lambda: len(pids := warm.workers()) == 2 and pids)
        runs = [warm.launch("conversation") for _ in range(2)]
        eventually(lambda: all(warm.status(run) == "STARTED" for run in runs))  # noqa: B023
        time.sleep(chance.uniform(0, 3))
        cut(own, how)
        for run in runs:
            assert warm.end(run) == "SUCCESS", warm.messages(run)
            assert log_of(warm, run) == whole
        eventually(lambda: warm.workers() == workers)  # noqa: B023
        assert daemons.are_alive()


@pytest.mark.timeout(900)
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGQUIT])
def test_of_many_short_runs_an_outage_disturbs_none(
    warm_of: Callable[..., Warm], own: OwnServer, how: signal.Signals, scaled: Scaled
) -> None:
    """Whatever the two workers do when the database goes: claim, begin, speak, end."""
    warm = warm_of(workers=2)
    assert warm.end(warm.launch("ten")) == "SUCCESS"
    for _ in range(scaled(15)):
        runs = [warm.launch("ten") for _ in range(40)]
        eventually(lambda: warm.launcher.dispatch.waiting().get("toys", 0) < 20)
        cut(own, how)
        failed = [run for run in runs if warm.end(run) != "SUCCESS"]
        assert not failed, "\n".join(map(warm.reasons, failed))
        assert all(len(warm.trace("step", run)) == 10 for run in runs)
        eventually(lambda: not warm.launcher.dispatch.has_work("toys"))


@pytest.mark.timeout(900)
def test_a_run_whose_supervisor_was_killed_outlives_an_outage_too(
    warm_of: Callable[..., Warm], daemons: Daemons, own: OwnServer, scaled: Scaled
) -> None:
    warm = warm_of()
    daemons.start(warm)
    for _ in range(scaled(5)):
        run_id = warm.stay()
        worker = warm.begun(run_id)
        for supervisor in warm.supervisors():
            os.kill(supervisor, signal.SIGKILL)
        cut(own, signal.SIGINT)
        warm.leave(run_id)
        assert warm.end(run_id) == "SUCCESS", warm.messages(run_id)
        assert "PIPELINE_FAILURE" not in [kind for kind, _, _ in log_of(warm, run_id)]
        eventually(lambda: gone([worker]))  # noqa: B023  it has nobody to work for


# --- the machine ---


@pytest.mark.timeout(900)
def test_a_fresh_daemon_fails_what_a_lost_machine_had_in_hand(
    warm_of: Callable[..., Warm], daemons: Daemons, scaled: Scaled
) -> None:
    warm = warm_of(workers=2)
    daemons.start(warm)
    for _ in range(scaled(10)):
        runs = [warm.stay() for _ in range(2)]
        for run in runs:
            warm.begun(run)
        eventually(lambda: len(warm.processes()) >= 5)  # a supervisor, two workers, the daemon, its code server
        lose_the_machine(warm)
        began = time.monotonic()
        daemons.start(warm)
        up = time.monotonic()
        for run in runs:
            assert warm.end(run) == "FAILURE"
            assert "is gone, and so is its supervisor" in warm.messages(run)
        print(f"{time.monotonic() - began:.1f} s after its start, {time.monotonic() - up:.1f} s when up")  # noqa: T201


def test_after_the_loss_of_the_machine_the_next_launch_sees_to_all(
    warm_of: Callable[..., Warm], scaled: Scaled
) -> None:
    warm = warm_of(workers=2)
    for _ in range(scaled(10)):
        claimed = [warm.stay() for _ in range(2)]
        for run in claimed:
            warm.begun(run)
        waiting = [warm.launch("ten") for _ in range(5)]
        lose_the_machine(warm)
        assert [warm.status(run) for run in claimed + waiting] == ["STARTED"] * 2 + ["STARTING"] * 5
        waiting.append(warm.launch("ten"))
        assert [warm.end(run) for run in waiting] == ["SUCCESS"] * 6
        for run in claimed:
            assert warm.end(run) == "FAILURE"
            assert "is gone, and so is its supervisor" in warm.messages(run)
            assert eventually(lambda: warm.state(run) == "done")  # noqa: B023
