"""Lays written code out as ruff and black do: imports sorted and none too many, lines that are too long broken."""

import ast
import re
import sys
import textwrap
from collections.abc import Iterable, Iterator

LINE = 120
PAIRS = {"(": ")", "[": "]", "{": "}"}
MARK = "# imports\n"
"""Where a template wants the imports that its code needs."""
OFFERED = {
    "annotated_types": "Len",
    "collections.abc": "Callable",
    "dagster": "Definitions",
    "enum": "IntEnum StrEnum",
    "ops": "CustomerId FormGenerator FormPage StepContext StepList SubmitFormPage SubscriptionId begin compare step",
    "orchestrator_defs": "create_workflow modify_workflow reconcile_workflow terminate_workflow validate_workflow",
    "orchestrator_defs.testing": "Run Testbed",
    "pydantic": "AfterValidator BaseModel ConfigDict Field TypeAdapter model_validator",
    "pydantic_forms.validators": "migration_summary",
    "pytest": "pytest",
    "resources": "Product ProductBlockModel State SubscriptionLifecycle SubscriptionModel SubscriptionTable "
    "default_customer_id list_subscriptions",
    "typing": "Annotated Any Self",
    "uuid": "UUID",
}
"""Module -> the names that templates use of it; code imports those that it has."""
OFFERED_NAMES = {name for names in OFFERED.values() for name in names.split()}


def laid_out(code: str, package: str, own: Iterable[tuple[str, str]] = ()) -> str:
    """The code with the imports that it needs in the place of MARK, and with every line that is too long broken.

    `own` are modules with names of this product and its project; a name of theirs hides one of OFFERED.
    """
    offered = {name: module for module, names in OFFERED.items() for name in names.split()}
    offered |= {name: module for module, name in own}
    head, mark, body = code.partition(MARK)
    if mark:
        needed = _names(body) - names_bound(body)
        code = f"{head}{imports({name: offered[name] for name in needed if name in offered}, package)}{body}"
        code = spaced(code)
    return "\n".join(line for whole in code.split("\n") for line in _broken(whole))


def spaced(code: str) -> str:
    """The code with as many empty lines as there have to be, for code that may have any number of them."""
    lines: list[str] = []
    empty = 0
    for line in (one.rstrip() for one in code.split("\n")):
        if not line:
            empty += 1
            continue
        before = lines[-1] if lines else ""
        if before.startswith("@") or not before:
            most, least = 0, 0
        elif re.match("@|class |def ", line) or (before[0] == " " and line[0] not in " )]}"):
            most, least = 2, 2
        else:
            is_after_imports = before.startswith(("from ", "import ")) and not line.startswith(("from ", "import "))
            most, least = (0, 0) if before.endswith(":") else (1 if line[0] == " " else 2, int(is_after_imports))
        lines += [""] * max(least, min(empty, most)) + [line]
        empty = 0
    return "\n".join([*lines, ""])


def imports(modules: dict[str, str], package: str) -> str:
    """The imports of these names: of Python, of what is installed, of the project's own package."""
    sections: list[list[str]] = [[], [], []]
    for module in sorted(set(modules.values()), key=lambda one: one.lower()):
        names = sorted((name for name, where in modules.items() if where == module), key=_rank)
        root = module.partition(".")[0]
        section = 0 if root in sys.stdlib_module_names else 2 if root == package else 1
        line = f"import {module}\n" if names == [module] else f"from {module} import {', '.join(names)}\n"
        sections[section].append(line)
    return "\n".join("".join(sorted(lines, key=lambda one: one[0] == "f")) for lines in sections if lines)


def names_bound(code: str) -> set[str]:
    """The names that a module defines."""
    names: set[str] = set()
    for node in ast.parse(code).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            names.add(node.name)
        elif isinstance(node, ast.Assign):
            names |= {target.id for target in node.targets if isinstance(target, ast.Name)}
    return names


def _rank(name: str) -> tuple[int, list[tuple[int, int | str]], str]:
    """Constants, then classes, then the rest; each by the alphabet, numbers by their size."""
    kind = 0 if name.isupper() and len(name) > 1 else 1 if name[:1].isupper() else 2
    parts = [(0, int(part)) if part.isdigit() else (1, part) for part in re.findall(r"\d+|\D+", name.lower())]
    return kind, parts, name


