"""Statements written by hand, whose parameters have types: so NULL and JSON arrive as what they are."""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY

UUIDS = ARRAY(sa.Uuid)


def sql(statement: str, **types: Any) -> sa.TextClause:
    """A statement with the types of its parameters by their names."""
    return sa.text(statement).bindparams(*(sa.bindparam(name, type_=type_) for name, type_ in types.items()))
