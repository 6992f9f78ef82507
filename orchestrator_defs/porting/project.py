"""Carries a whole project over: which statement lies in which room, what each module imports then, and what is left."""

from collections.abc import Iterator
from dataclasses import dataclass
from difflib import unified_diff
from pathlib import Path

import libcst as cst

from orchestrator_defs.porting.migrated import read_migrations
from orchestrator_defs.porting.modules import Imported, SourceModule, Statement, decorators, names_in, read_project
from orchestrator_defs.porting.rewriting import (
    Finding,
    Idioms,
    import_lines,
    missing,
    place_of,
    registers_products,
    their_module,
    workflow_functions,
)
from orchestrator_defs.scaffolding.project import first_product, package_name
from orchestrator_defs.scaffolding.rendering import files_of

LEFT = ("migrations", "tests", "test", "venv", "build")
"""Folders that are not carried over: migrations are read, and tests are to be written anew."""
FORMS = ("FormGenerator", "InputForm")
ROOMS = {"resources": "Nouns: products, blocks and clients.", "ops": "Verbs: steps.", "definitions": ""}


@dataclass(frozen=True, slots=True)
class PortedFile:
    """A file to write, and the one that it was made of, if there is one."""

    path: Path
    text: str
    source: SourceModule | None = None

    def difference(self) -> str:
        """What changes, as `diff -u` shows it."""
        before = self.source.text if self.source else ""
        name = str(self.source.path) if self.source else "/dev/null"
        lines = unified_diff(before.splitlines(True), self.text.splitlines(True), name, str(self.path))
        return "".join(lines)


