"""Tests of data.readers.table: a user's own CSV, TSV, JSONL or Parquet file."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data.errors import InputError
from data.readers.table import Columns, read_table

ALL = Columns(
    text="body", label="grade", context="post", key="no", group="who", rationale="because"
)
ROWS = [
    {"body": 'Oh, "no"', "grade": 2, "post": "I fell", "no": "7", "who": "ann", "because": "no|Oh"},
    {"body": "Well\ndone", "grade": None, "post": "I won", "no": "8", "who": "bo", "because": ""},
]
CSV = (
    'because,who,no,post,grade,body\nno|Oh,ann,7,I fell,2,"Oh, ""no"""\n,bo,8,I won,,"Well\ndone"\n'
)


def written_as(write, tmp_path, ending):
    if ending == ".csv":
        return write("mine.csv", CSV)
    if ending == ".tsv":
        return write("mine.TSV", CSV.replace("Oh, ", "\0").replace(",", "\t").replace("\0", "Oh, "))
    if ending == ".jsonl":
        return write("mine.jsonl", "\n".join(json.dumps(row) for row in ROWS) + "\n")
    path = tmp_path / "mine.parquet"
    pq.write_table(pa.Table.from_pylist(ROWS), path)
    return path


@pytest.mark.parametrize("ending", [".csv", ".tsv", ".jsonl", ".parquet"])
def test_every_format_gives_the_same_records(write, tmp_path, ending):
    first, second = read_table(written_as(write, tmp_path, ending), columns=ALL)
    assert (first.text, first.context, first.label) == ('Oh, "no"', "I fell", "2")
    assert (first.key, first.group, first.parts) == ("7", "ann", ("no", "Oh"))
    assert (first.text_column, first.label_column) == ("body", "grade")
    assert (second.text, second.label, second.parts) == ("Well\ndone", None, ())


@pytest.mark.parametrize(
    ("ending", "place"),
    [(".csv", ":3"), (".tsv", ":3"), (".jsonl", ":2"), (".parquet", ":row 2")],
)
def test_every_format_places_its_rows(write, tmp_path, ending, place):
    *_, second = read_table(written_as(write, tmp_path, ending), columns=ALL)
    assert second.where.endswith(place)


@pytest.mark.parametrize("ending", [".csv", ".tsv", ".jsonl", ".parquet"])
def test_every_format_names_a_column_that_is_missing(write, tmp_path, ending):
    path = written_as(write, tmp_path, ending)
    with pytest.raises(InputError, match=r"mine\.\w+.*: column 'mood' is missing: the header is '"):
        list(read_table(path, columns=Columns(text="body", label="mood")))


def test_a_table_without_labels_is_unlabelled_text(write):
    path = write("posts.csv", "text\nhello\n")
    (record,) = read_table(path, columns=Columns(label=None))
    assert (record.label, record.context, record.key, record.parts) == (None, None, None, None)


def test_a_list_of_parts_needs_no_bars(write):
    path = write("a.jsonl", '{"text": "so sad", "label": true, "why": ["so", "sad"]}\n')
    (record,) = read_table(path, columns=Columns(rationale="why"))
    assert (record.label, record.parts) == ("True", ("so", "sad"))


def test_a_column_that_only_a_later_json_line_lacks_is_placed_there(write):
    path = write("a.jsonl", '{"text": "a", "label": 1}\n\n{"text": "b"}\n')
    with pytest.raises(InputError, match=r"a\.jsonl:3: column 'label' is missing"):
        list(read_table(path, columns=Columns()))


def test_broken_json_is_named_by_line_and_character(write):
    path = write("a.jsonl", '{"text": "a", "label": 1}\n{"text": "b" "label": 1}\n')
    wrong = r"a\.jsonl:2: is not JSON: Expecting ',' delimiter at character 14"
    with pytest.raises(InputError, match=wrong):
        list(read_table(path, columns=Columns()))


@pytest.mark.parametrize("line", ["[1, 2]", '"text"', "NaN"])
def test_a_json_line_that_is_no_object_is_refused(write, line):
    path = write("a.jsonl", line + "\n")
    with pytest.raises(InputError, match=r"a\.jsonl:1: is not a JSON object: write one object"):
        list(read_table(path, columns=Columns()))


@pytest.mark.parametrize("line", ["1" * 5000, "[" * 100_000], ids=["number", "brackets"])
def test_json_that_python_can_not_read_is_refused(write, line):
    path = write("a.jsonl", line + "\n")
    with pytest.raises(InputError, match=r"a\.jsonl:1: is not JSON: a number is too long or"):
        list(read_table(path, columns=Columns()))


def test_a_parquet_file_that_is_damaged_inside_is_refused(tmp_path):
    path = tmp_path / "a.parquet"
    strings = pa.array([b"fine", b"\xff"]).view(pa.binary()).cast(pa.binary()).view(pa.string())
    pq.write_table(pa.table({"text": strings, "label": ["a", "b"]}), path)
    with pytest.raises(InputError, match=r"a\.parquet: a string behind row 0 is not UTF-8"):
        list(read_table(path, columns=Columns()))
    pq.write_table(pa.table({"text": ["some words"] * 9000, "label": ["a"] * 9000}), path)
    whole = path.read_bytes()
    path.write_bytes(whole[:4] + b"\xff" * 60 + whole[64:])
    with pytest.raises(InputError, match=r"a\.parquet: can't be read behind row 0"):
        list(read_table(path, columns=Columns()))


def test_an_unknown_ending_is_refused_with_the_known_ones(write):
    path = write("mine.xlsx", "")
    with pytest.raises(
        InputError, match=r"mine\.xlsx: '\.xlsx' is no table: give \.csv, \.tsv, \.jsonl or"
    ):
        read_table(path, columns=Columns())


@pytest.mark.parametrize("name", ["gone.csv", "gone.tsv", "gone.jsonl", "gone.parquet"])
def test_a_missing_table_is_named(tmp_path, name):
    with pytest.raises(InputError, match=rf"{name}: no such file: check the path"):
        list(read_table(tmp_path / name, columns=Columns()))


def test_a_file_that_is_not_parquet_is_refused(write):
    with pytest.raises(InputError, match=r"a\.parquet: is not a Parquet file"):
        list(read_table(write("a.parquet", "text,label\n"), columns=Columns()))
