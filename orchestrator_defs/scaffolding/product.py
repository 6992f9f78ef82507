"""Describes a product as data, from which its files are written."""

import re
from dataclasses import dataclass

from resources.errors import OrchestratorError

NAME = re.compile(r"[A-Za-z][A-Za-z0-9]*([ _-][A-Za-z0-9]+)*")
LONGEST = 25
"""Characters of a name: longer ones make code that is hard to read."""


class ScaffoldingError(OrchestratorError):
    """What is asked for cannot be written; the message says what can."""


@dataclass(frozen=True)
class ProductField:
    """A value that a customer orders.

    `type` is a Python type, `limits` its pydantic constraints, `unit` what follows it in a description; `example` and
    `other_example` are two values for run configs and tests. `is_changeable`: the modify workflow may change it.
    """

    name: str
    type: str
    limits: str
    description: str
    example: str | int
    other_example: str | int
    unit: str = ""
    is_changeable: bool = False

    @property
    def class_name(self) -> str:
        """The name in the names of types."""
        return _class_name(self.name)


SITE = ProductField("site", "str", "min_length=1, max_length=100", "where it ends", "Utrecht", "Amsterdam")
SPEED = ProductField("speed", "int", "gt=0", "in Mbit/s", 1000, 2500, unit=" Mbit/s", is_changeable=True)


@dataclass(frozen=True)
class ProductSpec:
    """A product with one block. Raises ScaffoldingError for a name of which no Python names can be made."""

    name: str
    description: str = "a connection at a customer's site, with a speed"
    fields: tuple[ProductField, ...] = (SITE, SPEED)

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.name) or len(self.name) > LONGEST:
            raise ScaffoldingError(
                f"The product's name is {self.name!r}; it is words of ASCII letters and digits, starting with a letter,"
                f" of at most {LONGEST} characters, such as 'Internet access'."
            )

    @property
    def module(self) -> str:
        """The name of its modules, of its block in the subscription, and in the names of its workflows."""
        return re.sub(r"[ -]", "_", self.name).lower()

    @property
    def class_name(self) -> str:
        """The name of its classes, of its block and of its type."""
        return _class_name(self.name)

    @property
    def tag(self) -> str:
        """Its tag in the catalogue."""
        return self.module.replace("_", "").upper()

    @property
    def noun(self) -> str:
        """Its name inside a sentence."""
        return " ".join(word if word[1:] != word[1:].lower() else word.lower() for word in self.name.split(" "))

    @property
    def changeable(self) -> tuple[ProductField, ...]:
        """The fields that the modify workflow may change."""
        return tuple(field for field in self.fields if field.is_changeable)


def _class_name(name: str) -> str:
    return "".join(word[0].upper() + word[1:] for word in re.split(r"[ _-]", name))
