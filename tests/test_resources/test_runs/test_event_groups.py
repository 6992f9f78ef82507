"""Rows committed in groups: in order, in time, and never lost in silence."""

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence

import pytest
import sqlalchemy as sa

from resources.errors import EventsNotWritten
from resources.runs.storage import event_groups
from resources.runs.storage.event_groups import LARGEST, OLDEST_SECONDS, EventGroups, Row
from tests.waiting import eventually

SCRIPT = """
import sys
from resources.runs.storage.event_groups import EventGroups

def write(rows):
    if sys.argv[1] == "away":
        raise OSError("no route")
    print([row["n"] for row in rows])

EventGroups(write, lambda row: False).add({"run_id": "r", "n": 1})
"""


class Table:
    """A database of one table that can be away, lose its answer, and refuse rows."""

    def __init__(self) -> None:
        self.groups: list[list[Row]] = []
        self.away = False
        self.answers = True
        self.slow = 0.0

    @property
    def numbers(self) -> list[int]:
        """What was written, in order."""
        return [row["n"] for group in self.groups for row in group]

    def write(self, rows: Sequence[Row]) -> None:
        """Write them all, or none."""
        time.sleep(self.slow)
        if self.away:
            raise sa.exc.OperationalError("INSERT", {}, Exception("server closed the connection"))
        if any(row["n"] is None for row in rows):
            raise TypeError("no number")
        if any(row["n"] < 0 for row in rows):
            raise sa.exc.DataError("INSERT", {}, Exception("value too long"))
        self.groups.append(list(rows))
        if not self.answers:
            self.answers = True
            raise sa.exc.OperationalError("INSERT", {}, Exception("connection lost"))

    def has(self, row: Row) -> bool:
        """Whether it is there."""
        return row["n"] in self.numbers


def row(number: int, run_id: str = "r") -> Row:
    return {"run_id": run_id, "n": number}


@pytest.fixture
def table() -> Table:
    return Table()


@pytest.fixture
def groups(table: Table) -> Iterator[EventGroups]:
    groups = EventGroups(table.write, table.has)
    yield groups
    table.away = False
    groups.flush()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_groups.EventGroups.flush, "__defaults__", (0.2,))


def test_rows_before_a_barrier_are_one_group(groups: EventGroups, table: Table) -> None:
    for number in range(3):
        groups.add(row(number))
    groups.add(row(3), now=True)
    assert [[one["n"] for one in group] for group in table.groups] == [[0, 1, 2, 3]]


def test_a_row_without_a_barrier_waits_for_no_longer_than_it_may(groups: EventGroups, table: Table) -> None:
    groups.add(row(0))
    assert table.groups == []
    eventually(lambda: table.numbers == [0], seconds=OLDEST_SECONDS + 10)  # a busy machine's time to wake a thread


def test_a_steady_stream_is_never_held_up(groups: EventGroups, table: Table) -> None:
    count = 0
    while len(table.numbers) < 50:
        assert count < 10_000, "what comes after a row holds it up"
        groups.add(row(count))
        count += 1
        time.sleep(0.002)
    groups.flush()
    assert table.numbers == list(range(count))
    assert len(table.groups) < count / 2


def test_a_full_group_is_written_by_who_filled_it(groups: EventGroups, table: Table) -> None:
    for number in range(LARGEST):
        groups.add(row(number))
    assert table.numbers == list(range(LARGEST))


def test_a_barrier_waits_for_what_the_thread_is_writing(groups: EventGroups, table: Table) -> None:
    table.slow = 0.3
    groups.add(row(0))
    time.sleep(OLDEST_SECONDS + 0.1)
    groups.flush()
    assert table.numbers == [0]


