"""Tests of data.readers.record: bytes, lines, headers and cells, and the place in each message."""

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.errors import InputError
from data.readers import record
from data.readers.record import (
    bounded_lines,
    csv_cells,
    csv_rows,
    lines_of,
    open_text,
    tsv_rows,
)


def test_a_byte_order_mark_is_not_part_of_the_text(write):
    with open_text(write("a.txt", b"\xef\xbb\xbfname")) as file:
        assert file.read() == "name"
    with open_text(write("b.txt", "name".encode("utf-16")), "utf-16") as file:
        assert file.read() == "name"


def test_a_byte_order_mark_is_not_part_of_the_first_column(write):
    path = write("a.csv", b"\xef\xbb\xbftext,label\nhi,1\n")
    assert [row.cells for row in csv_rows(path, ("text", "label"))] == [
        {"text": "hi", "label": "1"}
    ]


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"nowhere\.csv: no such file: check the path"):
        open_text(tmp_path / "nowhere.csv")


def test_unreadable_bytes_are_named_by_line_and_byte(write):
    path = write("old.tsv", b"text\tlabel\nfine\t1\nbad \x92s\t0\n")
    with pytest.raises(
        InputError, match=r"old\.tsv:3, byte 5: 0x92 is not utf-8: save the file as UTF-8, or name"
    ):
        open_text(path)


def test_a_sign_across_two_blocks_is_read_and_a_wrong_byte_in_the_second_is_named(
    write, monkeypatch
):
    monkeypatch.setattr(record, "BLOCK", 4)
    with open_text(write("a.txt", "naïve ü")) as file:
        assert file.read() == "naïve ü"
    with pytest.raises(InputError, match=r"b\.txt:2, byte 3: 0x92 is not utf-8"):
        open_text(write("b.txt", b"fine\nit\x92s"))
    with pytest.raises(InputError, match=r"c\.txt:1, byte 5: 0xc3 is not utf-8"):
        open_text(write("c.txt", b"fine\xc3"))


def test_the_same_bytes_are_read_when_their_encoding_is_named(write):
    path = write("old.tsv", b"text\tlabel\nit\x92s\t0\n")
    assert [row.cells["text"] for row in tsv_rows(path, ("text",), encoding="cp1252")] == ["it’s"]


def test_only_line_feeds_end_a_line(write):
    """str.splitlines also breaks at U+2028, U+0085 and \\x1c, which stand in public texts."""
    path = write("a.txt", "one\u2028still one\x85and\x1cmore\r\n\r\n \t \ntwo\r\n")
    assert [line for _, line in lines_of(path)] == ["one\u2028still one\x85and\x1cmore", "two"]
    assert [where.rpartition(":")[2] for where, _ in lines_of(path)] == ["1", "4"]


@pytest.mark.parametrize("rows", [csv_rows, tsv_rows])
def test_a_missing_column_is_named_with_the_header_found(write, rows):
    path = write("a.csv", "txt\nhi\n")
    with pytest.raises(
        InputError,
        match=r"a\.csv:1: column 'text', 'label' is missing: the header is 'txt', it needs 'text,",
    ):
        list(rows(path, ("text", "label")))


@pytest.mark.parametrize("rows", [csv_rows, tsv_rows])
@pytest.mark.parametrize("content", ["", "\n\n", b"\xef\xbb\xbf"])
def test_an_empty_file_is_refused(write, rows, content):
    with pytest.raises(InputError, match=r"a\.csv: is empty: it needs the header 'text"):
        list(rows(write("a.csv", content), ("text", "label")))


def test_columns_stand_in_any_order_and_others_are_let_be(write):
    path = write("a.csv", "label , extra,text\n1,x,hi\n")
    (row,) = csv_rows(path, ("text", "label"))
    assert (row.cells["text"], row.cells["label"]) == ("hi", "1")


def test_a_quoted_cell_keeps_its_line_breaks_commas_and_quotes(write):
    path = write("a.csv", 'text,label\r\n"one, ""two""\r\nthree",1\r\n\r\nnext,0\r\n')
    rows = list(csv_rows(path, ("text", "label")))
    assert [row.cells["text"] for row in rows] == ['one, "two"\r\nthree', "next"]
    assert [row.cells["label"] for row in rows] == ["1", "0"]


def test_a_row_is_placed_by_the_line_on_which_it_starts(write):
    """Counting rows instead of lines would send the reader to the wrong place in the file."""
    path = write("a.csv", 'text,label\n"one\ntwo\nthree",1\n\nnext,0\n"la\nst",1\n')
    places = [row.where.rpartition(":")[2] for row in csv_rows(path, ("text", "label"))]
    assert places == ["2", "6", "7"]


@pytest.mark.parametrize(
    ("content", "line"),
    [('text,label\nfine,1\n"open,0\nlast,1\n', 3), ('text,label\n"a\nb" c,0\n', 2)],
    ids=["never closed", "text after the closing quote"],
)
def test_wrong_quotes_are_named_by_the_line_of_their_row(write, content, line):
    path = write("a.csv", content)
    with pytest.raises(InputError, match=rf"a\.csv:{line}: .*: check the quotes of this row$"):
        list(csv_rows(path, ("text", "label")))


def cells_of(content):
    return list(csv_cells(bounded_lines(io.StringIO(content, newline="")), ","))


