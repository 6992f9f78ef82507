"""Customers in a table of one's own, beside the orchestrator's tables and without touching them."""

from collections.abc import Collection, Sequence

import sqlalchemy as sa

from resources import Customer, current_session

METADATA = sa.MetaData()
CUSTOMERS = sa.Table(
    "acme_customers",
    METADATA,
    sa.Column("customer_id", sa.String(255), primary_key=True),
    sa.Column("fullname", sa.String(255), nullable=False),
    sa.Column("shortcode", sa.String(50), nullable=False, unique=True),
)


class AcmeCustomers:
    """Both methods are called in a transaction of the orchestrator's database."""

    def named(self, customer_ids: Collection[str]) -> Sequence[Customer]:
        """Those of these ids, in one statement."""
        return self._found(CUSTOMERS.c.customer_id.in_(customer_ids))

    def listed(self) -> Sequence[Customer]:
        """All, by name."""
        return self._found(sa.true())

    def _found(self, condition: sa.ColumnElement[bool]) -> list[Customer]:
        query = sa.select(CUSTOMERS).where(condition).order_by(CUSTOMERS.c.fullname)
        return [Customer(*row) for row in current_session().execute(query)]
