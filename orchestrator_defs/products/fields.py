"""Fields of the forms of several products."""

from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Any, TypeAlias

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, PydanticCustomError, core_schema
from pydantic_forms.validators import Choice

from resources import NETBOX_DESCRIPTION, NETBOX_NAME, FormError

Description: TypeAlias = Annotated[str, NETBOX_DESCRIPTION.entered]
"""A line of text for people, NetBox and devices."""

MOST_CHOICES = 200
"""More are not listed, because a form must not grow with the network: people give an id, or search."""
SHOWN_CHOICES = 20
"""How many choices an error lists."""


class OneOf:
    """Annotates a field of a form with its choices: `site: Annotated[str, OneOf("Site", sites, …)]`.

    `options` are values, or values with labels for people; either may be given, so that files written by people need no
    ids; a number, as YAML reads `8201`, is compared as text. `otherwise` is the advice of the FormError for an empty
    list. `why_not` gets text that is no choice, and returns a sentence on it, or None.
    """

    def __init__(
        self,
        name: str,
        options: Mapping[str, str] | Iterable[str],
        *,
        otherwise: str,
        why_not: Callable[[str], str | None] = lambda given: None,
    ) -> None:
        labels = options if isinstance(options, Mapping) else {option: option for option in options}
        if not labels:
            raise FormError(otherwise)
        members = {f"option_{number}": pair for number, pair in enumerate(labels.items())}
        self._why_not = why_not
        self.choice: type[Choice] = Choice.__call__(name, members)  # type: ignore[assignment]

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        chosen = core_schema.no_info_before_validator_function(self._find, handler.generate_schema(self.choice))
        text = core_schema.simple_ser_schema("str")
        return core_schema.no_info_after_validator_function(lambda choice: choice.value, chosen, serialization=text)

    def _find(self, given: Any) -> Choice:
        """The choice with this value, or else the only one with this label, or with it in another case or encoding."""
        choices: list[Choice] = list(self.choice)
        if isinstance(given, int | float) and not isinstance(given, bool):
            given = str(given)
        for attribute in ("value", "label"):
            found = [choice for choice in choices if getattr(choice, attribute) == given]
            if len(found) == 1:
                return found[0]
        alike = [choice for choice in choices if isinstance(given, str) and NETBOX_NAME.same(choice.label, given)]
        if len(alike) == 1:
            return alike[0]
        labels = ", ".join(f"'{choice.label}'" for choice in choices[:SHOWN_CHOICES])
        more = ", …" if len(choices) > SHOWN_CHOICES else ""
        why = self._why_not(given) if isinstance(given, str) else None
        context = {"expected": f"{labels}{more}", "why": f"{why}; choose" if why else "Input should be"}
        raise PydanticCustomError("enum", "{why} one of {expected}", context)


class Found:
    """Annotates a field with more subscriptions than a list can have: `port: Annotated[str, Found(look_up, …)]`.

    `look_up` finds the id for an id or a description, or None; then `why_not` gives the reason. Web clients show their
    subscription picker.
    """

    def __init__(self, look_up: Callable[[str], str | None], *, why_not: Callable[[str], str | None]) -> None:
        self._look_up = look_up
        self._why_not = why_not

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_before_validator_function(self._find, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {**handler(schema), "format": "subscriptionId"}

    def _find(self, given: Any) -> str:
        text = str(given)
        if (found := self._look_up(text)) is not None:
            return found
        raise PydanticCustomError("enum", "{why}", {"why": self._why_not(text) or f"there is no '{text}'"})
