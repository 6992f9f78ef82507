"""MkDocs' hook: makes the reference from the code, and pages and links of what lies outside docs/.

`mkdocs build --strict` calls it. `python docs/scripts/site_pages.py FOLDER` writes the reference alone, as Markdown.
"""

import inspect
import os
import posixpath
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import click
from graphql import GraphQLNamedType, GraphQLSchema, is_enum_type, is_introspection_type, is_union_type
from pydantic_settings import BaseSettings

from orchestrator_defs import defs
from orchestrator_defs.api.app import create_app
from orchestrator_defs.api.graphql.service import make_executor
from orchestrator_defs.api.security.access_rules import RULES
from orchestrator_defs.api.server_settings import ApiSettings
from orchestrator_defs.cli.main import LazyCommand, main
from orchestrator_defs.jobs.orchestrator import orchestrator_of
from orchestrator_defs.jobs.served import Served
from resources.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
OUTSIDE = {
    "README.md": "project.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "deploy/README.md": "deployment.md",
}
"""Documents beside docs/, and the pages that they become."""
LINK = re.compile(r"(?<=\]\()(?!\w+:|#)([^)#\s]+)(#[^)\s]*)?(?=\))")
MADE = "*This page is made from the code when the site is built.*"
MERMAID = os.environ.get("MERMAID_JS")
"""The script that draws the pictures, for networks that do not reach unpkg.com."""
CODE_OPTIONS = ("module_name", "python_file", "attribute", "working_directory", "workspace")
TESTED = ApiSettings(oauth2_active=False)

# --- the reference ---


def settings_page() -> str:
    """Every variable, its default and its meaning, of commands and runs and of the server."""
    parts = ["# All settings", MADE, "[Settings](../settings.md) and [security](../security.md) say more about them."]
    for title, model in (("Every process", Settings), ("The server", ApiSettings)):
        lines = [[f"`{name.upper()}`", _default(model, name), _text(about)] for name, about in described(model)]
        parts += [f"## {title}", _table(("Variable", "Default", "Meaning"), lines)]
    return "\n\n".join(parts)


def described(model: type[BaseSettings]) -> Iterator[tuple[str, str]]:
    """The fields of a class of settings, with their descriptions."""
    return ((name, field.description or "") for name, field in model.model_fields.items())


def _default(model: type[BaseSettings], name: str) -> str:
    value = model.model_fields[name].default
    if hasattr(value, "get_secret_value"):
        value = value.get_secret_value()
    if isinstance(value, tuple):
        value = ",".join(value)
    return f"`{value}`" if value not in (None, "") else ""


def commands() -> Iterator[tuple[str, click.Command]]:
    """Every command, with the words that call it."""

    def below(words: str, found: Any) -> Iterator[tuple[str, click.Command]]:
        command = found.command if isinstance(found, LazyCommand) else found
        yield words, command
        if isinstance(command, click.Group):
            for name, one in command.commands.items():
                yield from below(f"{words} {name}", one)

    return below("orchestrator", main)


def options(command: click.Command) -> list[click.Option]:
    """Its options, but those with which every command finds the code."""
    return [one for one in command.params if isinstance(one, click.Option) and one.name not in CODE_OPTIONS]


def commands_page() -> str:
    """Every command with its options."""
    parts = ["# All commands", MADE]
    parts.append(
        "A command that needs products and workflows also takes `-m`, `-f`, `-a`, `-d`, `-w` and `--location`, which"
        " name the code as for Dagster's commands. [Exit codes](../processes.md#exit-codes) are the same for all."
    )
    for words, command in commands():
        context = click.Context(command, info_name=words)
        parts += [f"## `{words}`", "```text\n" + " ".join([words, *command.collect_usage_pieces(context)]) + "\n```"]
        parts.append(_text(command.help or "", lines=True))
        records = [record for one in options(command) if (record := one.get_help_record(context))]
        if records:
            parts.append(_table(("Option", ""), [[f"`{_text(name)}`", _text(about)] for name, about in records]))
    return "\n\n".join(parts)


