"""Schedules fire: each time once, in one commit, whatever is refused or killed."""

import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid5

import pytest
from dagster import build_sensor_context
from sqlalchemy import event, text

from ops import SubmitFormPage, begin, step
from ops.starting import firing
from ops.starting.firing import fire
from ops.starting.permission import least_roles
from orchestrator_defs import task
from orchestrator_defs.processes.scheduling import Scheduling
from orchestrator_defs.sensors.schedule_sensor import schedule_sensor
from resources import clock
from resources.database.session import StatementCount
from resources.errors import OrchestratorError
from resources.processes import schedules
from resources.processes.old_history import delete_history
from resources.processes.schedules import Firing, Schedule
from resources.settings import settings
from resources.users import Role, User
from tests.engine import Engine
from tests.ticks import daemon_context
from tests.toy_network import DEVICE, World, device_workflows
from tests.waiting import eventually

ADA = User("ada", roles=[Role.ENGINEER], claims={"group": "noc"})
HOUR = timedelta(hours=1)
Later = Callable[[timedelta], AbstractContextManager[None]]


class Colour(SubmitFormPage):
    colour: str


@step("Do it")
def do_it() -> None: ...


@task("Rest")
def rest() -> Any:
    return begin >> do_it


@task("Paint", Colour)
def paint() -> Any:
    return begin >> do_it


@task("Night shift", authorize_callback=lambda context: context.user.claims.get("group") == "noc")
def night_shift() -> Any:
    return begin >> do_it


def broken_form() -> Any:
    raise ZeroDivisionError("an unlucky form")
    yield Colour


@pytest.fixture
def engine(engine_of: Callable[..., Engine]) -> Engine:
    return engine_of(rest, paint, night_shift, *device_workflows(World()), products=[DEVICE])


def made(engine: Engine, workflow: str = "rest", inputs: Any = (), *, user: User = ADA, **changes: Any) -> UUID:
    """An hourly schedule."""
    asked: dict[str, Any] = {"name": None, "trigger": "interval", "trigger_kwargs": {"hours": 1}, **changes}
    scheduling = Scheduling(engine.service)
    found = scheduling.create(workflow_id=None, workflow_name=workflow, inputs=list(inputs), user=user, **asked)
    return found.schedule_id


def tick(engine: Engine) -> tuple[str, list[Any]]:
    """A tick of the daemon: its message and the runs that it requests."""
    sensor = schedule_sensor(engine.orchestrator, engine.orchestrator.jobs)
    found = sensor.evaluate_tick(daemon_context(engine.instance, sensor.name))
    return found.skip_message or "", found.run_requests or []


def schedule(engine: Engine, schedule_id: UUID) -> Schedule:
    with engine.database.transaction(read_only=True):
        return schedules.get_schedule(schedule_id)


def last(engine: Engine, schedule_id: UUID) -> Firing:
    found = schedule(engine, schedule_id).last_run
    assert found is not None
    return found


def all_rows(engine: Engine) -> list[Any]:
    tables = ("schedules", "firings", "processes", "process_steps")
    with engine.database.transaction(read_only=True) as session:
        return [session.execute(text(f"SELECT * FROM {one}")).all() for one in tables]


# --- a time that comes ---


def test_due_schedule_starts_its_process_with_its_inputs(engine: Engine, later: Later) -> None:
    schedule_id = made(engine, "paint", [{"colour": "red"}])
    due_at = schedule(engine, schedule_id).next_run_at
    with later(HOUR + timedelta(seconds=1)):
        _, (request,) = tick(engine)
    found = last(engine, schedule_id)
    process = engine.process(str(found.process_id))
    assert due_at is not None
    assert found.process_id == uuid5(schedule_id, due_at.isoformat())
    assert (found.due_at, found.refusal) == (due_at, None)
    assert (process.last_status, process.state["colour"], process.created_by) == ("created", "red", "ada")
    assert (request.job_name, request.run_config) == ("paint", {"process": str(found.process_id)})
    assert schedule(engine, schedule_id).next_run_at == due_at + HOUR