class Porting:
    """A project of orchestrator-core in `folder`, and the package in it that it becomes.

    Raises ScaffoldingError for a name that no package can have, and libcst's ParserSyntaxError.
    """

    def __init__(self, folder: Path, package: str | None = None) -> None:
        named = package or folder.resolve().name
        self.package = named if (folder / named / "definitions").is_dir() else package_name(named)
        self.findings: list[Finding] = []
        skipped = [folder / name for name in (*LEFT, self.package)]
        found = read_project(folder, skipped)
        self.modules = {one.name: one for one in found if one.name and not self._starts_the_server(one)}
        self.migrated = read_migrations((folder / "migrations").rglob("*.py"))
        self._local = {
            (module.name, name): (module, statement)
            for module in self.modules.values()
            for statement in module.statements
            if not statement.imported
            for name in statement.defines
        }
        self._rooms = {
            statement: self._first_room(module, statement)
            for module in self.modules.values()
            for statement in module.statements
        }
        self._move_down()
        for name in ("tests", "test", "translations"):
            if (folder / name).is_dir():
                self.findings.append(Finding(name, 1, "It is not carried over; see docs/from_orchestrator_core.md."))

    def files(self) -> Iterator[PortedFile]:
        """The files of the package, and those that Dagster's commands look for beside it."""
        made = [one for module in self.modules.values() for one in self._parts(module)]
        made.append(self._definitions())
        known = {one.path for one in made}
        folders = {above for one in made for above in one.path.parents if above != Path()}
        for folder in sorted(folders):
            if folder / "__init__.py" not in known:
                sentence = ROOMS.get(folder.name, "") or f"{folder.name.replace('_', ' ').capitalize()}."
                made.append(PortedFile(folder / "__init__.py", f'"""{sentence}"""\n'))
        beside = files_of("project", self.package, first_product("Line"))
        made += [PortedFile(path, text) for path, text in beside.items() if path.suffix == ".yaml"]
        yield from sorted(made, key=lambda one: one.path)

    def _starts_the_server(self, module: SourceModule) -> bool:
        names = {one.name for statement in module.statements for one in statement.imported}
        if "OrchestratorCore" in names:
            sentence = "It starts the application, which `orchestrator serve` does here; it is not carried over."
            self.findings.append(Finding(str(module.path), 1, sentence))
        return "OrchestratorCore" in names

    # --- rooms ---

    def _first_room(self, module: SourceModule, statement: Statement) -> str:
        if module.name.partition(".")[0] != "workflows":
            return "resources"
        node = statement.node
        returns = node.returns.annotation if isinstance(node, cst.FunctionDef) and node.returns else None
        is_form = isinstance(returns, cst.Name) and returns.value in FORMS and not list(decorators(node))
        return "definitions" if is_form or statement in list(workflow_functions(module)) else "ops"

    def _move_down(self) -> None:
        """What a step uses lies with the steps, for imports go down."""
        waiting = [
            (module, statement)
            for module in self.modules.values()
            for statement in module.statements
            if self._rooms[statement] == "ops" and not statement.imported
        ]
        while waiting:
            module, statement = waiting.pop()
            for name in statement.uses:
                found = self._origin(module, name)
                if found and self._rooms[found[1]] == "definitions":
                    self._rooms[found[1]] = "ops"
                    waiting.append(found)

    def _origin(self, module: SourceModule, name: str) -> tuple[SourceModule, Statement] | None:
        """The statement of the project that defines a name of a module, also through imports."""
        if (module.name, name) in self._local:
            return self._local[module.name, name]
        for statement in module.statements:
            for one in statement.imported:
                if one.bound == name and one.name and one.module in self.modules:
                    return self._origin(self.modules[one.module], one.name)
        return None

    def _home(self, module: SourceModule, room: str) -> str:
        name = module.name if room == "resources" else module.name.partition(".")[2] or "common"
        return f"{self.package}.{room}.{name}"

    # --- modules ---

    def _parts(self, module: SourceModule) -> Iterator[PortedFile]:
        idioms = Idioms(module, self.migrated, self._place)
        rooms = dict.fromkeys(self._rooms[one] for one in module.statements if not one.imported)
        for room in rooms or ["resources"] if module.name.partition(".")[0] != "workflows" else rooms:
            idioms.needed.clear()
            kept = [one for one in module.statements if not one.imported and self._rooms[one] == room]
            bodies = [body for one in kept if (body := idioms.changed(one)) is not None]
            if kept and not bodies:  # they were registrations
                continue
            _, used = names_in("\n".join(module.tree.code_for_node(body) for body in bodies))
            imports = list(self._imports(module, room, used, idioms))
            header = list(module.tree.body[:1]) if module.docstring else []
            tree = module.tree.with_changes(body=[*header, *imports, *bodies])
            yield PortedFile(self._path(module, room), tree.code, module)
        self.findings += [one for one in idioms.findings if one not in self.findings]

    def _path(self, module: SourceModule, room: str) -> Path:
        path = Path(*self._home(module, room).split("."))
        return path / "__init__.py" if module.is_package and module.name != "workflows" else path.with_suffix(".py")

    def _imports(
        self, module: SourceModule, room: str, used: frozenset[str], idioms: Idioms
    ) -> Iterator[cst.BaseStatement]:
        """The imports of a part of a module: those that it uses, each from where the name lies now."""
        names: dict[str, list[tuple[str, str]]] = {}
        kept: list[str | cst.BaseStatement] = []

        def add(home: str, name: str, bound: str) -> None:
            if home not in names:
                kept.append(home)
            names.setdefault(home, []).append((name, bound))

        for name, home in idioms.needed.items():
            add(home, name, name)
        for statement in (one for one in module.statements if one.imported):
            is_kept = module.is_package  # what a package imports, others may import from it
            wanted = [
                one
                for one in statement.imported
                if one.bound in used or one.name == "*" or (is_kept and their_module(one.module) is None)
            ]
            for one in wanted:
                if place := self._place(one):
                    add(*place, one.bound)
                elif their_module(one.module) is not None:
                    idioms.find(statement.node, missing(one.module, one.name or one.module))
                elif self._is_own(one):
                    idioms.find(statement.node, f"{one.module}: It lies elsewhere now; import what is used of it.")
                elif one.name in ("", "*") or len(wanted) == len(statement.imported):
                    if statement.node not in kept:
                        kept.append(statement.node)
                else:
                    add(one.module, one.name, one.bound)
        for name in sorted(used):
            if (module.name, name) in self._local:
                there = self._rooms[self._local[module.name, name][1]]
                if there != room:
                    add(self._home(module, there), name, name)
        for number, each in enumerate(kept):
            made = cst.parse_statement(import_lines(each, names[each])) if isinstance(each, str) else each
            assert isinstance(made, cst.SimpleStatementLine)
            blank = [] if number or made.leading_lines else [cst.EmptyLine(indent=False)]
            yield made.with_changes(leading_lines=[*blank, *made.leading_lines])

    def _place(self, one: Imported) -> tuple[str, str] | None:
        """Where an imported name lies now; None if the table and the project do not have it."""
        if place := place_of(one.module, one.name):
            home, _, name = place.rpartition(".")
            return home, name
        if one.module in self.modules and (found := self._origin(self.modules[one.module], one.name)):
            return self._home(found[0], self._rooms[found[1]]), one.name
        if (inner := self.modules.get(f"{one.module}.{one.name}".strip("."))) is not None:
            home, _, name = self._home(inner, max(self._rooms_of(inner), default="resources")).rpartition(".")
            return home, name
        return None

    def _rooms_of(self, module: SourceModule) -> set[str]:
        return {self._rooms[each] for each in module.statements if not each.imported}

    def _is_own(self, one: Imported) -> bool:
        return one.module.partition(".")[0] in {name.partition(".")[0] for name in self.modules}

    def _definitions(self) -> PortedFile:
        """The module that names every product and workflow."""
        imports = ["from orchestrator_defs import build_definitions\n\n"]
        workflows = []
        for module in self.modules.values():
            own = [one.node for one in workflow_functions(module)]
            found = [node.name.value for node in own if isinstance(node, cst.FunctionDef)]
            if found:
                imports.append(import_lines(self._home(module, "definitions"), [(name, name) for name in found]))
                workflows += found
        products: list[str] = []
        for module in self.modules.values():
            if any(registers_products(one) for one in module.statements):
                alias = f"{module.name.rpartition('.')[2]}_products" if products else "PRODUCTS"
                imports.append(import_lines(self._home(module, "resources"), [("PRODUCTS", alias)]))
                products.append(f"*{alias}")
        if not products:
            sentence = (
                "No SUBSCRIPTION_MODEL_REGISTRY.update({…}) is written out; list the products of build_definitions."
            )
            self.findings.append(Finding(f"{self.package}/definitions/__init__.py", 1, sentence))
        listed = "".join(f"        {name},\n" for name in workflows)
        text = (
            '"""What Dagster loads and people launch: every product and every workflow by name."""\n\n'
            + "".join(imports)
            + f"\ndefs = build_definitions(\n    products=[{', '.join(products)}],\n    workflows=[\n{listed}    ],\n"
            + f'    name="{self.package}",\n)\n'
        )
        return PortedFile(Path(self.package, "definitions", "__init__.py"), text)


def write_files(folder: Path, files: list[PortedFile]) -> tuple[list[Path], list[Finding]]:
    """Write the files that are not there. Those that are there and differ are left alone, and found."""
    written, findings = [], []
    for one in files:
        target = folder / one.path
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(one.text, encoding="utf-8")
            written.append(one.path)
        elif target.read_text(encoding="utf-8") != one.text:
            sentence = "It is there and differs from what would be written; it is left alone."
            findings.append(Finding(str(one.path), 1, sentence))
    return written, findings
