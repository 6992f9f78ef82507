"""Writes files into a project, and never over what a person has changed in them."""

import difflib
import hashlib
import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from orchestrator_defs.scaffolding.faults import ScaffoldingError

RECORD = ".generated.json"
"""In the project: the hash of each file as it was written. What has another is changed by a person."""


@dataclass
class Outcome:
    """What became of files, by their paths in the project; `differences` are those of files that were there."""

    written: list[Path] = field(default_factory=list)
    updated: list[Path] = field(default_factory=list)
    kept: list[Path] = field(default_factory=list)
    removed: list[Path] = field(default_factory=list)
    differences: list[str] = field(default_factory=list)


class Generated:
    """The files of a project that were written for somebody."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._record: dict[str, str] = {}
        with suppress(OSError, ValueError):
            self._record = json.loads((folder / RECORD).read_text())

    def claim(self, name: str, source: str) -> None:
        """Remember from what the files of a product are written. Raises ScaffoldingError if that was something else."""
        before = self._record.setdefault(f"{name} is from", source)
        if before != source:
            raise ScaffoldingError(
                f"{source}: the project has files of {name!r}, from {before}; give the product another name or "
                "`variable`, or write it from there."
            )

    def write(self, files: Mapping[Path, str], *, beside: bool = False, dry_run: bool = False) -> Outcome:
        """Write what is new, and what nobody has changed since it was written; all or nothing.

        `beside` puts a `.new` beside each file that is kept. Raises ScaffoldingError.
        """
        outcome, texts = Outcome(), {}
        for path, text in files.items():
            there = self._read(path)
            if there == text:
                continue
            was = self._record.get(path.as_posix())
            if there is None:
                found = outcome.removed if was else outcome.written
            else:
                found = outcome.updated if was == _hash(there) else outcome.kept
                outcome.differences.append(difference(path, there, text))
            found.append(path)
            if found is outcome.written or found is outcome.updated:
                texts[path] = text
            elif beside:
                texts[path.with_name(f"{path.name}.new")] = text
        if not dry_run:
            fresh = {path.as_posix(): _hash(text) for path, text in files.items() if path in texts}
            self._put({**texts, Path(RECORD): json.dumps(self._record | fresh, indent=2, sort_keys=True) + "\n"})
        return outcome

    def _read(self, path: Path) -> str | None:
        try:
            return (self._folder / path).read_text(encoding="utf-8")
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise ScaffoldingError(f"{self._folder / path} cannot be read: {error}.") from None

    def _put(self, texts: Mapping[Path, str]) -> None:
        made: list[Path] = []
        before: dict[Path, str] = {}
        try:
            for path, text in texts.items():
                target = self._folder / path
                if (was := self._read(path)) is not None:
                    before[target] = was
                made += reversed([one for one in (target, *target.parents) if not one.exists()])
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_text(text, encoding="utf-8")
        except OSError as error:
            for path in reversed(made):
                with suppress(OSError):
                    path.rmdir() if path.is_dir() else path.unlink()
            for path, was in before.items():
                with suppress(OSError):
                    path.write_text(was, encoding="utf-8")
            raise ScaffoldingError(f"{self._folder} cannot be written: {error.strerror}.") from None


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def difference(path: Path, there: str, text: str) -> str:
    """What would change in a file, as `diff -u` shows it."""
    before, after = there.splitlines(keepends=True), text.splitlines(keepends=True)
    return "".join(difflib.unified_diff(before, after, f"{path}", f"{path} (as it would be written)"))
