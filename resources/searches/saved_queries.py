"""Searches that people keep under a name, for themselves or for all."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from resources.database.session import current_session
from resources.database.tables import SavedQueryTable
from resources.errors import NotAuthorised, UnknownQuery
from resources.searches.hits import Search
from resources.users import Role, User

saved = SavedQueryTable


def save_query(name: str, kind: str, parameters: dict[str, Any], *, is_shared: bool, user: User) -> SavedQueryTable:
    """Keep a search; one of this user with the same name is replaced. The caller commits."""
    values = {"name": name, "kind": kind, "parameters": parameters, "is_shared": is_shared, "created_by": str(user)}
    given = insert(saved).values(**values)
    statement = given.on_conflict_do_update(index_elements=["created_by", "name"], set_=values).returning(saved)
    made: SavedQueryTable = current_session().scalars(statement, execution_options={"populate_existing": True}).one()
    return made


def list_queries(user: User, *, limit: int, offset: int = 0) -> tuple[list[SavedQueryTable], int]:
    """Those of this user and those that are shared, by name; and how many there are."""
    query = sa.select(saved).where(_visible(user)).order_by(saved.name, saved.query_id).limit(limit).offset(offset)
    total = current_session().scalar(sa.select(sa.func.count()).select_from(saved).where(_visible(user)))
    return list(current_session().scalars(query)), total or 0


def get_query(query_id: UUID, user: User) -> SavedQueryTable:
    """One that this user may see. Raises UnknownQuery."""
    found = current_session().scalar(sa.select(saved).where(saved.query_id == query_id, _visible(user)))
    if found is None:
        raise UnknownQuery(f"There is no saved query {query_id} that {user} may see.")
    return found


def search_of(kind: str, asked: Mapping[str, Any]) -> Search:
    """The search of parameters as they are kept. Raises InvalidQuery for a kind that cannot be searched."""
    order = asked.get("order_by")
    return Search.of(
        kind,
        text=asked.get("query") or "",
        filters=asked.get("filters"),
        order=(order["element"], order.get("direction", "asc")) if order else None,
        columns=list(dict.fromkeys(asked.get("response_columns", ()))),
        is_fuzzy=asked.get("retriever") == "fuzzy",
    )


def delete_query(query_id: UUID, user: User) -> None:
    """Delete one's own; an admin deletes any that is shared. Raises UnknownQuery, NotAuthorised. The caller commits."""
    found = get_query(query_id, user)
    if found.created_by != str(user) and not user.has_role(Role.ADMIN):
        raise NotAuthorised(
            f"The saved query {found.name!r} belongs to {found.created_by}; only they or an admin delete it."
        )
    current_session().delete(found)


def _visible(user: User) -> sa.ColumnElement[bool]:
    return sa.or_(saved.created_by == str(user), saved.is_shared)