QUOTES = "check the quotes of this row"


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ('a,b\n"open,1\nc,d\ne,f\n', [(1, ["a", "b"]), 2, (3, ["c", "d"]), (4, ["e", "f"])]),
        ('a,b\n"open,1\n"c",d\n', [(1, ["a", "b"]), 2, (3, ["c", "d"])]),
        ('"a" b,1\nc,d\n', [1, (2, ["c", "d"])]),
        ('"x\ny" z,1\n"c\nd",e\n', [1, (2, ['y" z', "1"]), (3, ["c\nd", "e"])]),
        ('a,"\n\n\nb,c\n', [1, (4, ["b", "c"])]),
        ('a,"\n', [1]),
    ],
    ids=["never closed", "closed by the next", "text behind", "two lines", "blanks", "last"],
)
def test_a_row_of_wrong_quotes_costs_its_first_line_and_no_other_row(content, expected):
    found = [row if isinstance(row[1], list) else row[0] for row in cells_of(content)]
    assert found == expected
    assert all(QUOTES in row[1] for row in cells_of(content) if isinstance(row[1], str))


@given(st.text('ab",\n\r').map(lambda text: text + "\n"))
def test_every_line_is_part_of_one_row(content):
    """Whatever the quotes, a line lost between two rows would be a row dropped silently."""
    lines = io.StringIO(content, newline="").readlines()
    rows = cells_of(content)
    ends = [*(line for line, _ in rows[1:]), len(lines) + 1]
    missed = set(range(1, len(lines) + 1))
    for (line, cells), end in zip(rows, ends[: len(rows)], strict=True):
        assert line < end
        missed -= set(range(line, end)) if isinstance(cells, list) else {line}
    assert all(not lines[number - 1].strip("\r\n") for number in missed)


@given(st.lists(st.lists(st.text('ab ",\n\réÅ'), min_size=1), min_size=1))
def test_what_the_csv_module_writes_is_read_as_it_was(rows):
    file = io.StringIO(newline="")
    csv.writer(file, quoting=csv.QUOTE_ALL).writerows(rows)
    assert [cells for _, cells in cells_of(file.getvalue())] == rows


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_line_too_long_to_be_held_is_passed_over_and_counted(monkeypatch, end):
    monkeypatch.setattr(record, "ROW_CHARACTERS", 10)
    for length in (9, 10, 11, 19, 20, 21, 35):
        content = f"a,b{end}{'x' * length}{end}c,d{end}"
        lines = list(bounded_lines(io.StringIO(content, newline="")))
        is_held = length + len(end) < 10
        assert lines == [f"a,b{end}", f"{'x' * length}{end}" if is_held else None, f"c,d{end}"]
        rows = cells_of(content)
        assert [line for line, _ in rows] == [1, 2, 3]
        assert rows[1][1] == (["x" * length] if is_held else "has more than 10 characters")


def test_a_quote_that_is_not_closed_takes_no_more_than_a_row_may_hold(monkeypatch):
    monkeypatch.setattr(record, "ROW_CHARACTERS", 100)
    lines = iter(['"open,1\n', *["c,d\n"] * 200])
    next(csv_cells(lines, ","))
    assert len(list(lines)) >= 200 - 100 / len("c,d\n")
    rows = cells_of('a,b\n"open,1\n' + "c,d\n" * 200 + "x" * 200 + "\ne,f\n")
    assert [line for line, cells in rows if isinstance(cells, str)] == [2, 203]
    assert [line for line, cells in rows] == list(range(1, 205))


def test_a_row_that_fills_what_may_be_held_is_not_the_last(monkeypatch):
    monkeypatch.setattr(record, "ROW_CHARACTERS", 10)
    rows = cells_of('"12345\n789",b\nc,d\n')
    assert rows == [(1, ["12345\n789", "b"]), (3, ["c", "d"])]


@pytest.mark.parametrize(
    ("rows", "content", "found"),
    [
        (csv_rows, "text,label\nfine,1\nHello, you,1\n", 3),
        (csv_rows, "text,label\nfine,1\nHello\n", 1),
        (tsv_rows, "text\tlabel\nfine\t1\nHello\tyou\t1\n", 3),
        (tsv_rows, "text\tlabel\nfine\t1\nHello 1\n", 1),
    ],
)
def test_a_wrong_number_of_cells_is_counted(write, rows, content, found):
    path = write("a.tab", content)
    with pytest.raises(
        InputError, match=rf"a\.tab:3: has {found} cells: the header names 2 \(text,label\)"
    ):
        list(rows(path, ("text", "label")))


def test_a_quote_in_an_unquoted_file_is_a_character(write):
    """A CSV reader would swallow the lines up to the next quote into one cell."""
    path = write("a.tsv", 'text\tlabel\n"an opening quote\t1\nnot"h"ing\t0\n7" long\t1\n')
    assert [row.cells["text"] for row in tsv_rows(path, ("text", "label"))] == [
        '"an opening quote',
        'not"h"ing',
        '7" long',
    ]


def test_a_row_with_an_empty_first_cell_is_not_a_blank_line(write):
    path = write("a.tsv", "text\tlabel\n\t1\nhi\t0\n")
    assert [row.cells["text"] for row in tsv_rows(path, ("text", "label"))] == ["", "hi"]


def test_spaces_around_a_label_do_not_count(write):
    (row,) = tsv_rows(write("a.tsv", "text\tlabel\nhi\t 1 \r\n"), ("text", "label"))
    assert row.mapped("label", {"0": "no", "1": "yes"}) == "yes"
