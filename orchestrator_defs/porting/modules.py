"""A module of the project that is carried over: its statements, what each defines, uses and imports."""

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import libcst as cst
from libcst.metadata import MetadataWrapper, PositionProvider

DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


@dataclass(frozen=True, slots=True)
class Imported:
    """A name that an import binds: `module` and `name` there; without a name it is the module itself."""

    module: str
    name: str
    bound: str


@dataclass(eq=False)
class Statement:
    """A statement of a module's top level. `imported` is empty if it is no import."""

    node: cst.BaseStatement
    defines: frozenset[str]
    uses: frozenset[str]
    imported: tuple[Imported, ...] = ()


@dataclass
class SourceModule:
    """A file. `name` is its dotted name within the project."""

    name: str
    path: Path
    text: str
    is_package: bool
    prefix: str = ""
    statements: list[Statement] = field(default_factory=list)

    def __post_init__(self) -> None:
        wrapper = MetadataWrapper(cst.parse_module(self.text), unsafe_skip_copy=True)
        self.tree, self.positions = wrapper.module, wrapper.resolve(PositionProvider)
        body = self.tree.body[1:] if self.docstring else self.tree.body
        self.statements = [self._statement(node) for node in body]

    @cached_property
    def docstring(self) -> bool:
        """Whether the module begins with one."""
        return self.tree.get_docstring() is not None

    def line(self, node: cst.CSTNode) -> int:
        """The line at which a node begins."""
        return self.positions[node].start.line

    def _statement(self, node: cst.BaseStatement) -> Statement:
        imported = tuple(self._imported(node))
        defines, uses = names_in(self.tree.code_for_node(node))
        return Statement(node, defines | {one.bound for one in imported}, uses, imported)

    def _imported(self, node: cst.BaseStatement) -> Iterator[Imported]:
        for part in node.body if isinstance(node, cst.SimpleStatementLine) else ():
            if isinstance(part, cst.ImportFrom):
                yield from self.names_of(part)
            elif isinstance(part, cst.Import):
                for one in part.names:
                    yield Imported(self._own(_dotted(one.name)), "", _bound(one))

    def names_of(self, node: cst.ImportFrom) -> list[Imported]:
        """What an import binds; `*` has the name so, and binds nothing."""
        module = self._absolute(node)
        if isinstance(node.names, cst.ImportStar):
            return [Imported(module, "*", "")]
        return [Imported(module, _dotted(one.name), _bound(one)) for one in node.names]

    def _absolute(self, node: cst.ImportFrom) -> str:
        named = _dotted(node.module) if node.module else ""
        if not node.relative:
            return self._own(named)
        above = self.name.split(".")
        above = above[: len(above) - len(node.relative) + self.is_package]
        return ".".join([*above, *([named] if named else [])])

    def _own(self, name: str) -> str:
        return name.removeprefix(f"{self.prefix}.") if self.prefix else name


def names_in(code: str) -> tuple[frozenset[str], frozenset[str]]:
    """The names that statements of a top level bind, and those that they use, also in annotations that are text."""
    tree = ast.parse(code)
    bound = {one.name for one in tree.body if isinstance(one, DEFINITIONS)}
    inner = [one for one in tree.body if not isinstance(one, DEFINITIONS)]
    stored = [one for statement in inner for one in ast.walk(statement) if isinstance(one, ast.Name)]
    bound |= {one.id for one in stored if isinstance(one.ctx, ast.Store)}
    used = {one.id for one in ast.walk(tree) if isinstance(one, ast.Name)}
    texts = [one.value for one in ast.walk(tree) if isinstance(one, ast.Constant)]
    return frozenset(bound), frozenset(used | {one for one in texts if isinstance(one, str) and one.isidentifier()})


def decorators(node: cst.BaseStatement) -> Iterator[str]:
    """The names of a function's decorators, without their modules."""
    if isinstance(node, cst.FunctionDef):
        for one in node.decorators:
            called = one.decorator.func if isinstance(one.decorator, cst.Call) else one.decorator
            yield _dotted(called).rpartition(".")[2]


def read_project(folder: Path, skipped: Sequence[Path]) -> Iterator[SourceModule]:
    """The modules of a project, but those in the skipped folders. Raises libcst's ParserSyntaxError."""
    prefix = folder.name if (folder / "__init__.py").exists() else ""
    for path in sorted(folder.rglob("*.py")):
        inner = path.relative_to(folder)
        if any(folder / above in skipped for above in inner.parents) or any(part[0] == "." for part in inner.parts):
            continue
        is_package = path.name == "__init__.py"
        parts = inner.parts[:-1] if is_package else (*inner.parts[:-1], path.stem)
        yield SourceModule(".".join(parts), inner, path.read_text(encoding="utf-8"), is_package, prefix)


def _dotted(node: cst.CSTNode | None) -> str:
    if isinstance(node, cst.Attribute):
        return f"{_dotted(node.value)}.{node.attr.value}"
    return node.value if isinstance(node, cst.Name) else ""


def _bound(alias: cst.ImportAlias) -> str:
    if alias.asname is not None:
        return _dotted(alias.asname.name)
    return _dotted(alias.name).partition(".")[0]
