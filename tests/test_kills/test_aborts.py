"""Aborts of a step that writes to a device: nobody else writes to it before that has ended, whatever dies meanwhile."""

import signal
import sys
import time
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from uuid import UUID

import pytest

from tests.test_kills.scene import Scene, kill, scene

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("kills"), pytest.mark.timeout(600)]
GRACE_SECONDS = 3


class Bench(Scene):
    """A scene with boxes on a bench."""

    def box(self) -> str:
        """A new subscription."""
        query = "SELECT subscription_id FROM processes_subscriptions WHERE process_id = %s"
        return str(self.rows(query, self.ask("create"))[0][0])

    def at_work(self, box: str, manner: str) -> str:
        """A process of a worker that writes to the device."""
        process_id = str(UUID(self.ask("start", box, manner, "launch")))
        self.wait_until_it_writes(process_id)
        return process_id

    def wait_until_it_writes(self, process_id: str) -> None:
        self.wait_for(lambda: process_id in self.written())

    def written(self) -> list[str]:
        log = self.folder / "device.log"
        return log.read_text().split() if log.exists() else []

    def row(self, process_id: str) -> tuple[str, str]:
        query = "SELECT last_status, coalesce(failed_reason, '') FROM processes WHERE process_id = %s"
        return self.rows(query, process_id)[0]  # type: ignore[return-value]

    def wait_until_aborted(self, process_id: str) -> None:
        self.wait_for(lambda: self.status(process_id) == "aborted", 60)

    def worker_of(self, process_id: str) -> int:
        query = "SELECT pid FROM orchestrator_workers JOIN orchestrator_dispatch USING (worker) WHERE run_id = %s"
        return int(self.rows_of_dagster(query, process_id)[0][0])

    def assert_free_and_one_after_the_other(self, box: str, process_id: str) -> None:
        """Another process has the device now, and the aborted one wrote nothing after it had begun."""
        ((locked_by,),) = self.rows("SELECT locked_by FROM subscriptions WHERE subscription_id = %s", box)
        assert locked_by is None
        other = str(UUID(self.ask("start", box, "quick", "launch")))
        self.wait_until_over([other])
        time.sleep(0.5)
        written = (one for one in self.written() if one in (process_id, other))
        assert [one for one, _ in groupby(written)] == [process_id, other]


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    with scene(Path(__file__).with_name("device.py")) as found:
        bench = Bench(found.home, found.calls, Path(__file__).with_name("device.py"))
        bench.environment["ABORT_GRACE_SECONDS"] = str(GRACE_SECONDS)
        yield bench


def test_a_subscription_stays_locked_while_the_aborted_step_cleans_up(bench: Bench) -> None:
    """And is unlocked by the worker itself, at the end of the step: nobody sweeps here."""
    box = bench.box()
    process_id = bench.at_work(box, "careful")
    answer, refusal = bench.ask("abort_and_start", process_id, box)
    assert f"Locked until the step has ended: subscription {box}" in answer
    assert f"(process {process_id}), which is being aborted. The step 'write' has until" in refusal
    bench.wait_until_aborted(process_id)
    assert bench.row(process_id) == ("aborted", "")
    bench.assert_free_and_one_after_the_other(box, process_id)


def test_a_step_that_does_not_end_has_its_worker_killed(bench: Bench) -> None:
    box = bench.box()
    process_id, other = bench.at_work(box, "deaf"), bench.at_work(bench.box(), "deaf")
    worker, bystander = bench.worker_of(process_id), bench.worker_of(other)
    with bench.tended():
        bench.ask("abort", process_id)
        bench.wait_until_aborted(process_id)
        assert f"did not end within {GRACE_SECONDS} seconds of the abort" in bench.row(process_id)[1]
        assert worker not in bench.programs()
        assert bystander in bench.programs()
        bench.assert_free_and_one_after_the_other(box, process_id)
        bench.ask("abort", other)
        bench.wait_until_aborted(other)
    query = "SELECT finished_at, error ->> 'message' FROM process_steps WHERE process_id = %s AND step_key = %s"
    ((began, _),) = bench.rows(query, process_id, "__abort__")
    ((ended, message),) = bench.rows(query, process_id, "__killed__")
    assert "so its process was killed" in message
    assert (ended - began).total_seconds() > GRACE_SECONDS - 0.5


def test_a_worker_that_dies_within_the_grace_period_ends_the_abort(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(bench.environment, "ABORT_GRACE_SECONDS", "100")
    box = bench.box()
    process_id = bench.at_work(box, "deaf")
    with bench.tended():
        bench.ask("abort", process_id)
        kill(bench.worker_of(process_id))
        bench.wait_until_aborted(process_id)
        assert bench.row(process_id) == ("aborted", "")
        bench.assert_free_and_one_after_the_other(box, process_id)


def test_an_abort_whose_door_died_at_once_is_carried_out(bench: Bench) -> None:
    box = bench.box()
    process_id = bench.at_work(box, "deaf")
    bench.ask("request", process_id)
    assert bench.status(process_id) == "aborting"
    with bench.tended():
        bench.wait_until_aborted(process_id)
        assert "killed" in bench.row(process_id)[1]
        bench.assert_free_and_one_after_the_other(box, process_id)


def test_a_death_of_everything_within_the_grace_period_loses_nothing(bench: Bench) -> None:
    box = bench.box()
    process_id = bench.at_work(box, "deaf")
    bench.ask("abort", process_id)
    bench.kill_all()
    with bench.tended():
        bench.wait_until_aborted(process_id)
        bench.assert_free_and_one_after_the_other(box, process_id)


def test_a_run_in_the_shell_ends_and_its_script_continues(bench: Bench) -> None:
    box = bench.box()
    process_id = str(UUID(bench.ask("start", box, "deaf", "leave")))
    script = f"{sys.executable} {bench.module}.py execute {process_id}; echo $? > ended; exec sleep 250"
    shell = bench.begin("sh", "-c", script)
    try:
        bench.wait_until_it_writes(process_id)
        bench.ask("abort", process_id)
        with bench.tended():
            bench.wait_until_aborted(process_id)
            assert (bench.folder / "ended").read_text().strip() == "1"
            assert shell.poll() is None
            assert "so its process was killed" in bench.row(process_id)[1]
            bench.assert_free_and_one_after_the_other(box, process_id)
    finally:
        shell.send_signal(signal.SIGKILL)
        shell.wait()
