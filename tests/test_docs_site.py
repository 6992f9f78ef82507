"""The documents as a site: everything has a place in it, links hold here and there, the reference has everything."""

import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from graphql import is_input_object_type, is_interface_type, is_object_type
from pydantic_settings import BaseSettings
from pymdownx.slugs import slugify

from docs.scripts import site_pages
from orchestrator_defs.api.server_settings import ApiSettings
from resources.settings import Settings
from tests.architecture import ROOT

DOCS = ROOT / "docs"
DOCUMENTS = (*sorted(DOCS.glob("*.md")), *(ROOT / name for name in site_pages.OUTSIDE))
FENCED = re.compile(r"^ *```.*?^ *```", re.DOTALL | re.MULTILINE)


class Tags(yaml.SafeLoader):
    """Reads mkdocs.yml, whose tags name functions."""


Tags.add_multi_constructor("tag:yaml.org,2002:python/", lambda *_: None)


def places(nav: Any) -> Iterator[str]:
    """The pages of a part of the navigation."""
    if isinstance(nav, str):
        yield nav
    else:
        for one in nav.values() if isinstance(nav, Mapping) else nav:
            yield from places(one)


# --- pages and links ---


def test_every_page_has_a_place_in_the_navigation() -> None:
    """Once; a document that mkdocs.yml does not name gets one under "More"."""
    nav = yaml.load((ROOT / "mkdocs.yml").read_text(), Tags)["nav"]
    pages = {path.name for path in DOCS.glob("*.md")} | set(site_pages.PAGES) | set(site_pages.OUTSIDE.values())

    assert sorted(places(site_pages.with_more(nav))) == sorted(pages)
    assert {"contributing.md", "project.md"} <= set(site_pages.with_more(nav[:-1])[-1]["More"])


def anchors(document: Path) -> set[str]:
    """What links to a document may have behind the #: its headings as GitHub and the site name them, and its own."""
    text = FENCED.sub("", document.read_text())
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    slug = slugify(case="lower")
    plain = (re.sub(r"[`*]|\[([^]]*)\]\([^)]*\)", r"\1", heading) for heading in headings)
    return {slug(heading, "-") for heading in plain} | set(re.findall(r'<a id="([^"]+)"', text))


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_hold_in_the_folder_as_on_github(document: Path) -> None:
    faults = []
    for link, anchor in re.findall(r"\]\((?!\w+:)([^)#\s]*)(#[^)\s]*)?\)", FENCED.sub("", document.read_text())):
        target = (document.parent / link).resolve() if link else document
        if not target.exists():
            faults.append(f"{link} is not there")
        elif anchor and target.suffix == ".md" and anchor[1:] not in anchors(target):
            faults.append(f"{link}{anchor}: no such heading")

    assert faults == []


@pytest.mark.parametrize(
    ("page", "link", "becomes"),
    [
        ("lab.md", "../README.md", "project.md"),
        ("project.md", "docs/lab.md", "lab.md"),
        ("deployment.md", "../docs/operations.md", "operations.md"),
        ("workers.md", "../deploy/dagster-queued.yaml", "files/deploy/dagster-queued.yaml"),
        ("reference/settings.md", "../security.md", "../security.md"),
        ("steps.md", "forms.md", "forms.md"),
        ("steps.md", "nowhere.md", "nowhere.md"),
    ],
)
def test_links_out_of_the_documents_are_turned_into_those_of_the_site(page: str, link: str, becomes: str) -> None:
    class Page:
        class file:  # noqa: N801  MkDocs' own shape
            src_uri = page

    assert site_pages.on_page_markdown(f"see [it]({link}#here).", Page) == f"see [it]({becomes}#here)."


def test_pictures_are_small() -> None:
    """They are kept in the repository; docs/scripts/screenshots.py takes them."""
    assert [path.name for path in DOCS.rglob("*.png") if path.stat().st_size > 150_000] == []


def test_every_place_of_the_version_has_the_same() -> None:
    """One command raises them all: `bump-my-version bump`."""
    config = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["bumpversion"]
    version = config["current_version"]
    missing = [
        one["filename"]
        for one in config["files"]
        if one.get("search", version).format(current_version=version) not in (ROOT / one["filename"]).read_text()
    ]

    assert missing == []


# --- the reference ---


@pytest.mark.parametrize("model", [Settings, ApiSettings])
def test_every_setting_says_what_it_means(model: type[BaseSettings]) -> None:
    assert [name for name, about in site_pages.described(model) if not about] == []


def test_every_option_says_what_it_does() -> None:
    """In its `help=`, from which `--help` and the reference are made."""
    silent = [
        f"{words} {option.opts[-1]}"
        for words, command in site_pages.commands()
        for option in site_pages.options(command)
        if not option.help and not option.hidden
    ]

    assert silent == [], "give each its `help=`"


def test_the_reference_has_every_command_and_option() -> None:
    page = site_pages.commands_page()

    for words, command in site_pages.commands():
        part = page.partition(f"## `{words}`\n")[2].partition("\n## ")[0]
        assert part, words
        assert [
            option for option in site_pages.options(command) if option.opts[-1] not in part and not option.hidden
        ] == []


def test_the_reference_has_every_setting() -> None:
    page = site_pages.settings_page()

    assert [name for model in (Settings, ApiSettings) for name in model.model_fields if name.upper() not in page] == []


def test_every_endpoint_says_what_it_does_and_who_may() -> None:
    page = site_pages.endpoints_page()

    for method, path, operation in site_pages.endpoints():
        assert operation.get("summary"), f"{method} {path}"
        assert f"| `{method} {path}` | **{operation['summary']}.**" in page


def test_every_graphql_type_of_ours_says_what_it_is() -> None:
    """By a description of the type, or of the class of a product or block."""
    silent = [
        one.name
        for one in site_pages.types(site_pages.schema())
        if (is_object_type(one) or is_interface_type(one) or is_input_object_type(one)) and not one.description
    ]

    assert silent == [], "give each a sentence in orchestrator_defs/api/graphql/type_texts.py"
