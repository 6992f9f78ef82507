"""Breaks the lines of written code that a long name makes too long, as ruff and black do."""

import re
from collections.abc import Iterator

LINE = 120
IMPORT = re.compile(r"from \S+ import ")
PAIRS = {"(": ")", "[": "]", "{": "}"}


def wrapped(code: str) -> str:
    """The code with every line that is too long broken at its last outer bracket, where it has one."""
    return "\n".join(line for whole in code.split("\n") for line in _broken(whole))


def _broken(line: str) -> Iterator[str]:
    if len(line) > LINE and (names := IMPORT.match(line)):
        yield f"{names[0]}("
        yield from (f"    {name}," for name in _items(line[names.end() :]))
        yield ")"
        return
    span = _last_bracket(line) if len(line) > LINE else None
    if span is None:
        yield line
        return
    opened, closed = span
    indent = line[: len(line) - len(line.lstrip())]
    items = _items(line[opened + 1 : closed])
    yield line[: opened + 1]
    together = f"{indent}    {', '.join(items)}"
    if len(together) <= LINE:
        yield together
    else:
        for item in items:
            yield from _broken(f"{indent}    {item},")
    yield f"{indent}{line[closed:]}"


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
    quote = ""
    for place, sign in enumerate(line):
        if quote:
            quote = "" if sign == quote else quote
        elif sign in "\"'":
            quote = sign
        else:
            yield place, sign
