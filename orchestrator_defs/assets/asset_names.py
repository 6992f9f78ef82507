"""Makes names fit for Dagster, whose keys, groups, kinds and owners have narrow alphabets: any product loads."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from hashlib import sha256

from dagster import AssetKey

from resources.validations.standing import ASSETS

LONGEST_TAG = 63
EMAIL = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._%+-]*@[A-Za-z0-9.-]+\.[A-Za-z]{2,7}")
"""What Dagster takes for an address; every other owner is a team."""


def asset_keys(names: Iterable[str]) -> Mapping[str, AssetKey]:
    """The key of each product. Names that would have the same key get the beginning of a hash as well."""
    names = list(names)
    number = Counter(map(fitted, names))
    return {
        name: AssetKey([ASSETS, plain if number[plain := fitted(name)] == 1 else f"{plain}_{_hash(name)}"])
        for name in names
    }


def fitted(text: str) -> str:
    """A text in letters, digits and underscores; one without any is its hash."""
    return re.sub(r"[^A-Za-z0-9]+", "_", text).strip("_") or _hash(text)


def tag(text: str) -> str:
    """A text as the value of a tag, or as a kind."""
    return fitted(text)[:LONGEST_TAG]


def owners(names: Iterable[str]) -> list[str]:
    """Owners as Dagster writes them: an address, or `team:` before a name."""
    stripped = (name.removeprefix("team:").strip() for name in names)
    return [name if EMAIL.fullmatch(name) else f"team:{name}" for name in dict.fromkeys(stripped) if name]


def _hash(text: str) -> str:
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:8]