def _names(code: str) -> set[str]:
    return {node.id for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Name)}


def twice_bound(code: str) -> str | None:
    """A name that a module imports or defines twice."""
    bound: set[str] = set()
    for node in ast.parse(code).body:
        names: list[str] = []
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [alias.asname or alias.name for alias in node.names]
        elif isinstance(node, ast.ClassDef | ast.FunctionDef):
            names = [node.name]
        elif isinstance(node, ast.Assign):
            names = [target.id for target in node.targets if isinstance(target, ast.Name)]
        if again := bound.intersection(names):
            return min(again)
        bound |= {*names}
    return None


def documented(text: str, indent: str = "    ") -> str:
    """A docstring of this text, which ends with a full stop."""
    text = text.replace("\\", "\\\\").replace('"', "'")
    text = text if text[-1:] in ".!?" else f"{text}."
    if len(indent) + len(text) + 6 <= LINE:
        return f'{indent}"""{text}"""'
    lines = textwrap.wrap(text, LINE - len(indent) - 3, break_long_words=False, break_on_hyphens=False)
    return "\n".join([f'{indent}"""{lines[0]}', *(f"{indent}{line}" for line in lines[1:]), f'{indent}"""'])


def _broken(line: str) -> Iterator[str]:
    if len(_without_pragma(line)) <= LINE:
        yield line
        return
    if names := re.match(r"from \S+ import ", line):
        yield from (f"{names[0]}(", *(f"    {name}," for name in _items(line[names.end() :])), ")")
        return
    if (field := re.fullmatch(r"( *)(\w+: .*?) = ([\w.]+)", line)) and len(f"{field[1]}{field[2]} = (") <= LINE:
        yield from (f"{field[1]}{field[2]} = (", f"{field[1]}    {field[3]}", f"{field[1]})")
        return
    span = _last_bracket(line)
    if span is None:
        yield from _text_in_parts(line)
        return
    opened, closed = span
    indent = line[: len(line) - len(line.lstrip())]
    items = _items(line[opened + 1 : closed])
    yield line[: opened + 1]
    together = f"{indent}    {', '.join(items)}"
    is_literal = not re.search(r"[\w\])]$", line[:opened])
    if len(together) <= LINE and not (is_literal and len(items) > 1):
        yield together
    else:
        for item in items:
            yield from _broken(f"{indent}    {item},")
    yield f"{indent}{line[closed:]}"


def _text_in_parts(line: str) -> Iterator[str]:
    """The line of an argument that is a long text, with the text in several parts."""
    found = re.fullmatch(r'( *)(\w+=)"([^"\\]*)"(,?)', line)
    if found is None:
        yield line
        return
    indent, name, text, end = found.groups()
    parts = textwrap.wrap(text, LINE - len(indent) - len(name) - 4, drop_whitespace=False, break_on_hyphens=False)
    for number, part in enumerate(parts):
        yield f'{indent}{"" if number else name}"{part}"{end if number == len(parts) - 1 else ""}'


def _without_pragma(line: str) -> str:
    return line.partition("  # type: ")[0]


def _last_bracket(line: str) -> tuple[int, int] | None:
    """Where the last bracket that is in no other opens and closes; text in quotes counts as text."""
    found, depth, opened = None, 0, 0
    for place, sign in _code(line):
        if sign in PAIRS:
            opened = opened if depth else place
            depth += 1
        elif sign in PAIRS.values():
            depth -= 1
            found = found if depth else (opened, place)
    return found


def _items(inside: str) -> list[str]:
    depth, start, items = 0, 0, []
    for place, sign in _code(inside):
        depth += (sign in PAIRS) - (sign in PAIRS.values())
        if sign == "," and not depth:
            items.append(inside[start:place].strip())
            start = place + 1
    return [item for item in (*items, inside[start:].strip()) if item]


def _code(line: str) -> Iterator[tuple[int, str]]:
    """The characters of a line that are in no quotes, with their places."""
    quote, is_escaped = "", False
    for place, sign in enumerate(line):
        if quote:
            quote = "" if sign == quote and not is_escaped else quote
            is_escaped = sign == "\\" and not is_escaped
        elif sign in "\"'":
            quote = sign
        else:
            yield place, sign
