"""Writes another product into a project that exists."""

import re
import tomllib
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import yaml

from orchestrator_defs.scaffolding.checks import check
from orchestrator_defs.scaffolding.coded_values import class_name_of
from orchestrator_defs.scaffolding.faults import Fault, ScaffoldingError
from orchestrator_defs.scaffolding.generated import Generated, Outcome, difference
from orchestrator_defs.scaffolding.present_products import Existing
from orchestrator_defs.scaffolding.product import WORKFLOWS, ProductSpec, snake
from orchestrator_defs.scaffolding.product_file import read_product_file
from orchestrator_defs.scaffolding.registration import lines_to_add, registered
from orchestrator_defs.scaffolding.rendering import ROOMS, files_of

FIELD = re.compile(r"(?P<name>[^:]+):(?P<type>[^:(]+)(\((?P<more>[^)]*)\))?(?P<rest>(:[a-z]*)*)")
SHARED = ("__init__.py", "resources/controller.py", "fake_controller.py", *(f"{room}/__init__.py" for room in ROOMS))


class Loaded(Protocol):
    """What a project's definitions are asked for."""

    catalogue: Any
    workflows: Any


@dataclass
class Another:
    """What was written, and what a person is told beside it."""

    outcome: Outcome
    notes: list[str] = field(default_factory=list)


def write_another(
    folder: Path,
    file: Path,
    package: str | None,
    load: Callable[[], Loaded],
    *,
    answers: str | None = None,
    beside: bool = False,
    dry_run: bool = False,
) -> Another:
    """Write the product of a file into the project in the folder; `load` gives what it has. Raises ScaffoldingError.

    `answers` is the text of the file, which is written, too.
    """
    text, lines = read_product_file(file, answers)
    package = package or package_of(folder)
    home = folder / package
    if missing := [room for room in ROOMS if not (home / room).is_dir()]:
        raise ScaffoldingError(
            f"{home} has no folder {missing[0]}; `orchestrator new` runs in the folder of a project as `orchestrator "
            "init` makes it, with the rooms resources, ops and definitions in its package."
        )
    definitions = Path(package, "definitions", "__init__.py")
    code = (folder / definitions).read_text(encoding="utf-8") if (folder / definitions).exists() else ""
    try:
        bare = ProductSpec(text)
        existing = _existing(load, package, bare, code)
        product = check(ProductSpec(text, existing))
    except Fault as fault:
        raise lines.error(fault) from None
    files = files_of("product", package, product)
    project = files_of("project", package, product)
    shared = {path: body for path, body in project.items() if _is_missing(folder, package, path)}
    said = {file.relative_to(folder): answers} if answers else {}
    generated = Generated(folder)
    generated.claim(product.module, file.name)
    outcome = generated.write({**said, **shared, **files}, beside=beside, dry_run=dry_run)
    done = Another(outcome, [*_notes(product)])
    if definitions not in shared:
        _register(folder, definitions, package, product, done, dry_run=dry_run)
    return done


def package_of(folder: Path) -> str:
    """The package of the project in a folder, by its pyproject.toml or workspace.yaml. Raises ScaffoldingError."""
    with suppress(OSError, ValueError, KeyError):
        said = tomllib.loads((folder / "pyproject.toml").read_text())
        return str(said["tool"]["dg"]["project"]["root_module"])
    with suppress(OSError, yaml.YAMLError, KeyError, TypeError, IndexError):
        said = yaml.safe_load((folder / "workspace.yaml").read_text())
        return str(said["load_from"][0]["python_module"]["module_name"]).partition(".")[0]
    raise ScaffoldingError(
        f"{folder} is no project: neither pyproject.toml nor workspace.yaml names its package. Make one with "
        "`orchestrator init DIR`, change into its folder, or name the package with --package."
    )


