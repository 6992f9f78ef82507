"""Secrets that this process has seen: what it writes for people to read passes here, and leaves without them."""

import ctypes
import json
import os
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

LOGIN_SECRETS = ("SESSION_SECRET", "OAUTH2_RESOURCE_SERVER_SECRET")
"""Variables for the server alone: what it starts, and the database, get none."""

_known: dict[str, None] = {}


def remember(secret: str) -> None:
    """Mask this text from now on; the oldest of very many is forgotten."""
    if len(secret) >= SHORTEST and secret not in _known:
        _known[secret] = None
        if len(_known) > MOST:
            _known.pop(next(iter(_known)))
        _forms.cache_clear()
        _pattern.cache_clear()


def environment_of_others() -> dict[str, str]:
    """The environment for a process beside the server."""
    return {name: value for name, value in os.environ.items() if name not in LOGIN_SECRETS}


def take_variable(name: str) -> str | None:
    """Take a variable out of the environment, and out of what /proc shows of this process and of its forks."""
    value = os.environ.get(name)
    if value is not None:
        getenv = ctypes.CDLL(None).getenv
        getenv.restype = ctypes.c_void_p
        if place := getenv(os.fsencode(name)):
            ctypes.memset(place, ord("*"), len(os.fsencode(value)))
        del os.environ[name]
    return value


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
