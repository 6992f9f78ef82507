"""Under a storm of kills and freezes of all that `orchestrator up` runs, nothing is lost, stuck or done twice."""

import os
import random
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from tests.ports import free_port
from tests.test_acceptance.conftest import PROJECT, Project, fresh_home
from tests.waiting import eventually

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("up"), pytest.mark.timeout(1200)]

STORM_SECONDS = 120.0
STUCK_SECONDS = 240.0
"""Longer than anything in a process's way takes: the run monitoring of Dagster gives up a start after 180 seconds."""
STEPS = 5
ANSWER_SECONDS = 60.0
"""The longest that a request may take, on a busy machine; half a minute on a quiet one."""
YOUNG_SECONDS = 60.0
FORKED = ("server", "serving", "code server", "daemon", "supervisor", "worker", "reserved worker")
GIVES_UP = ("server", "daemon")
"""`up` gives up when one of these ends more than three times in a minute, so they die once in a while only."""
LEAST_SECONDS = 40.0
ORDER = ("worker", "supervisor", "serving", "daemon", "server", "inner code server", "backend", "postmaster", "reaper")
THINGS = """
import time

from ops import StepList, SubmitFormPage, begin, step
from orchestrator_defs import build_definitions, create_workflow
from resources import Product, ProductBlockModel, State, SubscriptionModel
from uuid import UUID


class ThingBlock(ProductBlockModel, product_block_name="Thing"):
    left: int = 0
    right: int = 0


class Thing(SubscriptionModel, is_base=True):
    thing: ThingBlock


class ThingForm(SubmitFormPage):
    pause: float


@step("Construct")
def construct(product: UUID) -> State:
    thing = Thing.from_product_id(product, customer_id="customer")
    thing.description = "Thing"
    return {"subscription": thing}


def growing(number):
    def grow(subscription: Thing, pause: float) -> State:
        time.sleep(pause)
        subscription.thing.left += 1
        subscription.thing.right += 1
        return {"subscription": subscription}

    grow.__name__ = grow.__qualname__ = f"grow_{number}"
    return step(f"Grow {number}")(grow)


@create_workflow("Make a thing", initial_input_form=ThingForm, product_type="Thing")
def make_thing() -> StepList:
    steps = begin >> construct
    for number in range(5):
        steps = steps >> growing(number)
    return steps


defs = build_definitions([Product("Thing", "THING", Thing, "Thing", "A thing")], [make_thing])
"""
WORKSPACE = "load_from:\n  - python_module: {module_name: things}\n"


