"""Statements written by hand with types for their parameters, so that NULL and JSON arrive correctly."""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY

UUIDS = ARRAY(sa.Uuid)


def sql(statement: str, **types: Any) -> sa.TextClause:
    """A statement, with the types of its parameters by name; blanks and ends of lines in it are one blank.

    So most are shorter than 4096 characters: the driver parses a longer one each time.
    """
    return sa.text(" ".join(statement.split())).bindparams(
        *(sa.bindparam(name, type_=type_) for name, type_ in types.items())
    )
