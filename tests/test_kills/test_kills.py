"""Whatever is killed, and wherever: every process comes to its end by itself, and nothing was done twice.

What recovers is the sensors' own code and the launcher; nobody helps. `--scale` makes it longer.
"""

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from itertools import product

import pytest

from tests.scale import Scaled
from tests.test_kills.scene import BIN, OWN_STEPS, Scene, kill, scene

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("kills"), pytest.mark.timeout(3600)]

POINTS = ("claimed", "before", "after", "written", "committed")
"""In the claim of the step; before its function; after it; with its record written but not committed; committed, and
Dagster does not know."""
SHARES = 3
"""The steps of a point are killed in so many processes, side by side."""


@pytest.fixture(scope="module")
def place() -> Iterator[Scene]:
    """One scene for all: its database and its workers stay."""
    with scene() as found:
        yield found


def plans() -> list[dict[str, str]]:
    """Every step at every point, once; the start, which has no function, at its boundaries."""
    steps = [*OWN_STEPS, "done"]
    found = [dict.fromkeys(steps[share::SHARES], point) for point, share in product(POINTS, range(SHARES))]
    return [*found, {"start": "claimed"}, {"start": "committed"}]


def kill_at_every_point(place: Scene) -> str:
    before = len(place.kills())
    wanted = plans()
    with place.tended():
        ids = place.start(wanted)
        place.wait_until_over(ids)
    expected = sum(map(len, wanted))
    assert len(place.kills()) - before == expected
    for process_id, plan in zip(ids, wanted, strict=True):
        place.assert_whole(process_id)
        again = [int(key[5:]) for key, point in plan.items() if point in ("after", "written") and key != "done"]
        place.assert_called(process_id, [number for number in again if number in (3, 6, 9, 12)])
    return f"{expected} kills of workers, {len(ids)} processes completed"


def kill_all_together(place: Scene) -> str:
    with place.daemon() as daemon:
        ids = place.start([{}] * 4, pause=0.5)
        place.wait_for(lambda: len([one for one in ids if place.status(one) == "running"]) >= 2)
        time.sleep(2)
        killed = place.kill_all()
        daemon.wait(100)
    assert killed >= 4, "daemon, code server, supervisor, worker"
    assert any(place.status(one) != "completed" for one in ids)
    with place.daemon():
        place.wait_until_over(ids)
    for process_id in ids:
        place.assert_whole(process_id)
        place.assert_called(process_id)
    return f"{killed} programs killed at once, {len(ids)} processes completed"


def kill_database(place: Scene) -> str:
    with place.tended():
        ids = place.start([{}] * 4, pause=0.5)
        for _ in range(3):
            place.wait_for(lambda: any(place.status(one) == "running" for one in ids))
            time.sleep(1)
            place.kill_database()
        place.wait_until_over(ids)
    for process_id in ids:
        place.assert_whole(process_id)
        place.assert_called(process_id)
    return f"3 kills of PostgreSQL, {len(ids)} processes completed"


def repeated(kill: Callable[[Scene], str], place: Scene, scaled: Scaled) -> None:
    for _ in range(scaled(10)):
        print(kill(place), flush=True)  # noqa: T201  what was killed, for those who read along


def test_killed_at_every_step_boundary_and_inside_every_step(place: Scene, scaled: Scaled) -> None:
    """The process of the run, by SIGKILL; it continues in another, from the last committed step."""
    repeated(kill_at_every_point, place, scaled)


def test_everything_killed_together(place: Scene, scaled: Scaled) -> None:
    """Daemon, code server, supervisor and workers at once, in the middle; a new daemon is all it takes."""
    repeated(kill_all_together, place, scaled)


def test_database_killed_and_started_again(place: Scene, scaled: Scaled) -> None:
    """In the middle of steps, of calls and of events; whoever misses it first starts the embedded one again."""
    repeated(kill_database, place, scaled)


def in_a_shell(place: Scene, pause: float, until: str) -> "tuple[subprocess.Popen[str], str]":
    """A process that `dagster job execute` has in progress, until after a step: nobody launched it to a worker."""
    config = place.folder / "run.yaml"
    config.write_text(json.dumps({"inputs": [{"product": "Thing"}, {"pause": pause}]}))
    known = {row[0] for row in place.rows("SELECT process_id::text FROM processes")}
    words = ("job", "execute", "-m", "victims", "-j", "make_thing", "-c", str(config))
    shell = place.begin(str(BIN / "dagster"), *words)

    def mine() -> list[str]:
        found = place.rows("SELECT process_id::text FROM process_steps WHERE step_key = %s", until)
        return [row[0] for row in found if row[0] not in known]

    place.wait_for(mine)
    (process_id,) = mine()
    return shell, process_id


def test_dagster_job_execute_killed(place: Scene) -> None:
    """It runs in a process of its own, which the launcher does not know; it has entered itself, and is missed."""
    shell, process_id = in_a_shell(place, 0.3, "step_04")
    kill(shell.pid)
    shell.wait(100)
    with place.tended():
        place.wait_until_over([process_id])
    place.assert_whole(process_id)
    place.assert_called(process_id)


def test_dagster_job_execute_aborted(place: Scene) -> None:
    """The abort of its process interrupts it as Ctrl-C would, wherever it runs."""
    shell, process_id = in_a_shell(place, 3.0, "step_01")
    place.ask("abort", process_id)
    assert shell.wait(100) != 0
    assert place.status(process_id) == "aborted"
    locked = place.rows("SELECT 1 FROM subscriptions WHERE locked_by = %s", process_id)
    assert locked == []
