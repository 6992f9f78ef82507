"""A process that answers people waits for no lock for ever."""

import time

import pytest
import sqlalchemy as sa

from resources.database import session as databases
from resources.database.session import SubscriptionDatabase, limit_statements, lock_waits_limited
from resources.errors import DatabaseBusy, DatabaseUnreachable


def test_a_statement_that_waits_for_a_lock_gives_up(
    database: SubscriptionDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(databases, "_longest_statement", None)
    with database.engine.connect() as holder:
        holder.execute(sa.text("LOCK TABLE processes"))
        holder.detach()  # the others are closed, this one stays
        database.dispose()
        limit_statements(0.2)
        with database.transaction() as session, pytest.raises(DatabaseBusy, match="rows are locked"):
            session.execute(sa.text("SELECT count(*) FROM processes"))
    database.dispose()


def test_a_limited_wait_for_a_lock_gives_up_and_an_unlimited_one_does_not(database: SubscriptionDatabase) -> None:
    with database.engine.connect() as holder:
        holder.execute(sa.text("LOCK TABLE processes"))
        with lock_waits_limited(0.1), database.transaction() as session, pytest.raises(DatabaseBusy):
            session.execute(sa.text("SELECT count(*) FROM processes"))
        with database.transaction() as session:
            assert session.scalar(sa.text("SHOW lock_timeout")) == "0"


def test_a_limited_transaction_ends_when_its_process_freezes(
    database: SubscriptionDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(databases, "LONGEST_IDLE_SECONDS", 0.1)
    with pytest.raises(DatabaseUnreachable), lock_waits_limited(1), database.transaction() as session:
        session.execute(sa.text("SELECT 1"))
        time.sleep(0.5)
        session.execute(sa.text("SELECT 1"))
