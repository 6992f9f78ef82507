"""Moments that PostgreSQL keeps and Python cannot express are read all the same."""

from datetime import UTC, datetime

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from resources.database.moments import FIRST, LAST
from resources.errors import NotStorable

MOMENTS = {
    "infinity": LAST,
    "-infinity": FIRST,
    "294276-12-31 23:59:59+00": LAST,
    "10000-01-01 00:00:00+00": LAST,
    "0044-03-15 12:00:00+00 BC": FIRST,
    "4713-01-01 00:00:00+00 BC": FIRST,
    "2026-11-30 12:00:00+00": datetime(2026, 11, 30, 12, tzinfo=UTC),
}


@pytest.mark.parametrize(("text", "moment"), MOMENTS.items())
def test_a_moment_is_read(session: Session, text: str, moment: datetime) -> None:
    read = sa.select(sa.cast(sa.literal(text), sa.TIMESTAMP(timezone=True)))
    assert session.scalar(read) == moment
    cursor = session.connection().connection.driver_connection.cursor(binary=True)  # type: ignore[union-attr]
    assert cursor.execute("SELECT %s::text::timestamptz", [text]).fetchone() == (moment,)


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT '99999999999'::int",
        "SELECT 2147483647 + 1",
        "SELECT '999999-01-01'::timestamptz",
        "SELECT now() + '200000 years'::interval + '200000 years'::interval",
        "SELECT '\"a\"'::jsonb || '{\"b\": NaN}'::jsonb",
        "CREATE TEMPORARY TABLE t (a varchar(2)); INSERT INTO t VALUES ('abc')",
        "SELECT pg_advisory_lock(repeat('9', 19)::bigint)",
    ],
)
def test_what_is_beyond_a_type_is_refused_in_one_sentence(session: Session, statement: str) -> None:
    with pytest.raises(NotStorable, match=r"^A (value is beyond|number is NaN).*\.$"):
        session.connection().exec_driver_sql(statement)


def test_a_text_that_is_too_long_for_an_index_is_refused_in_one_sentence(session: Session) -> None:
    long = "SELECT string_agg(md5(number::text), '') FROM generate_series(1, 2000) AS number"
    session.connection().exec_driver_sql("CREATE TEMPORARY TABLE texts (text text PRIMARY KEY)")
    with pytest.raises(NotStorable, match="beyond what PostgreSQL can store"):
        session.connection().exec_driver_sql(f"INSERT INTO texts {long}")
