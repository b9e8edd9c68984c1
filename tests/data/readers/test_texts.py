"""Tests of data.readers.texts: every row is a text to answer or a rejection, and none is lost."""

import io
import json
import re

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from data.errors import InputError
from data.readers import texts as module
from data.readers.texts import RejectedRow, TextRow, form_of, read_texts


def read(content, form="csv"):
    return list(read_texts(io.BytesIO(content), form))


def written_as(form, path, rows):
    """The path of a file with rows of (id, text, context)."""
    tables = [dict(zip(("id", "text", "context"), row, strict=True)) for row in rows]
    if form == "parquet":
        pq.write_table(
            pa.Table.from_pylist(
                tables,
                schema=pa.schema([(name, pa.string()) for name in ("id", "text", "context")]),
            ),
            path,
        )
    elif form == "jsonl":
        path.write_text("".join(json.dumps(table) + "\n" for table in tables))
    else:
        between = "," if form == "csv" else "\t"
        lines = [("id", "text", "context"), *rows]
        quoted = (between.join('"' + c.replace('"', '""') + '"' for c in line) for line in lines)
        path.write_bytes("\r\n".join(quoted).encode())
    return path


ROWS = [
    ("a", "so glad", "i won"),
    ("b", 'two\nlines, "quoted"', ""),
    ("", "אני 😢", "tab\there"),
]


@pytest.mark.parametrize("form", ["csv", "tsv", "jsonl", "parquet"])
def test_every_form_gives_the_same_rows(tmp_path, form):
    found = list(read_texts(written_as(form, tmp_path / "in", ROWS), form))
    assert [(row.id, row.text, row.context) for row in found] == [*ROWS[:2], ("3", *ROWS[2][1:])]
    assert [row.number for row in found] == [1, 2, 3]
    lines = {"csv": [2, 3, 5], "tsv": [2, 3, 5], "jsonl": [1, 2, 3], "parquet": [None] * 3}
    assert [row.line for row in found] == lines[form]


def test_each_line_of_a_stream_is_a_text_with_its_number(tmp_path):
    found = read('\ufeffso glad\r\n\nא 😢\u2028still, "it"'.encode(), "lines")
    assert found == [
        TextRow(1, 1, "1", "so glad", ""),
        TextRow(2, 2, "2", "", ""),
        TextRow(3, 3, "3", 'א 😢\u2028still, "it"', ""),
    ]


@pytest.mark.parametrize(
    ("form", "content"),
    [
        ("csv", b"text,id\nso glad,a\n"),
        ("tsv", b"text\tid\nso glad\ta\n"),
        ("jsonl", b'{"text": "so glad", "id": "a"}\n'),
    ],
)
def test_a_byte_order_mark_changes_nothing(form, content):
    assert read(b"\xef\xbb\xbf" + content, form) == read(content, form)
    assert [(row.id, row.text) for row in read(content, form)] == [("a", "so glad")]


def test_the_columns_of_the_empathy_files_are_read_and_others_are_let_be():
    content = b"level,response_post,seeker_post,id\n1,so sorry,i am sad,7\n"
    assert read(content) == [TextRow(1, 2, "7", "so sorry", "i am sad", True)]
    assert read(b"response_post,text\nb,a\n")[0].text == "a"


@pytest.mark.parametrize(
    ("form", "content", "where"),
    [
        (
            "csv",
            b"sentence,label\nso,1\n",
            "stdin:1: no column 'text' or 'response_post': the header is 'sentence,label'",
        ),
        ("tsv", b"\nsentence\tlabel\n", "stdin:2: no column 'text' or 'response_post'"),
        ("jsonl", b'\n{"sentence": "so"}\n{"label": 1}', "stdin:2: no column .* is 'sentence'"),
        ("csv", b"", "stdin:1: is empty: it needs a header"),
        ("csv", b"id,text,text\na,b,c\n", "stdin:1: column 'text' stands twice: rename one"),
        ("csv", b'"text\nso\n', "stdin:1: unexpected end of data: check the quotes"),
    ],
)
def test_a_table_without_texts_is_refused_as_a_whole_naming_its_columns(form, content, where):
    with pytest.raises(InputError, match=rf"^{where}"):
        read(content, form)


def test_a_first_line_that_is_no_header_is_not_shown():
    with pytest.raises(InputError, match=r"stdin:1: no column .*: the first line, of 1 cells, is"):
        read(b"i have never told anybody about this\n")


