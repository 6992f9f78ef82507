"""Whatever product a file describes, its code compiles, imports, and has something to add to the catalogue."""

import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from orchestrator_defs.jobs.orchestrator import Orchestrator
from orchestrator_defs.scaffolding.checks import check
from orchestrator_defs.scaffolding.present_products import Existing
from orchestrator_defs.scaffolding.product import ProductSpec
from orchestrator_defs.scaffolding.product_file import product_text
from orchestrator_defs.scaffolding.project import first_product, write_project
from orchestrator_defs.scaffolding.rendering import files_of
from resources.database.session import SubscriptionDatabase

PHASES = (Phase.explicit, Phase.reuse, Phase.generate)
"""A failure is shown as it was found: to make it smaller takes minutes."""
TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), max_size=150)
TYPES = ("str", "int", "bool", "float", "UUID", "date", "ipaddress.IPv6Network", "decimal.Decimal")
STAGES = st.sampled_from([None, "provisioning", "active", "initial"])
DEFAULTS = {"str": "a", "int": 2, "bool": True, "float": 0.5, "date": "2030-01-31", "decimal.Decimal": "1.5"}
DEFAULTS |= {"UUID": "10000000-0000-4000-8000-000000000009", "ipaddress.IPv6Network": "2001:db8::/32"}


@st.composite
def values(draw: st.DrawFn, name: str, blocks: list[str]) -> dict[str, Any]:
    """A field: plain, a list, an enum, blocks of the product, or a port of another."""
    kind = draw(st.sampled_from([*TYPES, "list", "enum", "Port", *blocks]))
    field: dict[str, Any] = {"name": name, "type": kind, "required": draw(STAGES), "description": draw(TEXTS)}
    if draw(st.booleans()):
        field["modifiable"] = None
    if draw(st.booleans()):
        field["validations"] = [{"id": f"{name}_is_fit", "description": draw(TEXTS)}]
    if kind == "list":
        least = draw(st.integers(0, 2))
        field |= {"list_type": draw(st.sampled_from([*TYPES, "Port", *blocks])), "min_items": least}
        field |= {"max_items": least + 2} if draw(st.booleans()) else {}
    elif kind == "enum":
        numbers = st.lists(st.integers(-5, 5), min_size=1, unique=True)
        texts = st.lists(st.text("ab -_/1é", min_size=1), min_size=1, unique=True)
        field |= {"values": draw(numbers | texts)}
    elif kind == "int" and draw(st.booleans()):
        field |= {"min_value": -1, "max_value": draw(st.integers(2, 9))}
    if field["required"] == "initial":
        listed = [DEFAULTS[field["list_type"]]] if field.get("list_type") in DEFAULTS else None
        default = {**DEFAULTS, "list": listed, "enum": field.get("values", [0])[0]}.get(kind)
        field |= {"default": default} if default is not None else {"required": "active"}
    return field


@st.composite
def described(draw: st.DrawFn) -> dict[str, Any]:
    """A product as its file has it: up to three blocks, each held by the one before it."""
    kinds = ["Root", "Middle", "Leaf"][: draw(st.integers(1, 3))]
    blocks = []
    for number, kind in enumerate(kinds):
        below = kinds[number + 1 : number + 2]
        fields = [draw(values(f"field_{n}", below)) for n in range(draw(st.integers(1, 4)))]
        if below:
            fields.append({"name": "below", "type": below[0], "required": draw(STAGES)})
        blocks.append({"name": kind.lower(), "type": kind, "description": draw(TEXTS), "fields": fields})
    fixed = [{"name": "managed", "type": "bool"}, {"name": "size", "type": "enum", "values": [1, 2]}]
    checks = [{"id": "is_fit_now", "description": draw(TEXTS)}]
    workflow = st.fixed_dictionaries(
        {"name": st.sampled_from(["create", "modify", "validate", "terminate"]), "enabled": st.booleans()},
        optional={"validations": st.just(checks)},
    )
    return {
        "name": "any product",
        "description": draw(TEXTS),
        "config": {"summary_forms": draw(st.booleans())},
        "fixed_inputs": draw(st.sampled_from([fixed, []])),
        "product_blocks": blocks,
        "workflows": draw(st.lists(workflow, max_size=3, unique_by=lambda one: one["name"])),
    }


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleType]:
    """The module with the product Port, of a project beside which others are written."""
    folder = tmp_path_factory.mktemp("any") / "acme"
    write_project(folder, first_product("Port"))
    sys.path.insert(0, str(folder))
    from acme.resources import port  # type: ignore[import-not-found]

    yield port
    sys.path.remove(str(folder))
    for name in [name for name in sys.modules if name.partition(".")[0] == "acme"]:
        del sys.modules[name]


@given(said=described())
@settings(max_examples=5, deadline=None, phases=PHASES, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_code_imports_and_changes_the_catalogue(
    said: dict[str, Any], port: ModuleType, database: SubscriptionDatabase
) -> None:
    existing = Existing.of(port.PRODUCTS, [], "acme.resources.any_product")
    files = files_of("product", "acme", check(ProductSpec(product_text(said), existing)))

    made = {path: module_of(path, text) for path, text in files.items() if path.suffix == ".py"}
    products = made[Path("acme/resources/any_product.py")].PRODUCTS
    workflows = made[Path("acme/definitions/any_product.py")].WORKFLOWS
    orchestrator = Orchestrator([*port.PRODUCTS, *products], workflows, {"controller": controller()}, database)
    with database.transaction(read_only=True):
        plan = orchestrator.catalogue.plan()
    assert {product.name for product in products} <= {change.name for change in plan.changes}


def controller() -> Any:
    from acme.resources.controller import Controller  # type: ignore[import-not-found]

    return Controller()


def module_of(path: Path, text: str) -> ModuleType:
    """The code as an imported module, which others may import."""
    name = ".".join(path.with_suffix("").parts)
    module = ModuleType(name)
    sys.modules[name] = module
    exec(compile(text, path, "exec"), module.__dict__)
    return module
