"""What people give a command becomes the pages of a form, or a sentence that says why not."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest
from dagster import config_from_files

from orchestrator_defs.cli.processes.inputs import read_inputs


@pytest.fixture
def file(tmp_path: Path) -> Callable[[str], Path]:
    """Writes a file."""

    def write(text: str) -> Path:
        path = tmp_path / "input.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("10:11:22", "10:11:22"),
        ("010", "010"),
        ("1_000", "1_000"),
        ("no", "no"),
        ("2026-11-23", "2026-11-23"),
        ("0x10", "0x10"),
        ("~", "~"),
        ("NaN", "NaN"),
        ("a: b", "a: b"),
        ("", ""),
        ("a=b", "a=b"),
        ("12", 12),
        ("1.5", 1.5),
        ("true", True),
        ("null", None),
        ('"12"', "12"),
        ("[1, 2]", [1, 2]),
        ('{"a": 1}', {"a": 1}),
    ],
)
def test_a_value_on_the_line_is_json_or_else_text(text: str, value: Any) -> None:
    found = read_inputs(None, [f"field={text}"])
    assert found == {"field": value}
    assert type(found["field"]) is type(value)


def test_fields_on_the_line_are_one_page() -> None:
    assert read_inputs(None, ["a=1", "b=x"]) == {"a": 1, "b": "x"}


@pytest.mark.parametrize("text", ["a", "=1"])
def test_what_is_no_field_with_a_value_is_refused(text: str) -> None:
    with pytest.raises(click.UsageError, match="is not field=value"):
        read_inputs(None, [text])


def test_a_field_given_twice_is_refused() -> None:
    with pytest.raises(click.UsageError, match="a is given twice"):
        read_inputs(None, ["a=1", "a=2"])


def test_nothing_given_is_no_input() -> None:
    assert read_inputs(None, []) is None


def test_a_file_and_fields_are_too_much(file: Callable[[str], Path]) -> None:
    with pytest.raises(click.UsageError, match="not both"):
        read_inputs(file("a: 1"), ["a=1"])


@pytest.mark.parametrize(
    ("text", "inputs"),
    [
        ("inputs: [{a: 1}, {b: 2}]", [{"a": 1}, {"b": 2}]),
        ("inputs: {a: 1}", {"a": 1}),
        ("inputs: {a: 1}\nprocess: null", {"a": 1}),
        ("inputs:", None),
        ("[{a: 1}]", [{"a": 1}]),
        ("a: 1", {"a": 1}),
        ("", None),
    ],
)
def test_a_file_is_its_inputs_or_all_of_it(file: Callable[[str], Path], text: str, inputs: Any) -> None:
    assert read_inputs(file(text), []) == inputs


@pytest.mark.parametrize(
    "value", ["2026-11-30", "2026-11-30T12:00:00Z", "12:30", "007", "no", "1e3", "~", "1_000", "'7'"]
)
def test_a_file_is_read_as_dagsters_own_commands_read_it(file: Callable[[str], Path], value: str) -> None:
    config = file(f"inputs:\n  - field: {value}\n")
    assert read_inputs(config, ()) == config_from_files([str(config)])["inputs"]


def test_a_key_beside_inputs_is_named(file: Callable[[str], Path]) -> None:
    with pytest.raises(click.UsageError, match="has input, ops beside `inputs`"):
        read_inputs(file("inputs: {a: 1}\nops: {}\ninput: {}"), [])


@pytest.mark.parametrize("text", ["process: 1f2e", "process: 1f2e\ninputs: {a: 1}", "process: 1f2e\na: 1"])
def test_a_file_that_names_a_process_is_for_resume(file: Callable[[str], Path], text: str) -> None:
    with pytest.raises(click.UsageError, match="`orchestrator resume 1f2e`"):
        read_inputs(file(text), [])


def test_a_missing_file_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(click.ClickException) as refused:
        read_inputs(tmp_path / "none.yaml", [])
    assert refused.value.message == f"There is no file {tmp_path / 'none.yaml'}."


def test_a_directory_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(click.ClickException, match="cannot be read: Is a directory"):
        read_inputs(tmp_path, [])


def test_what_is_no_yaml_is_refused(file: Callable[[str], Path]) -> None:
    with pytest.raises(click.ClickException, match="is not YAML"):
        read_inputs(file("a: [1"), [])


@pytest.mark.parametrize("text", ["9" * 5000, f"a: {'9' * 5000}", "[" * 5000 + "]" * 5000, "{" * 300])
def test_a_file_beyond_the_limits_of_yaml_is_refused_in_a_sentence(file: Callable[[str], Path], text: str) -> None:
    try:
        read_inputs(file(text), ())
    except click.ClickException as error:
        assert "is not YAML" in str(error) or "nested deeper" in str(error)
