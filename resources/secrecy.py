"""Secrets that this process has seen: what it writes for people to read passes here, and leaves without them."""

import json
import re
from functools import cache
from typing import Any

MASK = "**********"
SHORTEST = 6
"""Shorter ones would mask parts of ordinary words."""
MOST = 1000
TOKENS = re.compile(
    r"(?P<bearer>\bbearer\s+)[\w.~+/=-]{8,}|(?P<callback>/callback/)[\w-]{8,}|(?P<url>://[^/\s:@\"]*:)[^/\s@\"]+(?=@)",
    re.IGNORECASE,
)
"""What is a token or a password wherever it stands."""
MARKS = ("bearer", "/callback/", "://")
"""What a text with one of them has: each event of a run passes here, and most have none."""

_known: dict[str, None] = {}


def remember(secret: str) -> None:
    """Mask this text from now on; the oldest of very many is forgotten."""
    if len(secret) >= SHORTEST and secret not in _known:
        _known[secret] = None
        if len(_known) > MOST:
            _known.pop(next(iter(_known)))
        _forms.cache_clear()
        _pattern.cache_clear()


def redacted(value: Any) -> Any:
    """A text, or JSON, without secrets; other values as they are."""
    if isinstance(value, str):
        if any(form in value for form in _forms()):
            value = _pattern().sub(MASK, value)
        folded = value.lower()
        if any(mark in folded for mark in MARKS):
            value = TOKENS.sub(lambda found: f"{found[found.lastgroup or 0]}{MASK}", value)
        return value
    if isinstance(value, dict):
        return {redacted(key): redacted(item) for key, item in value.items()}
    return [redacted(item) for item in value] if isinstance(value, list) else value


@cache
def _forms() -> tuple[str, ...]:
    """Each secret as it is and as texts of JSON and Python write it, the longest first."""
    forms = {form for one in _known for form in (one, json.dumps(one)[1:-1], repr(one)[1:-1])}
    forms |= {json.dumps(form)[1:-1] for form in forms}
    return tuple(sorted(forms, key=len, reverse=True))


@cache
def _pattern() -> re.Pattern[str]:
    return re.compile("|".join(map(re.escape, _forms())))
