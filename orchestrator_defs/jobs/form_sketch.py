"""What is known of a form without running it: the launchpad opens with its pages, and loading needs no database.

A form that is a class is known whole. Of a form that is a function the source is read: the pages that it yields or
returns in any case, and their fields.
"""

import ast
import builtins
import inspect
import textwrap
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, TypeAlias, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from ops.steps.forms import Form

UNKNOWN: Any = object()
"""A default, or a type, that only running the form tells."""
DISPLAYS = ("read_only_field", "read_only_list", "migration_summary")
"""Functions of pydantic-forms that make types of fields which only show something."""
CONVERTING = ("BeforeValidator", "WrapValidator", "PlainValidator")
"""Validators of pydantic that may take a value of another type than the field's."""

Function: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True, slots=True)
class FieldSketch:
    """A field of a page. `annotation` and `default` are UNKNOWN when only running the form tells."""

    name: str
    annotation: Any = UNKNOWN
    default: Any = PydanticUndefined
    description: str | None = None
    part: "PageSketch | None" = None
    """The fields inside its value, or inside each item of it when `is_list`, if its class is made by the form."""
    is_list: bool = False

    @property
    def is_required(self) -> bool:
        """Whether the page must have it."""
        return self.default is PydanticUndefined


@dataclass(frozen=True, slots=True)
class PageSketch:
    """A page. `is_whole`: there are no other fields, and all their types are known."""

    fields: tuple[FieldSketch, ...] = ()
    is_whole: bool = False


@dataclass(frozen=True, slots=True)
class FormSketch:
    """The pages of a form that it has in any case; there are at least `least`."""

    pages: tuple[PageSketch, ...] = ()
    least: int = 0

    @property
    def is_whole(self) -> bool:
        """Whether everything about it is known."""
        return self.least == len(self.pages) and all(page.is_whole for page in self.pages)


def sketch(form: Form | None, *, follows: bool = True) -> FormSketch:
    """The pages of a form, as far as they are known without running it."""
    if form is None:
        return FormSketch()
    if isinstance(form, type):
        return FormSketch((sketch_page(form),), 1)
    function = inspect.unwrap(form)
    is_generator = inspect.isgeneratorfunction(function)
    source = _source(function)
    if source is None:
        return FormSketch() if is_generator else FormSketch((PageSketch(),), 1)
    return _Reader(function, source, follows).form(is_generator=is_generator)


def sketch_page(page: type[BaseModel]) -> PageSketch:
    """A page that is a class."""
    fields = [_of_info(info.alias or name, info) for name, info in page.model_fields.items() if not info.frozen]
    return PageSketch(tuple(fields), is_whole=True)


def _of_info(name: str, info: FieldInfo) -> FieldSketch:
    default = info.default if info.is_required() or info.default_factory is None else UNKNOWN
    return FieldSketch(name, info.annotation, default, info.description)


def _source(function: Callable[..., Any]) -> Function | None:
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, TypeError, SyntaxError):  # typed at a prompt, or made by a program
        return None
    found = tree.body[0] if tree.body else None
    return found if isinstance(found, Function) else None