class Stormy(Project):
    """A project under `up`, and what a storm does to it."""

    def __init__(self, home: Path, folder: Path, port: int) -> None:
        super().__init__(home, folder)
        self.url = f"http://127.0.0.1:{port}/api"
        self.environment["PYTHONPATH"] = str(folder)
        self.up_pid = 0
        self.begun = time.monotonic()
        self.killed: dict[str, float] = {}
        self.deeds: list[str] = []
        self.slowest = 0.0

    def said(self) -> str:
        return (self.home / "orchestrator.log").read_text()

    # --- what there is ---

    def parts(self) -> dict[str, list[int]]:
        """The processes by what they are; `up` itself is not among them."""
        found: dict[str, list[int]] = {}
        for pid, command in self.processes().items():
            with suppress(OSError, IndexError):
                found.setdefault(self._part(pid, command), []).append(pid)
        if pid := self.postmaster():  # whose children write their titles over their environment
            with suppress(OSError):
                children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
                found |= {"postmaster": [pid], "backend": list(map(int, children))}
        return {part: pids for part, pids in found.items() if part and pids}

    def _part(self, pid: int, command: str) -> str:
        name = Path(f"/proc/{pid}/comm").read_text().strip()
        if pid == self.up_pid:
            return ""
        marks = {"reaper.py": "reaper", "api grpc": "inner code server", "code-server": "outer code server"}
        return next((part for mark, part in marks.items() if mark in command), name if name in FORKED else "")

    def postmaster(self) -> int:
        with suppress(OSError, ValueError, IndexError):
            return int((self.home / "pg" / "postmaster.pid").read_text().split()[0])
        return 0

    # --- what happens to it ---

    def do(self, what: str, part: str, pid: int) -> None:
        self.deeds.append(f"{time.monotonic() - self.begun:6.1f} {what} {part} {pid}")
        print(self.deeds[-1], flush=True)  # noqa: T201  for whoever repeats it

    def kill(self, part: str, pid: int) -> None:
        now = time.monotonic()
        if part in GIVES_UP and now - self.killed.get(part, -LEAST_SECONDS) < LEAST_SECONDS:
            return
        self.killed[part] = now
        self.do("kill", part, pid)
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)

    def freeze(self, part: str, pid: int, seconds: float) -> threading.Timer:
        """Stop it for a while; the storm goes on meanwhile."""
        self.do(f"freeze for {seconds:.0f} s", part, pid)
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGSTOP)
        timer = threading.Timer(seconds, self.thaw, [pid])
        timer.start()
        return timer

    @staticmethod
    def thaw(pid: int) -> None:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)

    @contextmanager
    def users(self) -> Iterator[None]:
        """People who start processes and read lists all the time, and take no notice of errors."""
        over = threading.Event()

        def press() -> None:
            with httpx.Client(base_url=self.url, timeout=ANSWER_SECONDS) as api:
                while not over.wait(1):
                    began = time.monotonic()
                    with suppress(httpx.HTTPError):
                        api.post("/processes/make_thing", json=[{"product": "Thing"}, {"pause": 0.3}])
                        api.get("/processes/", params={"range": "0,10"})
                    self.slowest = max(self.slowest, time.monotonic() - began)

        threads = [threading.Thread(target=press) for _ in range(2)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            over.set()
            for thread in threads:
                thread.join()

    # --- what is left ---

    def rows(self, query: str, database: str = "orchestrator") -> list[tuple[Any, ...]]:
        with psycopg.connect(
            f"postgresql://postgres@/{database}?host={self.home / 'pg'}", autocommit=True, connect_timeout=10
        ) as connection:
            return connection.execute(query.encode()).fetchall()

    def has(self, query: str, database: str = "orchestrator") -> bool:
        with suppress(psycopg.Error):
            return bool(self.rows(query, database))
        return True

    def wait_for_the_end(self) -> None:
        """Wait for the end of all processes for as long as they make progress: a storm leaves more or fewer behind."""
        done: list[Any] = []
        since = time.monotonic()
        while self.has(UNFINISHED):
            with suppress(psycopg.Error):  # the storm may have killed it last
                if (now := self.rows(DONE)) != done:
                    done, since = now, time.monotonic()
            time.sleep(1)
            assert time.monotonic() - since < STUCK_SECONDS, f"no step was done in {STUCK_SECONDS:.0f} s"
        print(f"{time.monotonic() - self.begun:6.1f} {done[0][0] if done else 0} steps are done", flush=True)  # noqa: T201

    @contextmanager
    def explained(self) -> Iterator[None]:
        """What a failure of the block leaves unfinished, and what works on it, beside the failure."""
        try:
            yield
        except AssertionError:
            for database, query in WHY:
                print(query, *self.rows(query, database), sep="\n    ")  # noqa: T201
            print(self.command("orchestrator", "doctor").stdout)  # noqa: T201
            raise


@pytest.fixture
def stormy(tmp_path: Path) -> Iterator[Stormy]:
    shutil.copy(PROJECT / "dagster.yaml", tmp_path)
    (tmp_path / "workspace.yaml").write_text(WORKSPACE)
    (tmp_path / "things.py").write_text(THINGS)
    with fresh_home() as home:
        port = free_port()
        stormy = Stormy(home, tmp_path, port)
        with stormy.service("orchestrator", "up", "--no-examples", "--port", str(port)) as process:
            for ready in ("Ready: the daemon", "runs of things"):
                eventually(lambda ready=ready: process.poll() is not None or ready in stormy.said(), ready)
                assert process.poll() is None, stormy.said()
            stormy.up_pid = process.pid
            try:
                yield stormy
            finally:
                for pid in (pid for pids in stormy.parts().values() for pid in pids):
                    stormy.thaw(pid)
                print(stormy.said())  # noqa: T201  shown with a failure
        stormy.wait_until_left()


def each_in_turn(stormy: Stormy) -> None:
    """Kill and freeze one of each."""
    for part in ORDER:
        for hit in (stormy.kill, lambda part, pid: stormy.freeze(part, pid, 3)):
            if found := stormy.parts().get(part):
                hit(part, found[0])
                time.sleep(2)


def at_random(stormy: Stormy, chance: random.Random, until: float) -> None:
    while time.monotonic() < until:
        parts = eventually(stormy.parts, "any part")
        part = chance.choice(sorted(parts))
        pid = chance.choice(parts[part])
        if chance.random() < 0.6:
            stormy.kill(part, pid)
        else:
            stormy.freeze(part, pid, chance.uniform(1, 8))
        time.sleep(chance.uniform(0.5, 4))


def test_whatever_is_killed_or_frozen_everything_comes_to_its_end_once(stormy: Stormy) -> None:
    seed = int(os.environ.get("CHAOS_SEED") or random.SystemRandom().randrange(10**6))
    print(f"CHAOS_SEED={seed} repeats this storm.")  # noqa: T201
    chance = random.Random(seed)
    with stormy.users():
        time.sleep(5)
        until = time.monotonic() + STORM_SECONDS
        sleeper = stormy.freeze("worker", stormy.parts()["worker"][0], 75)
        each_in_turn(stormy)
        at_random(stormy, chance, until)
    sleeper.join()
    with stormy.explained():
        stormy.wait_for_the_end()
        check(stormy)


DONE = "SELECT count(*), max(finished_at) FROM process_steps"
UNFINISHED = "SELECT last_status FROM processes WHERE last_status NOT IN ('completed', 'failed') AND NOT is_task"
COLUMNS = "last_status, last_step, run_id, recoveries"
SESSION = "state, wait_event_type, wait_event, xact_start, left(query, 90)"
WHY = (
    ("orchestrator", f"SELECT process_id, {COLUMNS} FROM processes WHERE NOT is_task AND last_status <> 'completed'"),
    ("dagster", "SELECT * FROM orchestrator_dispatch WHERE state <> 'done'"),
    ("dagster", "SELECT * FROM orchestrator_workers"),
    ("dagster", "SELECT run_id, status, create_timestamp, update_timestamp FROM runs ORDER BY id DESC LIMIT 12"),
    ("dagster", "SELECT t.status, t.timestamp, left(tick_body, 600) FROM job_ticks t ORDER BY id DESC LIMIT 6"),
    ("dagster", f"SELECT pid, {SESSION} FROM pg_stat_activity WHERE state <> 'idle'"),
)
"""What is read when a storm leaves something behind."""
AGAIN = """SELECT process_id, step_key, count(*) FROM process_steps WHERE status IN ('success', 'complete')
GROUP BY process_id, step_key HAVING count(*) > 1"""
LAST_SWEEP = """SELECT extract(epoch FROM now()) - extract(epoch FROM max(t.timestamp AT TIME ZONE 'UTC'))
FROM job_ticks t JOIN instigators i ON i.selector_id = t.selector_id
WHERE i.instigator_body LIKE '%sweeper%' AND t.status IN ('SKIPPED', 'SUCCESS')"""


def check(stormy: Stormy) -> None:
    failed = stormy.rows("SELECT process_id, last_step, failed_reason FROM processes WHERE last_status = 'failed'")
    assert not failed, failed
    assert len(stormy.rows("SELECT FROM processes WHERE last_status = 'completed'")) > 10
    assert not stormy.rows(AGAIN)
    values = stormy.rows("SELECT values FROM subscription_instances")
    assert {tuple(sorted(one.items())) for (one,) in values} == {(("left", STEPS), ("right", STEPS))}
    assert not stormy.rows("SELECT FROM subscriptions WHERE locked_by IS NOT NULL OR NOT insync")
    claimed = "SELECT FROM orchestrator_dispatch WHERE state <> 'done'"
    eventually(lambda: not stormy.has(claimed, "dagster"), "the end of all runs")
    eventually(lambda: stormy.rows(LAST_SWEEP, "dagster")[0][0] < YOUNG_SECONDS, "a young sweep")
    assert stormy.slowest < 2 * ANSWER_SECONDS


def test_a_hung_database_is_503_in_one_sentence_and_all_goes_on_when_it_does(stormy: Stormy) -> None:
    with httpx.Client(base_url=stormy.url, timeout=ANSWER_SECONDS) as api:
        assert api.get("/processes/").status_code == 200
        started = api.post("/processes/make_thing", json=[{"product": "Thing"}, {"pause": 1}]).json()["id"]
        parts = stormy.parts()
        hung = [*parts["postmaster"], *parts["backend"]]
        for pid in hung:
            os.kill(pid, signal.SIGSTOP)
        try:
            for path in ("/processes/", "/subscriptions/", "/health/ready"):
                answer = api.get(path)
                assert answer.status_code == 503, answer.text
                assert answer.json()["detail"].endswith("."), answer.text
            refused = stormy.command("orchestrator", "process", "list")
            assert (refused.returncode, "Traceback" in refused.stderr) == (1, False), refused.stderr
        finally:
            for pid in hung:
                stormy.thaw(pid)
        eventually(lambda: api.get("/processes/").status_code == 200, "an answer")

        def is_completed() -> bool:
            return bool(api.get(f"/processes/{started}").json().get("last_status") == "completed")

        eventually(is_completed, "the end of the process")
