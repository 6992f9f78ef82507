"""Reads what orchestrator-core keeps in migrations and is code here: products with fixed inputs, types of workflows."""

import ast
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass
class MigratedCatalogue:
    """Products by name, with the values that migrations gave them; the product type of each workflow by its name."""

    products: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    workflows: dict[str, str] = field(default_factory=dict)


def read_migrations(files: Iterable[Path]) -> MigratedCatalogue:
    """Read the literals of migrations; what they compute is not known."""
    found = MigratedCatalogue()
    for file in sorted(files):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            for name, values in _named(node):
                if "tag" in values and "product_type" in values:
                    found.products[name] = values
                elif "product_type" in values and "name" in values:
                    found.workflows[str(values["name"])] = str(values["product_type"])
    return found


def _named(node: ast.AST) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The mappings that stand under a name in another one, or in a list."""
    if isinstance(node, ast.Dict):
        for key, value in zip(node.keys, node.values, strict=True):
            if isinstance(key, ast.Constant) and isinstance(value, ast.Dict):
                yield str(key.value), _literal(value)
    elif isinstance(node, ast.List):
        for item in node.elts:
            if isinstance(item, ast.Dict):
                yield "", _literal(item)


def _literal(node: ast.AST) -> Any:
    """The value of an expression as far as it is written out; None for the rest."""
    if isinstance(node, ast.Dict):
        pairs = zip(node.keys, node.values, strict=True)
        return {key.value: _literal(value) for key, value in pairs if isinstance(key, ast.Constant)}
    try:
        return ast.literal_eval(node)
    except ValueError:
        return None
