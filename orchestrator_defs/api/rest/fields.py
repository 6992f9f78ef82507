"""Field types of requests and answers: moments as clients read them, text that the database can store."""

from datetime import datetime
from typing import Annotated, Any, TypeAlias

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, WithJsonSchema

from resources.database.storable import fault_of, fault_of_shape


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
    if (fault := fault_of(text)) is not None:
        raise ValueError(f"text cannot hold {fault}")
    return text


Text: TypeAlias = Annotated[str, AfterValidator(_keepable)]
"""Text that the database can store."""


def _shaped(value: Any) -> Any:
    if (fault := fault_of_shape(value)) is not None:
        raise ValueError(fault)
    return value


JsonObject: TypeAlias = Annotated[dict[str, Any], BeforeValidator(_shaped)]
"""Any JSON object that recursive code can work on."""

Description: TypeAlias = Annotated[Text, Field(min_length=1, max_length=2000, examples=["A router of the core"])]
