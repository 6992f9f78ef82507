"""What something costs: time, processor time of Python and of PostgreSQL, and how much of the time was the lab's."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any

from resources.systems.http_session import ExternalSession
from resources.systems.playbooks import PlaybookRunner


@dataclass
class Effort:
    """In ms. `wall` and `python` without what was spent in calls to the lab, which is `lab`."""

    wall: float = 0.0
    python: float = 0.0
    postgres: float = 0.0
    lab: float = 0.0


@contextmanager
def effort(postmaster: int, others: Callable[[], set[int]] = set) -> Iterator[Effort]:
    """Measure the block. `others` are the server's processes that work for other programs."""
    spent = Effort()
    with _calls_to_lab() as lab:
        foreign = others()
        before = _server_processes(postmaster)
        python, wall = time.process_time(), time.perf_counter()
        yield spent
        spent.wall = (time.perf_counter() - wall - lab.wall) * 1000
        spent.python = (time.process_time() - python - lab.python) * 1000
        after = _server_processes(postmaster)
        spent.postgres = sum(after[pid] - before.get(pid, 0) for pid in after.keys() - foreign) / 1e6
        spent.lab = lab.wall * 1000


@dataclass
class _Calls:
    """Seconds inside calls to the lab; a call inside another counts once."""

    wall: float = 0.0
    python: float = 0.0
    is_inside: bool = False

    def timed(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, timed."""

        @wraps(function)
        def call(*arguments: Any, **named: Any) -> Any:
            if self.is_inside:
                return function(*arguments, **named)
            self.is_inside, python, wall = True, time.process_time(), time.perf_counter()
            try:
                return function(*arguments, **named)
            finally:
                self.wall += time.perf_counter() - wall
                self.python += time.process_time() - python
                self.is_inside = False

        return call


@contextmanager
def _calls_to_lab() -> Iterator[_Calls]:
    """Time every HTTP request to an external system, and the waiting for a playbook to end."""
    calls = _Calls()
    timed: list[tuple[type, str, Any]] = [
        (ExternalSession, "request", ExternalSession.request),
        (PlaybookRunner, "wait", PlaybookRunner.wait),
    ]
    for owner, name, function in timed:
        setattr(owner, name, calls.timed(function))
    try:
        yield calls
    finally:
        for owner, name, function in timed:
            setattr(owner, name, function)


def _server_processes(postmaster: int) -> dict[int, int]:
    """Nanoseconds on a processor of each process of a server that lives; ours keep their connections, so theirs do."""
    children = Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split()
    return {int(pid): _nanoseconds(int(pid)) for pid in children}


def _nanoseconds(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0])
    except (OSError, ValueError):  # it has just ended
        return 0
