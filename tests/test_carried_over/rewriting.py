"""Changes the imports of orchestrator-core's modules by the table, and nothing else."""

import ast
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.architecture import ROOT

TABLE: dict[str, Any] = tomllib.loads((ROOT / "orchestrator_defs" / "from_orchestrator_core.toml").read_text())


def module_of(name: str) -> str | None:
    """The module as the table names it, or None for a module of somebody else."""
    for package in TABLE["packages"]:
        if name == package or name.startswith(f"{package}."):
            return name.removeprefix(package).removeprefix(".")
    return None


def _lines(module: str, names: list[ast.alias]) -> Iterator[str]:
    for one in names:
        home, _, name = TABLE["imports"][module][one.name].rpartition(".")
        known = one.asname or one.name
        yield f"from {home} import {name}" + (f" as {known}" if known != name else "")


def rewritten(source: str) -> str:
    """The source with its imports changed; the number of lines may change, too."""
    lines = source.splitlines()
    for node in sorted(ast.parse(source).body, key=lambda one: -one.lineno):
        if isinstance(node, ast.ImportFrom) and (module := module_of(node.module or "")) is not None:
            lines[node.lineno - 1 : node.end_lineno] = _lines(module, node.names)
    return "\n".join(lines) + "\n"


def rewrite(package: Path, target: Path) -> None:
    """Copy a package with its imports changed."""
    for path in package.rglob("*.py"):
        copy = target / path.relative_to(package.parent)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text(rewritten(path.read_text()))
