"""An index serves the order of searches, so that a page is as fast however many rows there are."""

from datetime import UTC, datetime
from uuid import uuid4

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import Session

from resources.searches.hits import Search, _Place
from tests.test_resources.test_domain.domain import active_device


@pytest.mark.parametrize(
    ("order", "index"),
    [(None, "ix_subscriptions_created_at"), (("subscription.start_date", "desc"), "ix_subscriptions_start_date")],
)
def test_a_page_is_read_in_the_order_of_an_index(session: Session, order: tuple[str, str] | None, index: str) -> None:
    session.execute(sa.text("TRUNCATE subscriptions CASCADE"))
    active_device()
    session.execute(sa.text("SET LOCAL enable_seqscan = off; SET LOCAL enable_sort = off"))
    search = Search.of("subscriptions", order=order)
    place = _Place(10, 10, datetime(2024, 1, 1, tzinfo=UTC), uuid4())
    for where in (search.where(None), sa.and_(search.where(None), place.behind(search))):
        statement = search.statement(where).limit(11)
        text = statement.compile(dialect=postgresql.dialect(), compile_kwargs={"literal_binds": True})  # type: ignore[no-untyped-call]
        plan = "\n".join(session.connection().exec_driver_sql(f"EXPLAIN {text}".replace("%", "%%")).scalars())
        assert index in plan, plan
        assert "Sort" not in plan, plan
