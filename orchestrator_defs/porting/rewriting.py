"""Rewrites what orchestrator-core writes otherwise: names of its modules by the table, and the few changed idioms."""

import json
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import libcst as cst
import libcst.matchers as m

from orchestrator_defs.porting.migrated import MigratedCatalogue
from orchestrator_defs.porting.modules import Imported, SourceModule, Statement, decorators

TABLE: dict[str, Any] = tomllib.loads(Path(__file__).parents[1].joinpath("from_orchestrator_core.toml").read_text())
WORKFLOWS = {f"{kind}_workflow" for kind in ("create", "modify", "terminate", "validate", "reconcile")}
LONGEST = 120

Place: TypeAlias = Callable[[Imported], tuple[str, str] | None]
"""Where an imported name lies now, (module, name there); None if neither the project nor the table has it."""
REGISTERED = m.SimpleStatementLine(
    [m.Expr(m.Call(m.Attribute(m.Name("SUBSCRIPTION_MODEL_REGISTRY"), m.Name("update")), [m.Arg(m.Dict())]))]
)
LAZY = m.SimpleStatementLine([m.Expr(m.Call(m.Name("LazyWorkflowInstance")))])


@dataclass(frozen=True, order=True, slots=True)
class Finding:
    """What a person must look at."""

    file: str
    line: int
    sentence: str


def their_module(name: str) -> str | None:
    """A module of orchestrator-core as the table names it; None for one of somebody else."""
    for package in TABLE["packages"]:
        if name == package or name.startswith(f"{package}."):
            return name.removeprefix(package).removeprefix(".")
    return None


def place_of(module: str, name: str) -> str | None:
    """Where the table has a name of another package, such as `ops.step`; None if it has no place for it."""
    theirs = their_module(module)
    names: Mapping[str, str] = TABLE["others"].get(module, {}) if theirs is None else TABLE["imports"].get(theirs, {})
    return names.get(name)


def missing(module: str, name: str) -> str:
    """What to write in place of a name of orchestrator-core that has no place here."""
    known = TABLE["missing"].get(their_module(module), {})
    return (
        f"{name}: {known.get(name, 'It has no counterpart that the table knows; see docs/from_orchestrator_core.md.')}"
    )