def field_of(said: str) -> dict[str, Any]:
    """A field as the file has it, of `name:type[:required][:modifiable]`. Raises ScaffoldingError."""
    found = FIELD.fullmatch(said.strip())
    words = [word for word in (found["rest"] if found else "").split(":") if word]
    stages = [word for word in words if word in ("initial", "provisioning", "active", "never")]
    if found is None or len(stages) > 1 or {*words} - {*stages, "modifiable"}:
        raise ScaffoldingError(
            f"A field is name:type, then perhaps :provisioning or :active, then perhaps :modifiable, such as "
            f"vlan:int(1..4094):provisioning:modifiable; {said!r} is none."
        )
    made: dict[str, Any] = {"name": found["name"].strip(), "type": found["type"].strip()}
    more = found["more"]
    if made["type"] == "enum":
        values = [yaml.safe_load(one) for one in (more or "").split(",")]
        base = "int" if all(isinstance(one, int) for one in values) else "str"
        made |= {"enum_type": base, "values": [str(one) if base == "str" else one for one in values]}
    elif made["type"] == "list":
        made["list_type"] = more
    elif more:
        low, _, high = more.partition("..")
        made |= {key: int(one) for key, one in (("min_value", low), ("max_value", high)) if one.strip().isdigit()}
    if stages and stages[0] != "never":
        made["required"] = stages[0]
    return made | ({"modifiable": True} if "modifiable" in words else {})


def answers_as_yaml(folder: Path, name: str, description: str, fields: list[dict[str, Any]]) -> tuple[Path, str]:
    """Answers as a product's file in products/: its path and text. Raises ScaffoldingError if there is another."""
    block = {"name": snake(name), "type": class_name_of(name)}
    said: dict[str, Any] = {"name": name, "type": block["type"], "description": description or name}
    text = yaml.safe_dump(
        {**said, "product_blocks": [{**block, "fields": fields}]}, sort_keys=False, allow_unicode=True
    )
    file = folder / "products" / f"{snake(name)}.yaml"
    if file.exists() and file.read_text() != text:
        raise ScaffoldingError(
            f"{file} describes this product already; change it, then run `orchestrator new products/{file.name}`."
        )
    return file, text


def _existing(load: Callable[[], Loaded], package: str, bare: ProductSpec, code: str) -> Existing:
    """What the project has, without what this product has brought already."""
    loaded = load()
    is_there = f"{bare.module}_workflows" in code
    own = {f"{name}_{bare.module}" for name in WORKFLOWS} if is_there else set()
    return Existing.of(loaded.catalogue.products, {*loaded.workflows} - own, f"{package}.resources.{bare.module}")


def _is_missing(folder: Path, package: str, path: Path) -> bool:
    """Whether a file that products share is not there: a project by hand may have no controller yet."""
    is_shared = path.as_posix() == "tests/conftest.py" or path.as_posix().removeprefix(f"{package}/") in SHARED
    return is_shared and not (folder / path).exists()


def _register(folder: Path, path: Path, package: str, product: ProductSpec, done: Another, *, dry_run: bool) -> None:
    code = (folder / path).read_text(encoding="utf-8")
    changed = registered(code, package, product.module)
    if changed is None:
        advice = lines_to_add(package, product.module)
        done.notes.append(f"{path} is built in a way of its own; add to it by hand:\n{advice}")
    elif changed != code:
        done.outcome.updated.append(path)
        done.outcome.differences.append(difference(path, code, changed))
        if not dry_run:
            (folder / path).write_text(changed, encoding="utf-8")


def _notes(product: ProductSpec) -> Iterator[str]:
    for one in product.text.fixed_inputs:
        if one.type in ("str", "int") and not one.values:
            yield f"The fixed input {one.name} has no `values`, so there is one product, with an example; give it some."
    if not product.root.changeable and product.workflow("modify").enabled:
        yield "No field of the root block is `modifiable`, so there is no workflow that modifies."
    below = [one.name for block in product.nested for one in block.fields if one.text.is_modifiable]
    blocks = [one.name for one in product.root.fields if one.text.is_modifiable and one.type is None]
    if below or blocks:
        names = ", ".join(below + blocks)
        yield f"The modify form has plain values of the root block only; write by hand what changes {names}."