def test_schedule_that_has_fired_waits_for_its_next_time(engine: Engine, later: Later) -> None:
    made(engine)
    with later(HOUR + timedelta(seconds=1)):
        assert len(tick(engine)[1]) == 1
        assert tick(engine) == ("No schedule is due.", [])
    assert engine.count_processes() == 1


def test_once_is_once(engine: Engine, later: Later) -> None:
    when = {"run_date": (clock.now() + HOUR).isoformat()}
    schedule_id = made(engine, trigger="date", trigger_kwargs=when)
    for hours in (1, 2, 3):
        with later(hours * HOUR + timedelta(seconds=1)):
            tick(engine)
    assert (engine.count_processes(), schedule(engine, schedule_id).next_run_at) == (1, None)


def test_missed_times_fire_by_the_schedules_rule(engine: Engine, later: Later) -> None:
    by_rule = {rule: made(engine, missed=rule) for rule in ("all", "last", "none")}
    with later(4.5 * HOUR):
        tick(engine)
        with engine.database.transaction(read_only=True):
            found = {
                rule: [(one.left_out, one.process_id is not None) for one in schedules.firings_of(of, limit=9)]
                for rule, of in by_rule.items()
            }
    assert found == {"all": [(0, True)] * 4, "last": [(3, True)], "none": [(3, False)]}


def test_tick_says_in_its_cursor_how_many_have_started(engine: Engine, later: Later) -> None:
    made(engine, "paint", [{"colour": "red"}])
    execute(engine, "UPDATE schedules SET inputs = '[{}]'")
    made(engine)
    sensor = schedule_sensor(engine.orchestrator, engine.orchestrator.jobs)
    with later(HOUR + timedelta(seconds=1)):
        found = sensor.evaluate_tick(daemon_context(engine.instance))
    assert str(found.cursor).endswith(": 2 due times fired, of which 1 started a process.")


def test_tick_with_nothing_due_asks_once(engine: Engine, statements: StatementCount) -> None:
    made(engine)
    tick(engine)
    statements.clear()
    tick(engine)
    assert len([one for one in statements.statements if "set_config" not in one]) == 1


def test_schedule_with_many_missed_times_does_not_delay_the_others(engine: Engine, later: Later) -> None:
    slow = made(engine, trigger_kwargs={"minutes": 1}, missed="all")
    quick = made(engine)
    with later(HOUR + timedelta(seconds=1)):
        tick(engine)
        with engine.database.transaction(read_only=True) as session:
            order = list(session.scalars(text("SELECT schedule_id FROM firings ORDER BY fired_at")))
    assert order.index(quick) <= 1
    assert order.count(slow) == 60


def test_a_subscription_that_is_named_by_the_beginning_of_its_id_is_kept_whole(engine: Engine) -> None:
    device = engine.of(engine.run("create_device", [{"product": DEVICE.name}, {"hostname": "ams1"}])).row
    subscription_id = device.state["subscription_id"]
    schedule_id = made(engine, "validate_device", [{"subscription_id": subscription_id[:6], "version": None}])
    assert schedule(engine, schedule_id).inputs == [{"subscription_id": subscription_id, "version": None}]


# --- one commit ---