def test_a_parquet_file_without_texts_or_with_other_types_is_refused_as_a_whole(tmp_path):
    path = tmp_path / "in.parquet"
    pq.write_table(pa.table({"body": ["so"]}), path)
    with pytest.raises(InputError, match=r"in\.parquet: no column .*: the header is 'body'"):
        list(read_texts(path, "parquet"))
    pq.write_table(pa.table({"text": [1]}), path)
    with pytest.raises(InputError, match=r"column 'text': is of type int64: it needs strings"):
        list(read_texts(path, "parquet"))
    path.write_bytes(b"PAR1 no PAR1")
    with pytest.raises(InputError, match=r"in\.parquet: is not a Parquet file that can be read: "):
        list(read_texts(path, "parquet"))


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_a_file_that_is_not_there_is_refused(tmp_path, form):
    with pytest.raises(InputError, match=r"absent: no such file"):
        list(read_texts(tmp_path / "absent", form))


@pytest.mark.parametrize(
    ("form", "line", "name", "reason"),
    [
        ("csv", b"a,b\n", "", "has 2 cells, the header names 3"),
        ("csv", b"a,b,c,d\n", "", "has 4 cells, the header names 3"),
        ("csv", b'a,"b" c,d\n', "", "expected after '\"': check the quotes of this row"),
        ("csv", b"\xe9,b,c\n", "", "the id holds bytes that are not UTF-8, or half"),
        ("csv", b"a\0,b,c\n", "", "the id holds a NUL character"),
        ("jsonl", b'{"id": "a", "text": 5}', "a", "the text is a number, not a string"),
        ("jsonl", b'{"id": "a", "text": true}', "a", "the text is true or false, not a string"),
        ("jsonl", b'{"id": "a", "text": ["b"]}', "a", "the text is a list, not a string"),
        ("jsonl", b'{"text": "a", "context": {}}', "2", "the context is an object, not a string"),
        ("jsonl", b'{"id": [1], "text": "b"}', "", "the id is no string and no number"),
        ("jsonl", b'{"id": "a", "body": "b"}', "a", "has no column 'text' or 'response_post'"),
        ("jsonl", b'{"text": "b", }', "", "is not JSON: .* at character 1"),
        ("jsonl", b'{"text": "b"', "", "is not JSON: Expecting ',' delimiter at character 14"),
        ("jsonl", b'["text"]', "", "is not a JSON object"),
        ("jsonl", b"\xff\xfe", "", "is not JSON: Expecting value at character 1"),
        ("jsonl", b"[" * 100_000, "", "is not JSON: a number is too long or brackets lie too"),
        ("jsonl", b"1" * 5000, "", "is not JSON: a number is too long or brackets lie too deep"),
    ],
)  # fmt: skip
def test_a_row_with_a_fault_is_rejected_alone(form, line, name, reason):
    head, tail = {
        "csv": (b"id,text,context\nx,so,\n", b"y,glad,\n"),
        "jsonl": (b'{"id": "x", "text": "so"}\n', b'\n{"id": "y", "text": "glad"}'),
    }[form]
    before, rejected, after = read(head + line + tail, form)
    assert (before.id, before.text, after.id, after.text) == ("x", "so", "y", "glad")
    assert isinstance(rejected, RejectedRow)
    assert (rejected.number, rejected.line) == (2, {"csv": 3, "jsonl": 2}[form])
    assert rejected.id == name
    assert re.search(reason, rejected.reason)


def test_a_reason_holds_nothing_of_the_text():
    secret = "nobody knows"
    for content in (f'{{"text": "{secret}', f'"{secret}"', f'{{"text": ["{secret}"]}}'):
        (row,) = read(content.encode(), "jsonl")
        assert secret not in row.reason + row.id
    (row,) = read(f"id,text\n{secret},so,{secret}\n".encode())
    assert secret not in row.reason + row.id


def test_bytes_that_are_no_text_are_kept_for_their_row_to_be_rejected(tmp_path):
    (row,) = read(b"text\ncaf\xe9\n")
    assert row.text == "caf\udce9"
    path = tmp_path / "in.parquet"
    bad = pa.array([b"caf\xe9", b"so"]).cast(pa.binary()).view(pa.string())
    pq.write_table(pa.table({"text": bad}), path)
    assert [row.text for row in read_texts(path, "parquet")] == ["caf\udce9", "so"]
    pq.write_table(pa.table({"text": pa.DictionaryArray.from_arrays([0, 1], bad)}), path)
    with pytest.raises(InputError, match="can be read: Invalid UTF8"):
        list(read_texts(path, "parquet"))


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        (pa.large_string(), ["so", None]),
        (pa.string_view(), ["so", None]),
        (pa.dictionary(pa.int32(), pa.string()), ["so", None]),
    ],
)
def test_every_kind_of_string_and_number_of_a_parquet_file_is_read(tmp_path, kind, values):
    path = tmp_path / "in.parquet"
    pq.write_table(pa.table({"text": pa.array(values, kind), "id": [1, 2], "x": [0, 0]}), path)
    found = [(row.id, row.text, row.context) for row in read_texts(path, "parquet")]
    assert found == [("1", "so", ""), ("2", "", "")]


