"""Renders the templates of a project or a product, as files by their paths."""

from collections.abc import Iterator
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from orchestrator_defs.scaffolding.coded_values import STAGES
from orchestrator_defs.scaffolding.faults import ScaffoldingError
from orchestrator_defs.scaffolding.layout import OFFERED_NAMES, documented, laid_out, names_bound, twice_bound
from orchestrator_defs.scaffolding.plain_types import quoted
from orchestrator_defs.scaffolding.product import ProductSpec, line_of

TEMPLATES = Path(__file__).with_name("templates")
SUFFIX = ".jinja"
DISTRIBUTION = "dagster-service-orchestrator"
ROOMS = ("resources", "ops", "definitions")


def files_of(part: str, package: str, product: ProductSpec) -> dict[Path, str]:
    """The files of a folder of templates (`project` or `product`), by their path in the project.

    Raises ScaffoldingError for a name that would mean two things in one of them.
    """
    environment = _templates(part)
    values = {"package": package, "product": product, "title": package.replace("_", " ").capitalize()}
    names = {"package": package, "module": product.module, "dot": "."}
    own = [*_own_names(package, product)]
    related = [(module.rpartition(".")[0], module.rpartition(".")[2]) for module in product.example.modules]
    files = {}
    for template in sorted(environment.list_templates(extensions=[SUFFIX[1:]]), key=_by_room):
        text = environment.get_template(template).render(values, version=version(DISTRIBUTION))
        path = Path(template.removesuffix(SUFFIX).format(**names))
        if path.suffix == ".py":
            beside = related if path.parts[0] == "tests" else []
            text = laid_out(text, package, [*own, *beside])
            if name := twice_bound(text) or min(names_bound(text) & OFFERED_NAMES, default=None):
                raise ScaffoldingError(
                    f"In {path} the name {name!r} would mean two things: {product.name!r}, or something of it, has a "
                    "meaning of its own in the code that is written for it; choose another name."
                )
            if path.parent.name in ROOMS:
                own += [(".".join(path.with_suffix("").parts), name) for name in names_bound(text) if name != "summary"]
        if text.strip():
            files[path] = text
    return files


@cache
def _templates(part: str) -> Environment:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES / part), undefined=StrictUndefined, keep_trailing_newline=True
    )
    environment.filters |= {"documented": documented, "quoted": quoted, "line": line_of, "text": _plain, "yaml": _yaml}
    return environment


def _by_room(template: str) -> tuple[int, str]:
    """What others import comes first."""
    return next((n for n, room in enumerate(ROOMS) if f"/{room}/" in template), len(ROOMS)), template


def _own_names(package: str, product: ProductSpec) -> Iterator[tuple[str, str]]:
    """Modules, each with a name that the code of the product may use."""
    yield f"{package}.resources.controller", "Controller"
    yield f"{package}.fake_controller", "FakeController"
    yield f"{package}.definitions", "defs"
    for value in product.values:
        if value.type and value.type.module:
            yield value.type.module, value.type.spelling
        if value.relation:
            yield value.relation.module, value.relation.subscription
            yield from ((value.relation.module, value.relation.class_for(stage)) for stage in STAGES)


def _yaml(value: Any) -> str:
    return yaml.safe_dump(value, sort_keys=False, allow_unicode=True).rstrip() if value else "{}"


def _plain(text: str) -> str:
    """Text that can stand in a docstring."""
    return line_of(text).replace("\\", "/").replace('"', "'").rstrip(".")