def test_firing_process_and_next_time_are_one_commit(engine: Engine, later: Later) -> None:
    """Whatever statement fails, nothing is written, and the next tick fires the time."""
    schedule_id = made(engine)
    before = all_rows(engine)

    def fail(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if statement.startswith(broken):
            raise OSError("killed")

    with later(HOUR + timedelta(seconds=1)):
        for broken in ("INSERT INTO processes", "UPDATE schedules", "INSERT INTO firings"):
            event.listen(engine.database.engine, "before_cursor_execute", fail)
            with suppress(OSError):
                tick(engine)
            event.remove(engine.database.engine, "before_cursor_execute", fail)
            assert all_rows(engine) == before, broken
        tick(engine)
    assert last(engine, schedule_id).process_id is not None


def test_two_daemons_at_one_moment_fire_once(engine: Engine, later: Later) -> None:
    schedule_id = made(engine)
    together, fired = threading.Barrier(2), []
    seen, now = schedule(engine, schedule_id), clock.now() + HOUR

    def daemon() -> None:
        together.wait()
        workflow = engine.orchestrator.workflows["rest"]
        fired.append(fire(seen, workflow, engine.database, engine.service.form_resources, now))

    both = [threading.Thread(target=daemon) for _ in range(2)]
    for one in both:
        one.start()
    for one in both:
        one.join()
    assert (sorted(one is None for one in fired), engine.count_processes()) == ([False, True], 1)


def test_changed_schedule_does_not_fire_with_what_it_was(engine: Engine) -> None:
    schedule_id = made(engine, "paint", [{"colour": "red"}])
    seen = schedule(engine, schedule_id)
    Scheduling(engine.service).change(schedule_id, inputs=[{"colour": "blue"}], user=ADA)
    workflow = engine.orchestrator.workflows["paint"]
    assert fire(seen, workflow, engine.database, engine.service.form_resources, clock.now() + HOUR) is None


@pytest.mark.slow
def test_two_daemons_killed_at_random_lose_no_time_and_fire_none_twice(engine: Engine, later: Later) -> None:
    """25 times of eight schedules."""
    times = [clock.now().replace(microsecond=0) + timedelta(seconds=60 + number) for number in range(25)]
    second = {"seconds": 1, "start_date": times[0].isoformat(), "end_date": times[-1].isoformat()}
    ids = [made(engine, trigger_kwargs=second, missed="all") for _ in range(8)]
    with later(HOUR):
        kills = killed_at_random(lambda: tick(engine), lambda: count(engine, "firings"), until=200)
    with engine.database.transaction(read_only=True) as session:
        rows = session.execute(text("SELECT schedule_id, due_at, process_id FROM firings")).all()
        processes = session.scalars(text("SELECT process_id FROM processes")).all()
    assert sorted((one, at) for one, at, _ in rows) == sorted((one, at) for one in ids for at in times)
    assert sorted(process_id for *_, process_id in rows) == sorted(processes)
    assert kills > 5


def count(engine: Engine, table: str) -> int:
    with engine.database.transaction(read_only=True) as session:
        return int(session.scalar(text(f"SELECT count(*) FROM {table}")) or 0)


def killed_at_random(act: Callable[[], Any], done: Callable[[], int], *, until: int) -> int:
    """Let two processes act until so much is done; replace one of them, killed, after each bit. How many died."""

    def child() -> int:
        if process := os.fork():
            return process
        try:
            while True:
                act()
        finally:
            os._exit(1)

    chance, kills, children = random.Random(7), 0, [child(), child()]
    try:
        while (before := done()) < until:
            bit = min(before + chance.randint(1, 12), until)
            eventually(lambda bit=bit: done() >= bit)  # type: ignore[misc]
            time.sleep(chance.uniform(0, 0.03))
            victim = chance.randrange(2)
            os.kill(children[victim], signal.SIGKILL)
            os.waitpid(children[victim], 0)
            children[victim], kills = child(), kills + 1
    finally:
        for one in children:
            os.kill(one, signal.SIGKILL)
            os.waitpid(one, 0)
    return kills


# --- what is refused ---


def test_refused_start_is_kept_with_its_reason_and_the_schedule_goes_on(engine: Engine, later: Later) -> None:
    device = engine.of(engine.run("create_device", [{"product": DEVICE.name}, {"hostname": "ams1"}])).row
    inputs = [{"subscription_id": device.state["subscription_id"]}]
    schedule_id, other = made(engine, "terminate_device", inputs, missed="all"), made(engine)
    engine.run("terminate_device", inputs)
    with later(HOUR + timedelta(seconds=1)):
        message, requests = tick(engine)
    found = last(engine, schedule_id)
    assert found.process_id is None
    assert "terminated" in str(found.refusal)
    assert str(found.refusal) in message or requests
    assert last(engine, other).process_id is not None
    assert (schedule(engine, schedule_id).next_run_at or clock.now()) > clock.now() + HOUR


def test_inputs_that_the_form_no_longer_takes_are_a_refusal(engine: Engine, later: Later) -> None:
    schedule_id = made(engine, "paint", [{"colour": "red"}])
    execute(engine, "UPDATE schedules SET inputs = '[{}]'")
    with later(HOUR + timedelta(seconds=1)):
        tick(engine)
    assert "colour" in str(last(engine, schedule_id).refusal)


def test_form_that_breaks_is_a_refusal(engine_of: Callable[..., Engine], later: Later) -> None:
    engine = engine_of(task("Rest", broken_form)(rest_again), rest)
    schedule_id = made(engine)
    with engine.database.transaction() as session:
        session.execute(
            text("UPDATE schedules SET workflow_id = (SELECT workflow_id FROM workflows WHERE name = 'rest_again')")
        )
    with later(HOUR + timedelta(seconds=1)):
        tick(engine)
    assert last(engine, schedule_id).refusal == "ZeroDivisionError: an unlucky form"


def test_form_that_hangs_is_a_refusal(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    schedule_id, end = made(engine), threading.Event()
    seen, workflow = schedule(engine, schedule_id), engine.orchestrator.workflows["rest"]

    @contextmanager
    def hang(_: Any) -> Iterator[Any]:
        end.wait(100)
        yield {}

    monkeypatch.setattr(firing, "FORM_SECONDS", 0.1)
    found = fire(seen, workflow, engine.database, hang, clock.now() + HOUR)
    end.set()
    assert found is not None
    assert "The form took longer than 0.1 s" in str(found.refusal)


def rest_again() -> Any:
    return begin >> do_it


def test_workflow_that_the_code_no_longer_has_is_a_refusal(engine: Engine, later: Later) -> None:
    schedule_id = made(engine)
    del engine.orchestrator.workflows["rest"]
    with later(HOUR + timedelta(seconds=1)):
        tick(engine)
    assert "no workflow rest any more" in str(last(engine, schedule_id).refusal)


def test_what_is_due_in_a_pause_fires_after_it(engine: Engine, later: Later) -> None:
    schedule_id = made(engine)
    with later(HOUR + timedelta(seconds=1)):
        engine.service.engine.pause(user="a")
        assert "after the pause" in tick(engine)[0]
        assert schedule(engine, schedule_id).last_run is None
        engine.service.engine.release(user="a")
        tick(engine)
    assert last(engine, schedule_id).process_id is not None


def execute(engine: Engine, statement: str) -> None:
    with engine.database.transaction() as session:
        session.execute(text(statement))


@pytest.mark.parametrize("moment", ["-infinity", "0044-03-15 00:00:00+00 BC"])
def test_time_that_python_cannot_express_keeps_no_other_schedule(engine: Engine, moment: str, later: Later) -> None:
    made(engine)
    execute(engine, f"UPDATE schedules SET next_run_at = '{moment}'")
    other = made(engine)
    with later(HOUR + timedelta(seconds=1)):
        tick(engine)
    assert last(engine, other).process_id is not None


def test_a_time_that_has_fired_does_not_fire_again_though_a_clock_was_put_back(engine: Engine, later: Later) -> None:
    schedule_id = made(engine)
    due_at = schedule(engine, schedule_id).next_run_at
    assert due_at is not None
    with later(HOUR + timedelta(seconds=1)):
        tick(engine)
        execute(engine, f"UPDATE schedules SET next_run_at = '{due_at.isoformat()}'")
        said, _ = tick(engine)
    assert (engine.count_processes(), said) == (1, "No schedule is due.")
    assert schedule(engine, schedule_id).next_run_at == due_at + HOUR


# --- two locations in one database ---


def test_schedule_of_another_locations_workflow_is_left_to_its_sensor(engine: Engine, later: Later) -> None:
    schedule_id = made(engine)
    execute(engine, "UPDATE workflows SET owner = 'other' WHERE name = 'rest'")
    with later(HOUR + timedelta(seconds=1)):
        assert tick(engine) == ("No schedule is due.", [])
    assert schedule(engine, schedule_id).last_run is None


def test_engines_workflow_on_another_locations_subscription_is_left_to_its_sensor(engine: Engine, later: Later) -> None:
    device = engine.of(engine.run("create_device", [{"product": DEVICE.name}, {"hostname": "ams1"}])).row
    schedule_id = made(engine, "modify_note", [{"subscription_id": device.state["subscription_id"]}, {"note": "x"}])
    execute(engine, "UPDATE products SET owner = 'other'")
    with later(HOUR + timedelta(seconds=1)):
        assert tick(engine) == ("No schedule is due.", [])
    assert schedule(engine, schedule_id).last_run is None


# --- rights ---


def test_it_starts_with_the_roles_and_claims_of_who_made_it(engine: Engine, later: Later) -> None:
    schedule_id = made(engine, "night_shift")
    with later(HOUR + timedelta(seconds=1)), least_roles({"night_*": Role.ENGINEER}):
        tick(engine)
    assert last(engine, schedule_id).process_id is not None


def test_role_that_the_workflow_needs_since_refuses_it(engine: Engine, later: Later) -> None:
    schedule_id = made(engine, "night_shift")
    with later(HOUR + timedelta(seconds=1)), least_roles({"night_*": Role.ADMIN}):
        tick(engine)
    assert "needs the role admin" in str(last(engine, schedule_id).refusal)


@pytest.mark.parametrize(("days", "starts"), [(29, True), (31, False)])
def test_rights_that_nobody_has_confirmed_for_too_long_refuse_it(
    engine: Engine, later: Later, monkeypatch: pytest.MonkeyPatch, days: int, starts: bool
) -> None:
    monkeypatch.setenv("SCHEDULE_RIGHTS_DAYS", "30")
    settings.cache_clear()
    schedule_id = made(engine)
    with later(timedelta(days=days)):
        tick(engine)
        found = last(engine, schedule_id)
        Scheduling(engine.service).change(schedule_id, user=User("bob"))
        confirmed = schedule(engine, schedule_id)
    with later(timedelta(days=days, hours=2)):
        tick(engine)
    assert (found.process_id is not None) == starts
    assert starts or "starts as 'ada', whose roles were recorded on" in str(found.refusal)
    assert (confirmed.starts_as, confirmed.created_by) == ("bob", "ada")
    assert last(engine, schedule_id).process_id is not None
    monkeypatch.undo()
    settings.cache_clear()


def test_who_changes_a_schedule_answers_for_it(engine: Engine, later: Later) -> None:
    schedule_id = made(engine)
    Scheduling(engine.service).change(schedule_id, name="B", user=User("bob"))
    with later(HOUR + timedelta(seconds=1)):
        tick(engine)
    assert engine.process(str(last(engine, schedule_id).process_id)).created_by == "bob"


def test_schedule_from_before_roles_were_kept_may_start_what_everybody_may(engine: Engine, later: Later) -> None:
    everybodys, guarded = made(engine), made(engine, "night_shift")
    execute(engine, "UPDATE schedules SET made_as = NULL")
    with later(HOUR + timedelta(seconds=1)):
        tick(engine)
    assert last(engine, everybodys).process_id is not None
    assert "change it" in str(last(engine, guarded).refusal)


# --- previews, and what is removed ---


def test_preview_says_what_would_fire_and_writes_nothing(engine: Engine, later: Later) -> None:
    made(engine, name="Hourly rest")
    before = all_rows(engine)
    sensor = schedule_sensor(engine.orchestrator, engine.orchestrator.jobs)
    with later(HOUR + timedelta(seconds=1)):
        found = sensor.evaluate_tick(build_sensor_context(engine.instance, sensor_name=sensor.name))
    assert "would fire 'Hourly rest' (rest)" in str(found.skip_message)
    assert (found.run_requests, all_rows(engine)) == ([], before)


def test_old_firings_are_deleted_but_the_last_of_each_schedule(engine: Engine, later: Later) -> None:
    schedule_id, idle = made(engine, missed="all"), made(engine, trigger_kwargs={"hours": 3})
    with later(3 * HOUR + timedelta(seconds=1)):
        tick(engine)
        with engine.database.transaction():
            assert delete_history("firings", before=clock.now(), limit=9) == 2
            left = [len(schedules.firings_of(one, limit=9)) for one in (schedule_id, idle)]
    assert left == [1, 1]


def test_removed_schedule_takes_its_firings_along(engine: Engine, later: Later) -> None:
    schedule_id = made(engine)
    with later(HOUR + timedelta(seconds=1)):
        tick(engine)
    Scheduling(engine.service).remove(schedule_id, user=ADA)
    with engine.database.transaction(read_only=True), pytest.raises(OrchestratorError):
        schedules.get_schedule(schedule_id)
    assert all_rows(engine)[1] == []
