"""Adds a product to the module that names every product and workflow of a project, and leaves the rest as it stands."""

import ast
import re

from orchestrator_defs.scaffolding.layout import laid_out


def registered(code: str, package: str, module: str) -> str | None:
    """The code of `definitions/__init__.py` with the product's module added; None where it has no place to be seen.

    Its place are the lists `products=[…]` and `workflows=[…]` of the call of `build_definitions`.
    """
    for keyword, item in (("products", f"*{module}.PRODUCTS"), ("workflows", f"*{module}_workflows.WORKFLOWS")):
        if re.search(rf"{re.escape(item)}\b", code):
            continue
        found = _list_of(code, keyword)
        if found is None:
            return None
        code = _with_item(code, found, item)
    code = _with_import(code, f"{package}.definitions", f"{module} as {module}_workflows")
    return _with_import(code, f"{package}.resources", module)


def lines_to_add(package: str, module: str) -> str:
    """What a person adds where the module is built in a way of its own."""
    return (
        f"from {package}.definitions import {module} as {module}_workflows\nfrom {package}.resources import {module}\n"
        f"… products=[…, *{module}.PRODUCTS], workflows=[…, *{module}_workflows.WORKFLOWS]"
    )


def _list_of(code: str, keyword: str) -> ast.List | None:
    try:
        calls = [node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Call)]
    except SyntaxError:
        return None
    for call in calls:
        if isinstance(call.func, ast.Name | ast.Attribute) and ast.unparse(call.func).endswith("build_definitions"):
            for one in call.keywords:
                if one.arg == keyword and isinstance(one.value, ast.List):
                    return one.value
    return None


def _with_item(code: str, found: ast.List, item: str) -> str:
    """The code with one more item, on the line of the others or on a line of its own as they are."""
    lines = code.splitlines(keepends=True)
    end = found.end_lineno or 0
    line = lines[end - 1].encode()
    head, tail = line[: (found.end_col_offset or 0) - 1].decode(), line[(found.end_col_offset or 0) - 1 :].decode()
    if head.strip():
        together = f"{head}, {item}{tail}" if found.elts else f"{head}{item}{tail}"
        lines[end - 1] = laid_out(together, "")
    else:
        lines.insert(end - 1, f"{head}    {item},\n")
    return "".join(lines)


def _with_import(code: str, module: str, name: str) -> str:
    """The code with an import, beside those of the same module if there are any, in the order of the alphabet."""
    lines = code.splitlines(keepends=True)
    wanted = f"from {module} import {name}\n"
    if wanted in lines:
        return code
    is_alias = " as " in name
    for index, line in enumerate(lines):
        names = re.fullmatch(rf"from {re.escape(module)} import ([\w, ]+)\n", line)
        if names and not is_alias and " as " not in line:
            known = {*names[1].split(", "), name}
            lines[index] = laid_out(f"from {module} import {', '.join(sorted(known))}\n", "")
            return "".join(lines)
    after = [
        n
        for n, line in enumerate(lines)
        if re.match(r"(from|import) ", line) and line < wanted and module.split(".")[0] in line
    ]
    anywhere = [n for n, line in enumerate(lines) if re.match(r"(from|import) ", line)]
    first = next((n for n in anywhere if re.match(rf"from {re.escape(module.split('.')[0])}[. ]", lines[n])), None)
    place = after[-1] + 1 if after else first if first is not None else anywhere[-1] + 1 if anywhere else 0
    lines.insert(place, wanted)
    return "".join(lines)
