"""The rules of the house as functions: a module in, what it does against the rule out."""

import ast
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from tests.rooms import ALLOWED, CLOSED, GROUND, HOMES, PRIVATE_DAGSTER_HOMES

ROOT = Path(__file__).parents[1]
FLOORS = ("resources", "ops", "orchestrator_defs")
"""From the ground up. A floor may import itself and what lies under it."""

DOORS = ("orchestrator_defs.api", "orchestrator_defs.cli")
COMPOSITION_ROOT = "orchestrator_defs.definitions"
ATTACHES_FACE = (
    "import lazy_loader",
    "__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)",
)
"""All that the `__init__` of a floor holds besides its docstring: the stub beside it lists what is on its face."""
LAZY_NAME = re.compile(rf"({'|'.join(FLOORS)})(\.\w+)+:\w+")
"""A text `module:name` counts as an import: the command line's table has them, so that it loads what it needs alone."""
IMPORT_BY_NAME = (
    "orchestrator_defs.cli.main",  # its own table
    "orchestrator_defs.api.server.loading",  # what the workspace or an option names
)
LONGEST_MODULE = 500
MOST_MODULES = 20
"""In one package, `__init__` and sub-packages not counted."""
MAY_GROW = "resources.migrations"
"""Migrations are never split, and never joined."""
SHARED_NAMES = ("products", "rest", "cli", "testing", "__main__")
"""A module that lies in, or is, one of these may be called like a module of another floor."""

PRIVATE_DAGSTER = re.compile(r"dagster\w*(\.\w+)*\._(?!_)")


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
        case ast.Constant(value=str(name)) if LAZY_NAME.fullmatch(name):
            return [(name.replace(":", "."), 0)]
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


# --- rule 1 in full: each room imports the rooms that the table allows ---


def room_of(name: str, rooms: Iterable[str] = tuple(ALLOWED)) -> str | None:
    """The room that a module, or a name in it, lies in."""
    return max((room for room in rooms if _lies_in(name, room)), key=len, default=None)


def closed_rooms(module: Module) -> list[str]:
    """A module imports its own room, the ground, the rooms of its floor that ALLOWED names, and the floors below."""
    if module.is_package:
        return []
    own = room_of(module.name)
    if own is None and module.name not in GROUND:
        return [f"line 1: {module.name} lies in no room; put it into one, or add the room to ALLOWED"]
    return [
        f"line {one.first_line}: {own or 'the ground'} imports {one.name}, which ALLOWED does not have"
        for one in module.imports
        if not _may_import(own, one.name)
    ]


def _may_import(own: str | None, name: str) -> bool:
    target = room_of(name)
    if target is None or target == own:
        return True
    if own is None:
        return False
    if own.partition(".")[0] != target.partition(".")[0]:
        return target not in CLOSED or _lies_in(own, *CLOSED[target])
    return _lies_in(name, *ALLOWED[own]) and (target in ALLOWED[own] or name in ALLOWED[own] or own == MAY_GROW)


def unused_permissions(modules: Iterable[Module]) -> list[str]:
    """What ALLOWED permits and no module needs; the table is to show the house as it is."""
    used = {(room_of(module.name), room_of(one.name)) for module in modules for one in module.imports}
    return [
        f"{room} -> {target}"
        for room, targets in ALLOWED.items()
        for target in targets
        if (room, room_of(target)) not in used
    ]


# --- size and names ---


def module_length(module: Module) -> list[str]:
    length = len(module.lines)
    if _lies_in(module.name, MAY_GROW) or length <= LONGEST_MODULE:
        return []
    return [f"{length} lines; split by noun at {LONGEST_MODULE}"]


def full_packages(modules: Iterable[Module]) -> list[str]:
    """Packages with more modules than a reader takes in at once."""
    sizes = Counter(
        module.name.rpartition(".")[0]
        for module in modules
        if not module.is_package and not _lies_in(module.name, MAY_GROW)
    )
    return [
        f"{package} has {size} modules; {MOST_MODULES} at most"
        for package, size in sizes.items()
        if size > MOST_MODULES
    ]