def endpoints() -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Every operation of the API: method, path, what OpenAPI says of it."""
    for path, methods in create_app(TESTED, defs).openapi()["paths"].items():
        yield from ((method.upper(), path, operation) for method, operation in methods.items())


def endpoints_page() -> str:
    """Every operation of the API, by its tag."""
    by_tag: dict[str, list[list[str]]] = {}
    for method, path, operation in endpoints():
        least = next((str(one.least) for one in RULES if method in one.each_method and one.is_of(path)), "admin")
        about = _text(operation.get("description") or "")
        if about.rstrip(".") == operation["summary"]:
            about = ""
        line = [f"`{method} {path}`", f"**{operation['summary']}.** {about}", least]
        by_tag.setdefault(operation["tags"][0], []).append(line)
    parts = [
        "# All endpoints",
        MADE,
        "`/api/docs` of a server has their models and examples; [the API](../api.md) says how",
    ]
    parts[-1] += " they play together, and [security](../security.md#roles) what a role may do."
    for tag, lines in sorted(by_tag.items()):
        parts += [f"## {tag}", _table(("Call", "What it does", "Least role"), lines)]
    return "\n\n".join(parts)


def schema() -> GraphQLSchema:
    """The schema of the shipped products."""
    return make_executor(Served([orchestrator_of(defs)]), TESTED).schema


def types(of: GraphQLSchema) -> list[GraphQLNamedType]:
    """Its types, the roots first, but those that describe a schema itself."""
    named = [one for one in of.type_map.values() if not is_introspection_type(one) and not one.name.startswith("_")]
    return sorted(named, key=lambda one: (one.name not in ("Query", "Mutation"), one.name.lower()))


def graphql_page() -> str:
    """Every GraphQL type with its fields."""
    parts = ["# All GraphQL types", MADE, "Those of the shipped products among them; yours are made in the same way"]
    parts[-1] += " ([GraphQL](../graphql.md))."
    for one in types(schema()):
        parts += [f"## `{one.name}`", _text(one.description or "", lines=True)]
        if is_enum_type(one):
            parts.append("One of " + ", ".join(f"`{value}`" for value in one.values) + ".")
        elif is_union_type(one):
            parts.append("One of " + ", ".join(f"[`{kind.name}`](#{kind.name.lower()})" for kind in one.types) + ".")
        elif fields := getattr(one, "fields", None):
            parts.append(_table(("Field", "Type", ""), [_field(name, field) for name, field in fields.items()]))
    return "\n\n".join(part for part in parts if part)


def _field(name: str, field: Any) -> list[str]:
    arguments = ", ".join(f"{key}: {one.type}" for key, one in getattr(field, "args", {}).items())
    return [f"`{name}({arguments})`" if arguments else f"`{name}`", f"`{field.type}`", _text(field.description or "")]


def _text(text: str, *, lines: bool = False) -> str:
    text = text.split("\f")[0].replace("\b\n", "")
    return inspect.cleandoc(text) if lines else " ".join(text.split()).replace("|", "\\|")


def _table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    return "\n".join("| " + " | ".join(line) + " |" for line in (head, ["---"] * len(head), *lines))


PAGES = {
    "reference/settings.md": settings_page,
    "reference/commands.md": commands_page,
    "reference/endpoints.md": endpoints_page,
    "reference/graphql.md": graphql_page,
}

# --- the site ---


def on_config(config: Any) -> Any:
    """Give every document a place in the navigation."""
    config.nav = with_more(config.nav)
    if MERMAID:
        config.extra_javascript.append("mermaid.min.js")
    return config


def with_more(nav: Sequence[Any]) -> list[Any]:
    """The navigation, and behind it the pages that it does not name."""
    named = str(nav)
    pages = sorted([*(path.name for path in (ROOT / "docs").glob("*.md")), *OUTSIDE.values()])
    more = [name for name in pages if f"'{name}'" not in named]
    return [*nav, {"More": more}] if more else list(nav)


def on_files(files: Any, config: Any) -> Any:
    """Add the reference, the documents beside docs/, and the files that documents link."""
    from mkdocs.structure.files import File  # the tests of the reference need none of it

    for name, page in PAGES.items():
        files.append(File.generated(config, name, content=page()))
    if MERMAID:
        files.append(File.generated(config, "mermaid.min.js", content=Path(MERMAID).read_bytes()))
    for source, name in OUTSIDE.items():
        files.append(File.generated(config, name, content=(ROOT / source).read_text(encoding="utf-8")))
    texts = [(one.src_uri, one.content_string) for one in files.documentation_pages()]
    for path in sorted({path for name, text in texts for path in _linked(name, text)}):
        files.append(File.generated(config, f"files/{path}", content=(ROOT / path).read_bytes()))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Turn links that hold in the project's folder, as on GitHub, into those of the site."""
    return LINK.sub(lambda link: _rewritten(page.file.src_uri, link[1]) + (link[2] or ""), markdown)


def _source(page: str) -> str:
    """Where a page comes from, in the project's folder."""
    return {name: source for source, name in OUTSIDE.items()}.get(page, f"docs/{page}")


def _linked(page: str, text: str) -> Iterator[str]:
    for link in LINK.finditer(text):
        target = posixpath.normpath(posixpath.join(posixpath.dirname(_source(page)), link[1]))
        if not target.startswith("docs/") and target not in OUTSIDE and (ROOT / target).is_file():
            yield target


def _rewritten(page: str, link: str) -> str:
    target = posixpath.normpath(posixpath.join(posixpath.dirname(_source(page)), link))
    if target.startswith("docs/"):
        place = target.removeprefix("docs/")
    else:
        place = OUTSIDE.get(target) or f"files/{target}"
        if not (ROOT / target).is_file():
            return link
    return posixpath.relpath(place, posixpath.dirname(page) or ".")


if __name__ == "__main__":
    for name, page in PAGES.items():
        path = Path(sys.argv[1]) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(page() + "\n", encoding="utf-8")
