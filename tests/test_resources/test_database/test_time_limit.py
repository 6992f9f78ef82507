"""Time limits: who waits and who works agree on one end."""

import threading

import pytest
import sqlalchemy as sa

from resources.database.time_limit import TimeLimit, decide, in_time, limited_by
from resources.errors import FormTimedOut


def test_what_was_given_up_is_not_committed():
    limit = TimeLimit(60)
    assert limit.expire()
    with limited_by(limit), pytest.raises(FormTimedOut):
        decide()


def test_what_is_committed_is_not_given_up():
    limit = TimeLimit(60)
    with limited_by(limit):
        decide()
        decide()
    assert not limit.expire()
    limit.check()


def test_of_two_at_once_one_wins():
    for _ in range(200):
        limit, won = TimeLimit(60), []
        barrier = threading.Barrier(2)

        def work(limit=limit, won=won, barrier=barrier):
            barrier.wait()
            try:
                limit.decide()
            except FormTimedOut:
                return
            won.append("decided")

        worker = threading.Thread(target=work)
        worker.start()
        barrier.wait()
        if limit.expire():
            won.append("expired")
        worker.join()
        assert len(won) == 1


def test_without_a_limit_everything_may_be_committed():
    decide()


def test_the_server_ends_a_statement_at_the_limit(database):
    with limited_by(TimeLimit(0.2)), pytest.raises(FormTimedOut, match=r"longer than 0\.2 s"):  # noqa: SIM117
        with database.transaction(read_only=True) as session:
            session.execute(sa.text("SELECT pg_sleep(20)"))


def test_after_the_limit_no_statement_is_sent(database, statements):
    limit = TimeLimit(60)
    with limited_by(limit), database.transaction(read_only=True) as session:
        session.execute(sa.text("SELECT 1"))
        limit.expire()
        statements.clear()
        with pytest.raises(FormTimedOut):
            session.execute(sa.text("SELECT 1"))
    assert statements.count == 0


def test_the_limit_stays_behind_with_its_transaction(database):
    with limited_by(TimeLimit(60)), database.transaction() as session:
        assert session.scalar(sa.text("SHOW statement_timeout")) != "0"
    with database.transaction() as session:
        assert session.scalar(sa.text("SHOW statement_timeout")) == "0"


def test_work_that_hangs_is_given_up():
    end = threading.Event()
    with pytest.raises(FormTimedOut, match=r"longer than 0\.1 s"):
        in_time(0.1, lambda: end.wait(100))
    end.set()


def test_work_in_time_gives_its_result_or_its_own_error():
    assert in_time(60, lambda: 7) == 7
    with pytest.raises(TimeoutError, match="its own"):
        in_time(60, lambda: (_ for _ in ()).throw(TimeoutError("its own")))
