"""Field types of requests and answers: moments as clients read them, text that the database can store."""

import re
from datetime import datetime
from typing import Annotated, TypeAlias

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PlainSerializer, WithJsonSchema

SURROGATE = re.compile("[\ud800-\udfff]")


class Shape(BaseModel):
    """An answer that is made from the attributes of an object."""

    model_config = ConfigDict(from_attributes=True)


UnixTime: TypeAlias = Annotated[
    datetime,
    PlainSerializer(datetime.timestamp, return_type=float),
    WithJsonSchema({"type": "number", "format": "unix-timestamp", "description": "seconds since 1970, UTC"}),
]
"""A moment, sent as seconds since 1970."""


def _keepable(text: str) -> str:
    if "\0" in text:
        raise ValueError("text cannot hold a NUL character")
    if SURROGATE.search(text):
        raise ValueError("text cannot hold half of a surrogate pair")
    return text


Text: TypeAlias = Annotated[str, AfterValidator(_keepable)]
"""Text that the database can store."""

Description: TypeAlias = Annotated[Text, Field(min_length=1, max_length=2000, examples=["A router of the core"])]
