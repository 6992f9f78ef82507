"""A process that answers people waits for no lock for ever."""

import pytest
import sqlalchemy as sa

from resources.database import session as databases
from resources.database.session import SubscriptionDatabase, limit_statements
from resources.errors import DatabaseBusy


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
