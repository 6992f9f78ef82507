"""Ten thousand processes that wait: nothing is held for them, and one of them continues as if it were alone."""

import statistics
import threading
import time

import pytest
from sqlalchemy import text

from ops.steps.forms import SubmitFormPage
from ops.steps.step import begin, step
from ops.waiting.wait_steps import inputstep
from orchestrator_defs.jobs.decorators import task
from resources.database.session import statement_counter
from resources.types import Assignee, ProcessStatus

COPIES = """
WITH origin AS (SELECT * FROM processes WHERE process_id = :origin),
many AS (SELECT gen_random_uuid() AS id FROM generate_series(1, :count)),
made AS (
    INSERT INTO processes (process_id, workflow_id, is_task, last_status, last_step, assignee, state, step_keys,
                           created_by, run_id)
    SELECT id, workflow_id, is_task, last_status, last_step, assignee, state, step_keys, created_by, id::text
    FROM many, origin RETURNING process_id
),
lines AS (
    INSERT INTO process_steps (process_id, step_key, position, name, status, "set", removed, run_id, started_at,
                               finished_at)
    SELECT made.process_id, step_key, position, name, status, "set", removed, made.process_id::text, started_at,
           finished_at
    FROM made, process_steps WHERE process_steps.process_id = :origin RETURNING process_id
)
INSERT INTO process_waits (process_id, step_key, kind)
SELECT made.process_id, step_key, kind FROM made, process_waits WHERE process_waits.process_id = :origin
"""


class Page(SubmitFormPage):
    """What is asked."""

    name: str


@inputstep("Ask", Assignee.NOC)
def question():
    page = yield Page
    return {"name": page.name}


@step("Go on")
def go_on(): ...


@task("Wait for somebody")
def wait_for_somebody():
    return begin >> question >> go_on


@pytest.mark.slow
def test_one_of_ten_thousand_goes_on_as_if_it_were_alone(testbed_of):
    """The same statements, and no thread, connection or run for those that wait."""
    bed = testbed_of([wait_for_somebody])
    engine = bed.database.engine

    def answer_one():
        run = bed.run("wait_for_somebody", {})
        with statement_counter(engine) as counted:
            began = time.perf_counter()
            run.answer({"name": "x"}).assert_completed()
            took = time.perf_counter() - began
        return len(counted.statements), took

    answer_one()
    few = [answer_one() for _ in range(5)]
    origin = bed.run("wait_for_somebody", {})
    with engine.begin() as connection:
        connection.execute(text(COPIES), {"origin": origin.process_id, "count": 10_000})
        connection.execute(text("ANALYZE"))
    threads, connections = threading.active_count(), engine.pool.checkedout()
    many = [answer_one() for _ in range(5)]
    with engine.connect() as connection:
        waiting = connection.scalar(text("SELECT count(*) FROM processes WHERE last_status = 'suspended'"))
    took = [statistics.median(seconds for _, seconds in each) * 1000 for each in (few, many)]
    print(f"answer and completion: {took[0]:.0f} ms with a few waiting, {took[1]:.0f} ms with {waiting}")  # noqa: T201
    assert waiting == 10_001
    assert {count for count, _ in many} == {count for count, _ in few}
    assert (threading.active_count(), engine.pool.checkedout()) == (threads, connections)
    assert bed.processes.answers.wake() == []
    assert origin.answer({"name": "x"}).status is ProcessStatus.COMPLETED
