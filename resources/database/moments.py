"""Reads every moment that PostgreSQL keeps: one that Python cannot express becomes its first or its last one.

PostgreSQL knows infinity, years before Christ and years up to 294276. A single one in a row would fail every list that
the row is in, and every sweep.
"""

from datetime import UTC, datetime
from typing import Any

import psycopg
from psycopg import adapters
from psycopg.abc import AdaptContext, Buffer
from psycopg.adapt import Loader
from psycopg.pq import Format

FIRST, LAST = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
OID = psycopg.postgres.types["timestamptz"].oid


class _Moments(Loader):
    """Asks psycopg's own loader first, which is fast."""

    def __init__(self, oid: int, context: AdaptContext | None = None) -> None:
        super().__init__(oid, context)
        own = adapters.get_loader(OID, self.format)
        assert own is not None, "psycopg reads this type"
        self._own = own(oid, context)

    def load(self, data: Buffer) -> datetime:
        try:
            found: datetime = self._own.load(data)
        except psycopg.DataError:
            return FIRST if self._is_early(bytes(data)) else LAST
        return found

    def _is_early(self, data: bytes) -> bool:
        return data.startswith(b"-") or data.endswith(b"BC")


class _BinaryMoments(_Moments):
    format = Format.BINARY

    def _is_early(self, data: bytes) -> bool:
        return data[0] > 0x7F  # a negative number of microseconds since 2000


def read_every_moment(connection: Any) -> None:
    """Let a connection of psycopg read every moment."""
    for loader in (_Moments, _BinaryMoments):
        connection.adapters.register_loader("timestamptz", loader)
