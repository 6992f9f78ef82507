"""Fields that the forms of several products have."""

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, TypeAlias

from pydantic import Field, GetCoreSchemaHandler
from pydantic_core import CoreSchema, PydanticCustomError, core_schema
from pydantic_forms.validators import Choice

from resources.errors import FormError

Description: TypeAlias = Annotated[str, Field(min_length=1, max_length=200)]
"""A line of text that people, NetBox and devices show."""

SHOWN_CHOICES = 20
"""How many choices an error names; lists of ports can be long."""


class OneOf:
    """Annotates a field of a form with what may be chosen: `site: Annotated[str, OneOf("Site", sites, …)]`.

    `options` are values, or values with the labels that people see; either may be given, so that files written by
    people need no ids. `otherwise` says what to do when there is nothing to choose from: FormError.
    """

    def __init__(self, name: str, options: Mapping[str, str] | Iterable[str], *, otherwise: str) -> None:
        labels = options if isinstance(options, Mapping) else {option: option for option in options}
        if not labels:
            raise FormError(otherwise)
        members = {f"option_{number}": pair for number, pair in enumerate(labels.items())}
        self.choice: type[Choice] = Choice.__call__(name, members)  # type: ignore[assignment]

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        chosen = core_schema.no_info_before_validator_function(self._find, handler.generate_schema(self.choice))
        text = core_schema.simple_ser_schema("str")
        return core_schema.no_info_after_validator_function(lambda choice: choice.value, chosen, serialization=text)

    def _find(self, given: Any) -> Choice:
        """The choice of this value, or else the only one of this label."""
        choices: list[Choice] = list(self.choice)
        for attribute in ("value", "label"):
            found = [choice for choice in choices if getattr(choice, attribute) == given]
            if len(found) == 1:
                return found[0]
        labels = ", ".join(choice.label for choice in choices[:SHOWN_CHOICES])
        more = ", …" if len(choices) > SHOWN_CHOICES else ""
        raise PydanticCustomError("enum", "Input should be one of {expected}", {"expected": f"{labels}{more}"})
