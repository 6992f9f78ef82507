"""What people read in their own language: labels and help of form fields, names of workflows, reasons."""

import json
import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)

LOCALES = Path(__file__).with_name("locales")
"""The engine's own. Labels lie in `forms.fields` by name of the field, their help by `<name>_info`; workflows in
`workflow` by name; reasons at their own place, `subscription.not_in_sync` for one."""


def translations(language: str, known: Mapping[str, Any], folders: Iterable[Path]) -> dict[str, Any]:
    """`known`, with what the file of this language in each folder adds to it or says in other words, the last one last.

    A folder without such a file adds nothing; one that cannot be read neither, and the log says so: a page without
    labels is of more use than none.
    """
    merged = dict(known)
    for folder in folders:
        merged = merge(merged, _read(folder / f"{language}.json"))
    return merged


def merge(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """Both, however deep; where both say something, `other` counts."""
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
        log.error("The translations in %s cannot be used: they are no object.", path)
        return {}
    return found
