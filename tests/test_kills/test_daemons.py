"""Two of Dagster's own daemons, killed at random: each scheduled time fires once, each thing is validated once."""

import os
import random
import signal
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest

from tests.scale import Scaled
from tests.test_kills.scene import BIN, Scene, kill, scene

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("kills"), pytest.mark.timeout(3600)]

SCHEDULES = 4
FIRED = "SELECT count(*) FROM firings"
STARTED = "SELECT process_id FROM processes JOIN workflows USING (workflow_id) WHERE name = 'night_work'"
ENDED = f"{STARTED} AND last_status = 'completed'"


class Daemons:
    """Two daemons, each with its code server."""

    def __init__(self, place: Scene) -> None:
        self.place = place
        self.both = [self._begin(), self._begin()]

    def kill(self, number: int, *, with_server: bool) -> None:
        """Kill one, with its code server or without, and start another in its place."""
        old = self.both[number]
        if with_server:
            with suppress(ProcessLookupError):
                os.killpg(old.pid, signal.SIGKILL)
        kill(old.pid)
        old.wait()
        self.both[number] = self._begin()

    def end(self) -> None:
        """Stop both, in order."""
        for one in self.both:
            with suppress(ProcessLookupError):
                os.killpg(one.pid, signal.SIGINT)
        for one in self.both:
            one.wait(60)

    def _begin(self) -> "subprocess.Popen[str]":
        return self.place.begin(str(BIN / "dagster-daemon"), "run")


def killed_at_random(place: Scene, daemons: Daemons, until: int) -> int:
    """Kill one of them in the moment in which it has fired some, until all have; how many died."""
    chance, kills = random.Random(11), 0

    def fired() -> int:
        return int(place.rows(FIRED)[0][0])

    while (before := fired()) < until or kills == 0:
        some = min(before + chance.randint(1, 12), until)
        place.wait_for(lambda some=some: fired() >= some, pause=0.05)
        daemons.kill(chance.randrange(2), with_server=chance.random() < 0.7)
        kills += 1
    return kills


def test_two_daemons_killed_at_random_fire_each_time_once_and_validate_nothing_twice(scaled: Scaled) -> None:
    """All missed times are to fire; what was fired is launched by whoever lives."""
    times, things = scaled(200, least=2 * SCHEDULES) // SCHEDULES, scaled(1000, least=10)
    with scene(Path(__file__).with_name("fleet.py")) as place:
        daemons = Daemons(place)
        try:
            moments = place.ask("prepare", str(SCHEDULES), str(times), str(things))  # while they start
            kills = killed_at_random(place, daemons, until=SCHEDULES * times)
            place.wait_for(lambda: len(place.rows(ENDED)) >= SCHEDULES * times)
            place.wait_for(lambda: place.rows("SELECT count(*) FROM validation_history")[0][0] >= things)
        finally:
            daemons.end()
        print(f"{SCHEDULES * times} times, {things} things, {kills} daemons killed", flush=True)  # noqa: T201
        firings = place.rows("SELECT schedule_id, due_at, process_id, refusal, left_out FROM firings")
        ids = [row[0] for row in place.rows("SELECT schedule_id FROM schedules")]
        assert sorted((one, at.isoformat()) for one, at, *_ in firings) == sorted(
            (o, at) for o in ids for at in moments
        )
        assert {(refusal, left_out) for *_, refusal, left_out in firings} == {(None, 0)}
        started = place.rows(STARTED)
        assert sorted(row[0] for row in started) == sorted(firing[2] for firing in firings)
        validated = place.rows("SELECT subscription_id, count(*) FROM validation_history GROUP BY 1")
        assert ([number for _, number in validated], len(validated)) == ([1] * things, things)
        seen = [str(one) for one, _ in validated] + [str(firing[2]) for firing in firings]
        assert {one: len(place.calls[one, 1]) for one in seen} == dict.fromkeys(seen, 1)
        assert kills >= 1
