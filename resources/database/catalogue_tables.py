"""The table of what a change of the catalogue leaves to do, as a typed SQLAlchemy table."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import ForeignKey, String, func
from sqlalchemy.orm import Mapped, mapped_column

from resources.database.tables import Table


class BacklogTable(Table):
    """A subscription that the back-fill has yet to bring up to the models; `fault` says why it could not."""

    __tablename__ = "catalogue_backlog"

    subscription_id: Mapped[UUID] = mapped_column(
        ForeignKey("subscriptions.subscription_id", ondelete="CASCADE"), primary_key=True
    )
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    fault: Mapped[str | None] = mapped_column(String(2000))
