"""Each guarantee names the tests that hold it, and those exist."""

import re
from pathlib import Path

TESTS = Path(__file__).parent
PAGE = TESTS.parent / "docs" / "guarantees.md"


def test_every_test_that_a_guarantee_names_exists() -> None:
    named = re.findall(r"`(test_[\w/]+\.py)(?:::(\w+))?`", PAGE.read_text())

    missing = [
        f"{path}::{name}"
        for path, name in named
        if not (TESTS / path).is_file() or f"def {name}" not in (TESTS / path).read_text()
    ]

    assert named
    assert not missing