@dataclass
class _Reader:
    """Reads the source of one form."""

    function: Callable[..., Any]
    source: Function
    follows: bool = True
    """Whether it reads the functions that make pages for the form, too."""
    names: Mapping[str, Any] = field(init=False)
    classes: Mapping[str, ast.ClassDef] = field(init=False)

    def __post_init__(self) -> None:
        closure = inspect.getclosurevars(self.function).nonlocals
        self.names = {**vars(builtins), **getattr(self.function, "__globals__", {}), **closure}
        self.classes = {node.name: node for node in ast.walk(self.source) if isinstance(node, ast.ClassDef)}

    def form(self, *, is_generator: bool) -> FormSketch:
        if not is_generator:
            found = next((node.value for node in _inside(self.source) if isinstance(node, ast.Return)), None)
            return FormSketch((self.page(found),), 1)
        pages = tuple(self.page(node.value) for node in _certain(self.source.body))
        if pages:
            return FormSketch(pages, len(pages))
        perhaps = next((node.value for node in _inside(self.source) if isinstance(node, ast.Yield)), None)
        return FormSketch((self.page(perhaps),)) if perhaps is not None else FormSketch()

    def page(self, made: ast.expr | None) -> PageSketch:
        """The page that an expression stands for."""
        if isinstance(made, ast.Name) and made.id in self.classes:
            return PageSketch(tuple(self.fields(self.classes[made.id]).values()))
        maker = self.value(made.func) if isinstance(made, ast.Call) else None
        if self.follows and inspect.isfunction(maker) and not inspect.isgeneratorfunction(maker):
            return (*sketch(maker, follows=False).pages, PageSketch())[0]
        found = self.value(made)
        return sketch_page(found) if isinstance(found, type) and issubclass(found, BaseModel) else PageSketch()

    def fields(self, page: ast.ClassDef) -> dict[str, FieldSketch]:
        """The fields of a class in the form, by name; those of its bases first."""
        found: dict[str, FieldSketch] = {}
        for base in reversed(page.bases):
            if isinstance(base, ast.Name) and base.id in self.classes and base.id != page.name:
                found |= self.fields(self.classes[base.id])
            elif isinstance(known := self.value(base), type) and issubclass(known, BaseModel):
                found |= {one.name: one for one in sketch_page(known).fields}
        for line in page.body:
            if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name):
                one = self.field(line.target.id, line.annotation, line.value)
                found.pop(line.target.id, None)
                found |= {} if one is None else {one.name: one}
        return found

    def field(self, name: str, annotation: ast.expr, value: ast.expr | None) -> FieldSketch | None:
        """A field of a class in the form; None if it only shows something, or is none."""
        if name.endswith("__") or name == "model_config" or _called(annotation) in DISPLAYS:
            return None
        kind, details = annotation, list[ast.expr]()
        if isinstance(annotation, ast.Subscript) and self.value(annotation.value) is Annotated:
            kind, *details = getattr(annotation.slice, "elts", [annotation.slice])
        info = self.info(kind)
        if info.frozen or get_origin(info.annotation) is ClassVar:
            return None
        words = [each for each in (value, *details) if isinstance(each, ast.Call) and _called(each) == "Field"]
        said = [self.value(word.value) for each in words for word in each.keywords if word.arg == "description"]
        description = next((text for text in said if isinstance(text, str)), info.description)
        default = self.default(value, words, info)
        item = kind.slice if isinstance(kind, ast.Subscript) else kind
        if isinstance(item, ast.Name) and item.id in self.classes:
            part = PageSketch(tuple(self.fields(self.classes[item.id]).values()))
            return FieldSketch(name, UNKNOWN, default, description, part, is_list=item is not kind)
        takes_more = any(_called(each) in CONVERTING for each in details)
        return FieldSketch(name, UNKNOWN if takes_more else info.annotation, default, description)

    def default(self, value: ast.expr | None, words: list[ast.Call], info: FieldInfo) -> Any:
        """The default of a field."""
        if value is not None and value not in words:
            return self.value(value)
        for each in words:
            given = [*each.args[:1], *(word.value for word in each.keywords if word.arg == "default")]
            if any(word.arg == "default_factory" for word in each.keywords):
                return UNKNOWN
            if given and self.value(given[0]) is not ...:
                return self.value(given[0])
        return info.default if info.default_factory is None else UNKNOWN

    def info(self, kind: ast.expr) -> FieldInfo:
        """What an annotation says; nothing when it needs what only running the form gives."""
        found = self.value(kind)
        try:
            return FieldInfo.from_annotation(UNKNOWN if found is UNKNOWN else found)
        except Exception:  # noqa: BLE001  pydantic says in the form's own run what is wrong with it
            return FieldInfo.from_annotation(UNKNOWN)

    def value(self, made: ast.expr | None) -> Any:
        """The value of an expression of names and literals. Nothing is called, so nothing asks a database."""
        if made is None or any(isinstance(node, _ACTIVE) for node in ast.walk(made)):
            return UNKNOWN
        used = {node.id for node in ast.walk(made) if isinstance(node, ast.Name)}
        if not used <= self.names.keys() - self._local():
            return UNKNOWN
        try:
            found = eval(compile(ast.Expression(made), "<form>", "eval"), dict(self.names))
        except Exception:  # noqa: BLE001  whatever a subscript or an operator of the form's own names raises
            return UNKNOWN
        return found

    def _local(self) -> set[str]:
        return set(self.function.__code__.co_varnames) | set(self.classes)


_ACTIVE = (ast.Call, ast.Await, ast.Yield, ast.YieldFrom, ast.Lambda, ast.comprehension, ast.NamedExpr, ast.JoinedStr)
_SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)


def _called(made: ast.expr) -> str:
    """The name of the function that an expression calls."""
    function = made.func if isinstance(made, ast.Call) else None
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def _inside(node: ast.AST) -> Iterator[Any]:
    """The nodes of a function, without those of functions and classes inside it."""
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, _SCOPES):
            yield child
            yield from _inside(child)


def _certain(body: list[ast.stmt]) -> Iterator[ast.Yield]:
    """The yields that are reached whatever is answered, up to the first early end."""
    for line in body:
        if isinstance(line, ast.If | ast.For | ast.While | ast.Match | ast.Try):
            if any(isinstance(node, ast.Return | ast.Break) for node in _inside(line)):
                return
        elif isinstance(line, ast.With):
            yield from _certain(line.body)
        elif not isinstance(line, _SCOPES):
            yield from (node for node in (line, *_inside(line)) if isinstance(node, ast.Yield))
