"""Tests of kd.answer_forms: the same rows come back out of every form."""

import csv
import io
import json

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.readers.texts import RejectedRow
from kd import answer_forms
from kd.answer_columns import Columns
from kd.answer_forms import answer_bytes, header_bytes, rejected_bytes, write_parquet

COLUMNS = Columns(("id", "mood", "chance", "level"), (str, str, float, int), lambda *_: [])
# What a text may hold once it was not rejected.
texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
values = st.tuples(
    texts,
    st.none() | texts,
    st.none() | st.floats(-1e6, 1e6).map(lambda value: round(value, 6)),
    st.none() | st.integers(0, 2),
)


def lines_of(rows):
    return header_bytes("jsonl", COLUMNS) + answer_bytes("jsonl", COLUMNS, rows)


@pytest.mark.parametrize(("form", "between"), [("csv", ","), ("tsv", "\t")])
@given(rows=st.lists(values))
def test_a_table_is_read_as_it_was_written_but_for_what_is_missing(form, between, rows):
    written = header_bytes(form, COLUMNS) + answer_bytes(form, COLUMNS, rows)
    file = io.StringIO(written.decode(), newline="")
    header, *read = csv.reader(file, delimiter=between, strict=True)
    assert tuple(header) == COLUMNS.names
    expected = [
        [
            name,
            mood or "",
            "" if chance is None else f"{chance:.6f}",
            "" if level is None else str(level),
        ]
        for name, mood, chance, level in rows
    ]
    assert read == expected


@given(rows=st.lists(values))
def test_json_lines_are_read_as_they_were_written(rows):
    """Split at \\n alone: a text may hold what Python, too, calls the end of a line."""
    lines = lines_of(rows).decode().split("\n")
    assert lines.pop() == ""
    assert [tuple(json.loads(line).values()) for line in lines] == rows
    assert all(tuple(json.loads(line)) == COLUMNS.names for line in lines)


@pytest.mark.parametrize("group", [1, 2, 100])
def test_a_parquet_file_has_the_rows_and_types_of_its_lines(tmp_path, monkeypatch, group):
    monkeypatch.setattr(answer_forms, "GROUP_ROWS", group)
    rows = [("a", "sad\u2028\r\x85", 0.5, 2), ("b", None, None, None), ("c", "", 1.0, 0)]
    for some in (rows, []):
        (tmp_path / "lines").write_bytes(lines_of(some))
        write_parquet(tmp_path / "lines", tmp_path / "out.parquet", COLUMNS)
        table = pq.read_table(tmp_path / "out.parquet")
        assert [tuple(row.values()) for row in table.to_pylist()] == some
        assert [str(kind) for kind in table.schema.types] == ["string", "string", "double", "int64"]


def test_numbers_have_six_decimals_in_every_form():
    row = [("a", "b", 1 / 3, 1)]
    assert answer_bytes("csv", COLUMNS, row) == b"a,b,0.333333,1\n"
    assert json.loads(answer_bytes("jsonl", COLUMNS, row))["chance"] == 0.333333


def test_a_rejected_row_is_a_line_of_id_number_place_and_reason():
    rows = [RejectedRow(3, 7, "a,b", "is empty"), RejectedRow(4, None, "", "has no text")]
    assert rejected_bytes(rows) == b'"a,b",3,7,is empty\n,4,,has no text\n'
    assert rejected_bytes([]) == b""