class Idioms(cst.CSTTransformer):
    """Changes one module's statements. `findings` and `needed`, the names to import by their homes, grow."""

    def __init__(self, module: SourceModule, migrated: MigratedCatalogue, place: Place) -> None:
        super().__init__()
        self.module, self.migrated, self._place = module, migrated, place
        self.findings: list[Finding] = []
        self.needed: dict[str, str] = {}
        self._has_db = any(
            one.bound == "db" and their_module(one.module) is not None
            for statement in module.statements
            for one in statement.imported
        )
        self._has_products = False

    def changed(self, statement: Statement) -> cst.BaseStatement | None:
        """The statement as it is written here; None if nothing is."""
        if m.matches(statement.node, LAZY):
            return None
        if registers_products(statement):
            return self._products(statement)
        changed = statement.node.visit(self)
        assert isinstance(changed, cst.BaseStatement)
        return changed

    def find(self, node: cst.CSTNode, sentence: str) -> None:
        """Note what a person must look at."""
        self.findings.append(Finding(str(self.module.path), self.module.line(node), sentence))

    def leave_Attribute(self, original_node: cst.Attribute, updated_node: cst.Attribute) -> cst.BaseExpression:
        """`db.session` is the session of the step's own transaction."""
        if self._has_db and m.matches(updated_node, m.Attribute(m.Name("db"), m.Name("session"))):
            self.needed["current_session"] = "resources"
            return cst.Call(cst.Name("current_session"))
        return updated_node

    def leave_ImportFrom(self, original_node: cst.ImportFrom, updated_node: cst.ImportFrom) -> cst.ImportFrom:
        """An import inside a function or a condition comes from elsewhere, too."""
        names = self.module.names_of(original_node)
        places = [self._place(one) for one in names]
        homes = {place[0] for place in places if place is not None}
        if len(homes) == 1 and None not in places:
            pairs = [(place[1], one.bound) for place, one in zip(places, names, strict=True) if place is not None]
            line = cst.ensure_type(cst.parse_statement(import_lines(homes.pop(), pairs)), cst.SimpleStatementLine)
            return cst.ensure_type(line.body[0], cst.ImportFrom)
        if homes or any(their_module(one.module) is not None or one.name == "*" for one in names):
            listed = ", ".join(one.name for one in names)
            self.find(
                original_node, f"{names[0].module}: Import {listed} from where they lie here, one home at a time."
            )
        return updated_node

    def visit_Call(self, node: cst.Call) -> None:
        """Note calls whose meaning is another here."""
        name = node.func.attr.value if isinstance(node.func, cst.Attribute) else getattr(node.func, "value", "")
        if (known := TABLE["look"].get(name)) and known.get("unless") not in [_keyword(arg) for arg in node.args]:
            self.find(node, f"{name}: {known['sentence']}")

    def leave_FunctionDef(self, original_node: cst.FunctionDef, updated_node: cst.FunctionDef) -> cst.FunctionDef:
        """A workflow's decorator names the product type, which migrations kept."""
        kinds = set(decorators(original_node))
        name, code = original_node.name.value, self.module.tree.code_for_node(original_node)
        if not (WORKFLOWS & kinds or ("workflow" in kinds and "SYSTEM" not in code)):
            return updated_node
        product_type = self.migrated.workflows.get(name)
        changed = []
        for one in updated_node.decorators:
            call = one.decorator
            if isinstance(call, cst.Call) and "product_type" not in [_keyword(arg) for arg in call.args]:
                if product_type is None:
                    self.find(
                        original_node, f"{name}: Give its decorator `product_type=`; no migration here says which."
                    )
                else:
                    added = cst.Arg(
                        cst.SimpleString(_text(product_type)),
                        cst.Name("product_type"),
                        equal=cst.AssignEqual(cst.SimpleWhitespace(""), cst.SimpleWhitespace("")),
                    )
                    one = one.with_changes(decorator=call.with_changes(args=[*call.args, added]))
            changed.append(one)
        return updated_node.with_changes(decorators=changed)

    def _products(self, statement: Statement) -> cst.BaseStatement:
        node = statement.node
        assert isinstance(node, cst.SimpleStatementLine)
        registered = cst.ensure_type(m.findall(node, m.Dict())[0], cst.Dict)
        lines = "".join(f"    {self._product(element)},\n" for element in registered.elements)
        sign = "+=" if self._has_products else "="
        self._has_products = True
        self.needed["Product"] = "resources"
        made = cst.parse_statement(f"PRODUCTS {sign} [\n{lines}]\n")
        return made.with_changes(leading_lines=node.leading_lines)

    def _product(self, element: cst.BaseDictElement) -> str:
        if not isinstance(element, cst.DictElement):
            self.find(element, "A product that is not written out is not carried over; list it in PRODUCTS.")
            return "*()"
        code = self.module.tree.code_for_node
        name, model = code(element.key), code(element.value)
        known = self.migrated.products.get(name.strip("\"'"))
        if known is None:
            self.find(
                element,
                f"Product {name}: No migration here has it; its tag, type, description and fixed inputs are guessed.",
            )
            known = {
                "tag": model.upper()[:20],
                "product_type": model,
                "description": name.strip("\"'"),
                "fixed_inputs": {},
            }
        said = [_text(known[key]) for key in ("product_type", "description")]
        values = (known.get("fixed_inputs") or {}).items()
        inputs = ", ".join(f"{_text(key)}: {_text(one) if isinstance(one, str) else repr(one)}" for key, one in values)
        return f"Product({name}, {_text(known['tag'])}, {model}, {', '.join(said)}, {{{inputs}}})"


def import_lines(home: str, names: list[tuple[str, str]]) -> str:
    """The statement that imports names, (there, here), of one module; over several lines if it is long."""
    listed = [name if name == bound else f"{name} as {bound}" for name, bound in dict.fromkeys(names)]
    line = f"from {home} import {', '.join(listed)}\n"
    return (
        line
        if len(line) <= LONGEST
        else "".join((f"from {home} import (\n", *(f"    {one},\n" for one in listed), ")\n"))
    )


def registers_products(statement: Statement) -> bool:
    """Whether a statement gives models to products, written out."""
    return m.matches(statement.node, REGISTERED)


def workflow_functions(module: SourceModule) -> Iterator[Statement]:
    """The workflows that a module has."""
    for statement in module.statements:
        if {*WORKFLOWS, "workflow", "task"}.intersection(decorators(statement.node)):
            yield statement


def _keyword(arg: cst.Arg) -> str:
    return arg.keyword.value if arg.keyword is not None else ""


def _text(value: object) -> str:
    return json.dumps(str(value), ensure_ascii=False)