def test_ids_that_pandas_made_floats_of_are_whole_numbers_again(tmp_path):
    path = tmp_path / "in.parquet"
    ids = pa.array([7.0, float("nan"), None, 2.5, float("inf")], from_pandas=False)
    pq.write_table(pa.table({"text": ["so"] * 5, "id": ids}), path)
    found = [(row.id, row.has_own_id) for row in read_texts(path, "parquet")]
    assert found == [("7", True), ("2", False), ("3", False), ("2.5", True), ("inf", True)]


def test_a_null_is_an_empty_text_and_a_null_id_is_the_number():
    (row,) = read(b'{"text": null, "id": null, "context": null}', "jsonl")
    assert (row.id, row.text, row.context) == ("1", "", "")


def test_lines_of_json_may_lack_a_text_while_one_of_the_first_has_it(monkeypatch):
    monkeypatch.setattr(module, "FIRST_LINES", 3)
    empty, full = b'{"a": 1}\n', b'{"text": "b"}\n'
    assert [type(row) for row in read(empty * 2 + full + empty, "jsonl")] == [
        RejectedRow, RejectedRow, TextRow, RejectedRow,
    ]  # fmt: skip
    with pytest.raises(InputError, match="no column"):
        read(empty * 3 + full, "jsonl")


def test_a_line_too_long_to_be_held_is_rejected(monkeypatch):
    monkeypatch.setattr("data.readers.record.ROW_CHARACTERS", 64)
    for form, content in (
        ("lines", b"so\n" + b"x" * 200 + b"\nglad\n"),
        ("csv", b"text\nso\n" + b"x" * 200 + b"\nglad\n"),
        ("jsonl", b'{"text": "so"}\n{"text": "' + b"x" * 200 + b'"}\n{"text": "glad"}\n'),
    ):
        before, rejected, after = read(content, form)
        assert (before.text, after.text) == ("so", "glad")
        assert "characters" in rejected.reason


def test_a_row_of_parquet_is_read_a_batch_at_a_time(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "BATCH_ROWS", 4)
    path = tmp_path / "in.parquet"
    pq.write_table(pa.table({"text": [str(n) for n in range(11)]}), path)
    assert [row.text for row in read_texts(path, "parquet")] == [str(n) for n in range(11)]


@given(st.binary(), st.sampled_from(["lines", "csv", "tsv", "jsonl"]))
@example(b"so\rglad\n\n", "lines")
def test_any_bytes_are_rows_or_rejections(content, form):
    heads = {"lines": b"", "csv": b"id,text\n", "tsv": b"id\ttext\n", "jsonl": b'{"text": "a"}\n'}
    found = read(heads[form] + content, form)
    assert [row.number for row in found] == list(range(1, len(found) + 1))
    if form == "lines":
        lines = content.removeprefix(b"\xef\xbb\xbf").split(b"\n")
        assert len(found) == len(lines) - (lines[-1] == b"")


@given(
    st.lists(st.tuples(st.text(), st.text(), st.text())), st.sampled_from(["csv", "tsv", "jsonl"])
)
def test_any_text_is_read_as_it_was_written(rows, form):
    with io.BytesIO() as file:
        if form == "jsonl":
            for row in rows:
                cells = dict(zip(("id", "text", "context"), row, strict=True))
                file.write(json.dumps(cells).encode() + b"\n")
        else:
            between = "," if form == "csv" else "\t"
            for row in [("id", "text", "context"), *rows]:
                cells = ('"' + cell.replace('"', '""') + '"' for cell in row)
                file.write((between.join(cells) + "\n").encode())
        found = read(file.getvalue(), form)
    assert len(found) == len(rows)
    for row, (name, text, context) in zip(found, rows, strict=True):
        if isinstance(row, TextRow):
            assert (row.text, row.context) == (text, context)
            assert row.id == name or not name
        else:
            assert "\0" in name


@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet"])
def test_texts_are_read_from_a_column_that_is_named(form, tmp_path):
    path = tmp_path / f"in.{form}"
    written_as(form, path, [("a", "no", "so sad"), ("", "no", "so glad")])
    rows = list(read_texts(path, form_of(path), ("context",)))
    assert [(row.id, row.text, row.has_own_id) for row in rows] == [
        ("a", "so sad", True),
        ("2", "so glad", False),
    ]
    with pytest.raises(InputError, match="no column 'post'"):
        list(read_texts(path, form, ("post",)))
