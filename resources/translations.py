"""Translations: labels and help of form fields, names of workflows, reasons."""

import json
import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)

LOCALES = Path(__file__).with_name("locales")
"""The engine's own. Labels are in `forms.fields` by the field's name, their help in `<name>_info`; workflows in
`workflow` by name; reasons at their own place, such as `subscription.not_in_sync`.
"""


def translations(language: str, known: Mapping[str, Any], folders: Iterable[Path]) -> dict[str, Any]:
    """Merge the file of this language in each folder into `known`; later folders win.

    A folder without such a file adds nothing. Neither does one that cannot be read, and the log reports it: a page
    without labels is better than none.
    """
    merged = dict(known)
    for folder in folders:
        merged = merge(merged, _read(folder / f"{language}.json"))
    return merged


def merge(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """Merge two mappings at all depths; where both have a value, `other` wins."""
    both = {
        key: merge(one[key], value) if isinstance(value, Mapping) and isinstance(one.get(key), Mapping) else value
        for key, value in other.items()
    }
    return {**one, **both}


def _read(path: Path) -> Mapping[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        log.error("The translations in %s cannot be used: %s", path, error)
        return {}
    if not isinstance(found, Mapping):
        log.error("The translations in %s cannot be used: the file must contain an object.", path)
        return {}
    return found
