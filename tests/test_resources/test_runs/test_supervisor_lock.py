"""The post of a supervisor: its seats, who may be told to leave it, and who still launches."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from resources.runs.dispatch import Loaded
from resources.runs.workers import supervisor_lock as posts
from resources.runs.workers.supervisor_lock import HOLDER, KEEPER, RELIEF, Launching, Post, anybody_launches

NOW = datetime.now(UTC)
OLDER = Loaded("toys", "code", NOW - timedelta(seconds=1))
LOADED = Loaded("toys", "code", NOW)
PLACE = "postgresql://here"


@pytest.fixture(autouse=True)
def _folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("resources.runs.workers.supervisor_lock.folder", lambda: tmp_path)


@pytest.fixture
def post() -> Post:
    return Post(PLACE, "toys")


def test_a_seat_is_had_once(post: Post) -> None:
    seat = post.take(HOLDER)
    assert seat is not None
    assert post.take(HOLDER) is None
    seat.release()
    assert not post.is_taken(HOLDER)
    assert post.take(HOLDER) is not None


def test_seats_are_apart(post: Post) -> None:
    assert all(post.take(seat) for seat in (HOLDER, RELIEF, KEEPER))
    assert Post(PLACE, "other").take(HOLDER) is not None
    assert Post("postgresql://elsewhere", "toys").take(HOLDER) is not None


def test_a_seat_is_free_when_its_process_is_gone(post: Post, forked: Callable[[Callable[[], object]], int]) -> None:
    def die_in_office() -> None:
        seat = post.take(HOLDER)
        assert seat is not None
        seat.sign(LOADED)
        os.kill(os.getpid(), signal.SIGKILL)

    assert forked(die_in_office) == -signal.SIGKILL
    assert post.occupant(HOLDER) is None
    assert post.take(HOLDER) is not None


def test_who_has_a_seat_is_known_by_their_signature(post: Post) -> None:
    seat = post.take(HOLDER)
    assert seat is not None
    assert post.occupant(HOLDER) is None
    seat.sign(LOADED)
    assert post.occupant(HOLDER) == posts.Occupant(os.getpid(), LOADED)


def test_the_next_in_a_seat_is_not_taken_for_the_last(post: Post) -> None:
    first = post.take(HOLDER)
    assert first is not None
    first.sign(LOADED)
    first.release()
    assert post.take(HOLDER) is not None
    assert post.occupant(HOLDER) is None


def test_an_older_holder_is_told_to_leave(post: Post) -> None:
    seat = post.take(HOLDER)
    assert seat is not None
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, pass_fds=[seat.descriptor]) as old:
        signed = posts.Seat(os.dup(seat.descriptor))
        signed.sign(OLDER)
        text = next(Path(posts.folder()).glob(f"*{HOLDER}"))
        text.write_text(text.read_text().replace(str(os.getpid()), str(old.pid)))
        signed.release()
        seat.release()
        mine = post.relieve(LOADED)
        assert mine is not None
        assert old.wait(10) == -signal.SIGTERM
    assert post.occupant(HOLDER) == posts.Occupant(os.getpid(), LOADED)


def test_a_newer_holder_stays(post: Post) -> None:
    seat = post.take(HOLDER)
    assert seat is not None
    assert post.relieve(OLDER) is None  # who has not signed has just come
    seat.sign(LOADED)
    assert post.relieve(OLDER) is None


def test_the_posts_of_an_instance_are_found(post: Post) -> None:
    seat = post.take(HOLDER)
    assert [found.is_taken(HOLDER) for found in Post.all(PLACE)] == [True]
    assert list(Post.all("postgresql://elsewhere")) == []
    assert seat is not None


def test_who_launches_is_seen_until_they_end() -> None:
    assert not anybody_launches(PLACE)
    first, second = Launching(PLACE), Launching(PLACE)
    first.end()
    assert anybody_launches(PLACE)
    second.end()
    assert not anybody_launches(PLACE)


def test_who_launches_is_gone_when_killed(forked: Callable[[Callable[[], object]], int]) -> None:
    def launch_and_die() -> None:
        launching = Launching(PLACE)
        assert anybody_launches(PLACE)
        os.kill(os.getpid(), signal.SIGKILL)
        launching.end()

    assert forked(launch_and_die) == -signal.SIGKILL
    assert not anybody_launches(PLACE)


def test_a_worker_that_launches_does_not_keep_its_own_supervisor(
    forked: Callable[[Callable[[], object]], int],
) -> None:
    def launch_in_a_worker() -> None:
        posts.only_execute()
        launching = Launching(PLACE)
        assert not anybody_launches(PLACE)
        launching.end()

    assert forked(launch_in_a_worker) == 0
