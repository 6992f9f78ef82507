"""The table of imports, which a porting command reads: every name of ours in it exists, and the page lists it."""

import importlib
import re
from uuid import uuid4

import pytest

import resources
from tests.architecture import FLOORS, ROOT, face_names
from tests.test_carried_over.rewriting import TABLE, rewritten

PAGE = (ROOT / "docs" / "from_orchestrator_core.md").read_text()
NEW = sorted({name for kind in ("imports", "others") for names in TABLE[kind].values() for name in names.values()})


@pytest.mark.parametrize("name", NEW)
def test_every_name_of_the_table_exists(name):
    """Ours on a face, others in their module."""
    home, _, last = name.rpartition(".")

    assert hasattr(importlib.import_module(home), last)
    if home.partition(".")[0] in FLOORS:
        assert last in face_names(home)


def test_no_name_is_both_there_and_missing():
    both = {
        f"{module}.{name}"
        for module, names in TABLE["missing"].items()
        for name in names
        if name in TABLE["imports"].get(module, {})
    }

    assert both == set()


def test_page_lists_every_row_of_the_table():
    rows = {
        f"| `{module}` | `{name}` | `{new}` |"
        for module, names in TABLE["imports"].items()
        for name, new in names.items()
    } | {
        f"| `{module}` | `{name}` | {hint} |"
        for module, names in TABLE["missing"].items()
        for name, hint in names.items()
    }

    assert rows - set(PAGE.splitlines()) == set()
    assert {line for line in PAGE.splitlines() if re.match(r"\| `[\w.]*` \| `", line)} - rows == set()


@pytest.mark.parametrize("package", ["orchestrator.core", "orchestrator"])
def test_imports_of_either_package_are_changed(package):
    source = (
        f"from {package}.workflow import step, StepList as Steps\n"
        f"from {package}.workflows.steps import unsync_unchecked\n"
    )

    assert rewritten(source) == (
        "from ops import step\nfrom ops import StepList as Steps\nfrom ops import unsync as unsync_unchecked\n"
    )


def test_questions_of_the_page_are_answered(session):
    """As they are written there."""
    asked = re.findall(r"`((?:list_|count_|in_use_by_)\w+\(.*?\))`[ ;|]", PAGE)
    names = {"names": ["a"], "subscription_id": uuid4()}

    found = [eval(one, {name: getattr(resources, name) for name in face_names("resources")}, names) for one in asked]

    assert len(asked) == 8
    assert [list(answer) if isinstance(answer, list) else answer for answer in found].count([]) == 7
