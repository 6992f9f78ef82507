"""How another system keeps a text: the one normal form that its forms, its model and its comparison share."""

import re
import unicodedata
from dataclasses import dataclass, replace
from typing import Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

_NOT_IN_A_LINE = re.compile("[\0-\x1f\x7f-\x9f\u2028\u2029]+")


@dataclass(frozen=True, slots=True)
class ExternalText:
    """A text field of another system, declared once and used in three places.

    * a model: `title: Annotated[str, TITLE]` keeps the normal form. It refuses nothing, so that what an older version
      of the code has saved can still be read, changed and removed; what is too long is cut.
    * a form: `title: Annotated[str, TITLE.entered]` refuses, with a sentence, what the other system could not keep.
    * a comparison: `TITLE.same(ours, theirs)`.

    The normal form has no white space at its ends, no control characters, composed letters (NFC), and no more than
    `longest` less `added` characters.
    """

    system: str
    """Who keeps the text, for messages."""
    longest: int
    """Characters that the other system keeps."""
    added: int = 0
    """Characters of these that the client needs for itself."""
    ending: str = ""
    """A pattern of what the client adds at the end, which therefore cannot be the end of the text itself."""
    ignores_case: bool = False
    """Whether two texts that differ in case alone are the same to the other system."""
    refuses: bool = False

    @property
    def entered(self) -> "ExternalText":
        """The same field in a form."""
        return replace(self, refuses=True)

    @property
    def room(self) -> int:
        """The most characters of a text."""
        return self.longest - self.added

    def normal(self, text: str) -> str:
        """The text as the other system can keep it."""
        line = unicodedata.normalize("NFC", _NOT_IN_A_LINE.sub(" ", text))
        while (shorter := self._without_ending(line.strip()[: self.room].rstrip())) != line:
            line = shorter
        return line

    def same(self, one: str | None, other: str | None) -> bool:
        """Whether both are the same text to the other system; None is no text."""
        forms = [self.normal(text or "") for text in (one, other)]
        return len({form.casefold() for form in forms} if self.ignores_case else set(forms)) == 1

    def fault_of(self, text: str) -> str | None:
        """Why the other system could not keep the text; None if it can."""
        trimmed = unicodedata.normalize("NFC", text.strip())
        if not trimmed:
            return "it has no characters but white space; leave it out"
        if _NOT_IN_A_LINE.search(trimmed):
            return "it is one line; leave out line breaks and other control characters"
        if len(trimmed) > self.room:
            mark = f", for {self.added} of its {self.longest} are the orchestrator's own mark" if self.added else ""
            return f"{self.system} keeps at most {self.room} characters here{mark}; this has {len(trimmed)}"
        if self._without_ending(trimmed) != trimmed:
            return "its end looks like the orchestrator's own mark; choose other words"
        return None

    def _without_ending(self, text: str) -> str:
        return re.sub(rf"\s*{self.ending}\Z", "", text) if self.ending else text

    def _checked(self, text: str) -> str:
        if self.refuses and (fault := self.fault_of(text)):
            raise PydanticCustomError("external_text", "{fault}", {"fault": fault})
        return self.normal(text)

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._checked, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {**handler(schema), **({"minLength": 1, "maxLength": self.room} if self.refuses else {})}