def shared_names(modules: Iterable[Module]) -> list[str]:
    """Names of modules that stand on two floors: a reader who searches for one must find one."""
    places: dict[str, set[str]] = defaultdict(set)
    for module in modules:
        parts = module.name.split(".")
        if not module.is_package and not set(SHARED_NAMES).intersection(parts):
            places[parts[-1]].add(module.name)
    return [
        " and ".join(sorted(names)) + " have one name"
        for names in places.values()
        if len({name.partition(".")[0] for name in names}) > 1
    ]


# --- rule 2: no cycle, nothing hidden in a function, no re-export, absolute imports ---


def hidden_imports(module: Module) -> list[str]:
    return [
        f"line {one.first_line}: {one.name} is imported inside a function; import it at the top"
        for one in module.imports
        if one.in_function and (one.level or _is_first_party(one.name))
    ]


def computed_imports(module: Module) -> list[str]:
    """Imports of a name that is not written there, which no other rule can see."""
    if module.name in IMPORT_BY_NAME:
        return []
    return [
        f"line {node.lineno}: imports by a computed name; import at the top, or through the command line's table"
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Call)
        and ast.unparse(node.func).rpartition(".")[2] in ("import_module", "__import__")
        and not isinstance(node.args[0], ast.Constant)
    ]


def relative_imports(module: Module) -> list[str]:
    return [
        f"line {one.first_line}: relative import of {one.name}; write the whole path"
        for one in module.imports
        if one.level
    ]


def package_contents(module: Module) -> list[str]:
    """A package's `__init__` holds its docstring only; that of a floor also attaches its face."""
    if not module.is_package:
        return []
    allowed = ATTACHES_FACE if module.name in FLOORS else ()
    return [
        f"line {statement.lineno}: {module.name}/__init__.py holds more than a docstring; it re-exports nothing"
        for statement in module.tree.body[1 if ast.get_docstring(module.tree) is not None else 0 :]
        if ast.unparse(statement) not in allowed
    ]


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


# --- the faces: for products, examples, documents and tests ---


def face_names(floor: str) -> list[str]:
    """What is on the face of a floor, in the order of its stub."""
    stub = ast.parse((ROOT / floor / "__init__.pyi").read_text(encoding="utf-8"))
    return [alias.name for line in stub.body if isinstance(line, ast.ImportFrom) for alias in line.names]


FACES = frozenset(f"{floor}.{name}" for floor in FLOORS for name in face_names(floor))


def face_imports(module: Module) -> list[str]:
    """The engine imports each name from where it is made; a product has the engine's names from the faces alone."""
    if _product_floor(module.name):
        return [
            f"line {one.first_line}: a product imports {one.name}, which is on no face"
            for one in module.imports
            if _is_first_party(one.name) and one.name not in FACES and not _product_floor(one.name)
        ]
    return [
        f"line {one.first_line}: imports {one.name} from a face; import it from where it is made"
        for one in module.imports
        if one.name in FACES or one.name in FLOORS
    ]


# --- rule 4: each third-party package has one home ---


def third_party_homes(module: Module) -> list[str]:
    return [
        f"line {one.first_line}: imports {one.name}, whose home is {' and '.join(HOMES[package])}"
        for one in module.imports
        if (package := one.name.partition(".")[0]) in HOMES and not _lies_in(module.name, *HOMES[package])
        if module.name not in FLOORS  # `package_contents` says what these hold
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


Rule = Callable[[Module], list[str]]
RuleOfAll = Callable[[Iterable[Module]], list[str]]

RULES: tuple[Rule, ...] = (
    imports_upwards,
    closed_rooms,
    hidden_imports,
    computed_imports,
    relative_imports,
    package_contents,
    product_imports,
    face_imports,
    third_party_homes,
    private_dagster,
    door_imports,
    module_docstring,
    module_length,
)
"""What can be said of one module alone."""

RULES_OF_ALL: tuple[RuleOfAll, ...] = (unused_permissions, full_packages, shared_names)
"""What can be said of all modules together, besides that no imports form a cycle."""