def test_threads_keep_their_order(groups: EventGroups, table: Table) -> None:
    def write(run: int) -> None:
        for number in range(300):
            groups.add(row(run * 1000 + number, str(run)), now=number % 7 == 0)

    threads = [threading.Thread(target=write, args=(run,)) for run in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    groups.flush()
    assert len(table.numbers) == 1200
    for run in range(4):
        assert [one % 1000 for one in table.numbers if one // 1000 == run] == list(range(300))


def test_what_could_not_be_written_is_tried_again(groups: EventGroups, table: Table) -> None:
    table.away = True
    groups.add(row(0))
    time.sleep(0.2)
    table.away = False
    eventually(lambda: table.numbers == [0])


def test_a_barrier_waits_for_a_database_that_comes_back(groups: EventGroups, table: Table) -> None:
    table.away = True
    threading.Timer(0.3, lambda: setattr(table, "away", False)).start()
    groups.add(row(0))
    groups.add(row(1), now=True)
    assert table.numbers == [0, 1]


@pytest.mark.usefixtures("impatient")
def test_a_barrier_gives_up_in_its_own_thread(groups: EventGroups, table: Table) -> None:
    table.away = True
    groups.add(row(0))
    with pytest.raises(EventsNotWritten, match=r"has taken no events for .* server closed the connection"):
        groups.add(row(1), now=True)
    table.away = False
    groups.flush()
    assert table.numbers == [0]


@pytest.mark.usefixtures("impatient")
def test_who_was_refused_a_row_is_reminded_until_the_run_fails(groups: EventGroups, table: Table) -> None:
    table.away = True
    with pytest.raises(EventsNotWritten):
        groups.add(row(0), now=True)
    table.away = False
    groups.raise_if_incomplete("another")
    for _ in range(2):
        with pytest.raises(EventsNotWritten, match="The log of run r is incomplete"):
            groups.raise_if_incomplete("r")
    groups.forget_incomplete("r")
    groups.raise_if_incomplete("r")


@pytest.mark.usefixtures("impatient")
def test_while_the_database_is_away_memory_is_bounded(groups: EventGroups, table: Table) -> None:
    table.away = True
    for number in range(LARGEST - 1):
        groups.add(row(number))
    for _ in range(3):
        with pytest.raises(EventsNotWritten):
            groups.add(row(LARGEST))
    table.away = False
    groups.flush()
    assert table.numbers == list(range(LARGEST - 1))


def test_a_group_whose_answer_was_lost_is_not_written_twice(groups: EventGroups, table: Table) -> None:
    table.answers = False
    groups.add(row(0))
    groups.add(row(1), now=True)
    groups.add(row(2), now=True)
    assert table.numbers == [0, 1, 2]


def test_an_interrupted_group_is_not_written_twice(groups: EventGroups, table: Table) -> None:
    write = groups._write

    def interrupted(rows: Sequence[Row]) -> None:
        groups._write = write
        write(rows)
        raise KeyboardInterrupt

    groups._write = interrupted
    with pytest.raises(KeyboardInterrupt):
        groups.add(row(0), now=True)
    groups.add(row(1), now=True)
    assert table.numbers == [0, 1]


def test_an_unfit_row_does_not_hold_the_others_up(groups: EventGroups, table: Table) -> None:
    groups.add(row(0, "good"))
    groups.add(row(-1, "bad"))
    groups.add(row(2, "good"), now=True)
    assert table.numbers == [0, 2]
    groups.raise_if_incomplete("good")
    with pytest.raises(EventsNotWritten, match="value too long"):
        groups.raise_if_incomplete("bad")


def test_a_row_with_an_error_that_nobody_expected_does_not_hold_the_others_up(
    groups: EventGroups, table: Table
) -> None:
    groups.add(row(0, "good"))
    groups.add({"run_id": "bad", "n": None})
    groups.add(row(2, "good"))
    eventually(lambda: table.numbers == [0, 2])
    with pytest.raises(EventsNotWritten, match="no number"):
        groups.raise_if_incomplete("bad")


def test_the_thread_survives_an_error_that_nobody_expected(groups: EventGroups, table: Table) -> None:
    flush = groups.flush
    groups.flush = lambda timeout=0.0: (setattr(groups, "flush", flush), 1 / 0)  # type: ignore[method-assign]
    groups.add(row(0))
    eventually(lambda: table.numbers == [0])


def test_a_row_that_writing_itself_logs_is_taken(groups: EventGroups, table: Table) -> None:
    write = groups._write

    def talkative(rows: Sequence[Row]) -> None:
        groups._write = write
        groups.add(row(1), now=True)
        write(rows)

    groups._write = talkative
    groups.add(row(0), now=True)
    eventually(lambda: table.numbers == [0, 1])


def test_the_thread_ends_when_nothing_comes(groups: EventGroups, table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resources.runs.storage.event_groups.IDLE_SECONDS", 0.05)
    groups.add(row(0))
    eventually(lambda: groups._thread is None)
    groups.add(row(1))
    eventually(lambda: table.numbers == [0, 1])


def test_a_forked_child_does_not_write_what_its_parent_will(
    groups: EventGroups, table: Table, forked: Callable[..., int]
) -> None:
    def child() -> None:
        groups.add(row(5), now=True)
        assert table.numbers == [5]
        groups.add(row(6))
        eventually(lambda: table.numbers == [5, 6])

    table.slow = 0.2  # the parent's thread is in the middle of a write
    groups.add(row(0))
    time.sleep(OLDEST_SECONDS + 0.05)
    groups.add(row(1))
    assert forked(child) == 0
    groups.flush()
    assert table.numbers == [0, 1]


@pytest.mark.parametrize(
    ("database", "said"),
    [("there", "[1]\n"), pytest.param("away", "LOST: 1 events of runs r. ", marks=pytest.mark.slow)],
)
def test_at_exit_all_is_written_or_the_loss_is_said(database: str, said: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", SCRIPT, database], capture_output=True, text=True, check=True, timeout=60
    )
    assert (ended.stdout + ended.stderr).startswith(said)
