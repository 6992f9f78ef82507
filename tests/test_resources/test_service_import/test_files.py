"""Reading services out of files, and writing the refused ones."""

import json
from pathlib import Path

import pytest

from resources.service_import.files import REASON, RefusedRows, ServiceFileError, read_rows

ROWS = [{"key": "a", "device": {"hostname": "ams1"}}, {"key": "b", "device": {"hostname": "lon7"}}]
CSV = "key;device.hostname\na; ams1 \nb;lon7\n"


def file(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("s.json", json.dumps(ROWS)),
        ("s.jsonl", "\n".join(map(json.dumps, ROWS)) + "\n\n"),
        ("s.yaml", "- {key: a, device: {hostname: ams1}}\n- key: b\n  device:\n    hostname: lon7\n"),
    ],
)
def test_a_file_has_the_same_rows_in_each_format(tmp_path: Path, name: str, text: str) -> None:
    rows = list(read_rows(file(tmp_path, name, text)))
    assert [dict(row.values) for row in rows] == ROWS
    assert [row.number for row in rows] == [1, 2]


def test_a_table_counts_lines_and_leaves_out_empty_cells(tmp_path: Path) -> None:
    rows = list(read_rows(file(tmp_path, "s.csv", "\ufeff" + CSV + "c;\n")))
    assert [(row.number, dict(row.values)) for row in rows] == [
        (2, {"key": "a", "device.hostname": "ams1"}),
        (3, {"key": "b", "device.hostname": "lon7"}),
        (4, {"key": "c"}),
    ]


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("s.txt", "", "its format is unknown"),
        ("s.csv", "a,a\n", "names the columns, each once"),
        ("s.csv", "a\n1,2\n", "line 2 has more cells"),
        ("s.csv", 'a\n"1\n', "cannot be read as csv"),
        ("s.json", "{}", "expected a list"),
        ("s.jsonl", '{"a": 1}\nnot\n', "line 2:"),
        ("s.jsonl", "[1]\n", "row 1: expected names with values"),
        ("s.yaml", "- {a: 1\n", "cannot be read as yaml"),
    ],
)
def test_a_file_that_cannot_be_read_is_a_sentence(tmp_path: Path, name: str, text: str, sentence: str) -> None:
    with pytest.raises(ServiceFileError, match=sentence):
        list(read_rows(file(tmp_path, name, text)))


@pytest.mark.parametrize("name", ["s.csv", "s.json", "s.jsonl", "s.yaml"])
def test_refused_rows_are_read_again(tmp_path: Path, name: str) -> None:
    texts = {".csv": CSV, ".json": json.dumps(ROWS), ".jsonl": "\n".join(map(json.dumps, ROWS))}
    source = file(tmp_path, name, texts.get(Path(name).suffix, json.dumps(ROWS)))
    target = tmp_path / f"refused{source.suffix}"
    with RefusedRows(target, source) as refused:
        for row in read_rows(source):
            refused.add(row, "it is so")
    assert target.read_text().count(REASON) == (1 if name == "s.csv" else 2)
    assert [row.values for row in read_rows(target)] == [row.values for row in read_rows(source)]


def test_no_file_of_refused_rows_is_made_without_one_or_over_another(tmp_path: Path) -> None:
    source = file(tmp_path, "s.csv", CSV)
    with RefusedRows(tmp_path / "r.csv", source):
        pass
    assert not (tmp_path / "r.csv").exists()
    with pytest.raises(ServiceFileError, match="is not overwritten"):
        RefusedRows(source, source)
    with pytest.raises(ServiceFileError, match=r"end with \.csv"):
        RefusedRows(tmp_path / "r.json", source)
