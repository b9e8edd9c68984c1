"""Tests of data.readers.plutchik: three formats that hold the same eight emotions."""

import pytest

from data.errors import InputError
from data.readers.plutchik import CLASSES, read_plutchik8, read_semeval_ec, read_xed

EC_COLUMNS = (
    *("anger", "anticipation", "disgust", "fear", "joy", "love"),
    *("optimism", "pessimism", "sadness", "surprise", "trust"),
)
EC_HEADER = "\t".join(("ID", "Tweet", *EC_COLUMNS)) + "\n"


def ec_line(tweet, *present):
    cells = ("1" if name in present else "0" for name in EC_COLUMNS)
    return "\t".join(("2018-En-1", tweet, *cells)) + "\n"


def test_emonets_form_takes_the_label_in_any_case(write):
    path = write("emo.tsv", "text\tlabel\nwow\tSurprise\nugh\t disgust \n")
    assert [record.label for record in read_plutchik8(path)] == ["surprise", "disgust"]


def test_e_c_keeps_the_tweets_with_exactly_one_of_the_eight(write):
    rows = (
        ec_line("one", "joy")
        + ec_line("two of the eight", "joy", "trust")
        + ec_line("none")
        + ec_line("only others", "love", "optimism")
        + ec_line("one and two others", "fear", "love", "pessimism")
    )
    records = list(read_semeval_ec(write("ec.txt", EC_HEADER + rows)))
    assert [(r.text, r.label) for r in records] == [("one", "joy"), ("one and two others", "fear")]
    assert [r.where.rpartition(":")[2] for r in records] == ["2", "6"]


def test_every_one_of_the_eight_is_read_from_its_own_column(write):
    path = write("ec.txt", EC_HEADER + "".join(ec_line(name, name) for name in CLASSES))
    assert [(r.text, r.label) for r in read_semeval_ec(path)] == [(n, n) for n in CLASSES]


def test_e_cs_written_line_breaks_are_spaces_and_its_quotes_characters(write):
    path = write("ec.txt", EC_HEADER + ec_line('"so glad\\n\\n#happy', "joy"))
    assert [record.text for record in read_semeval_ec(path)] == ['"so glad  #happy']


def test_a_cell_of_e_c_that_is_no_0_or_1_is_refused(write):
    """The test file without gold has NONE in every cell and would read as nothing."""
    path = write("ec.txt", EC_HEADER + ec_line("fine", "joy") + "2\ttext" + "\tNONE" * 11 + "\n")
    with pytest.raises(
        InputError, match=r"ec\.txt:3, column 'anger': 'NONE' is not a label: choose from 0, 1"
    ):
        list(read_semeval_ec(path))


def test_xeds_numbers_are_the_eight_in_alphabetic_order(write):
    lines = "".join(f"line {number}\t{number}\n" for number in range(1, 9))
    assert [record.label for record in read_xed(write("xed.tsv", lines))] == sorted(CLASSES)


def test_xeds_lines_of_several_emotions_are_left_out(write):
    path = write("xed.tsv", "a\t1\n!\t1, 4, 7\nb . . .\t8, 1\n, ...\t 5 \r\n")
    records = list(read_xed(path))
    assert [(r.text, r.label) for r in records] == [("a", "anger"), (", ...", "joy")]
    assert [r.where.rpartition(":")[2] for r in records] == ["1", "4"]


@pytest.mark.parametrize(
    ("line", "shown"),
    [("text\t9", "'9'"), ("text\t1, x", "'1, x'"), ("text\t", "''"), ("no tab", "'no tab'")],
)
def test_a_line_of_xed_without_numbers_from_1_to_8_is_refused(write, line, shown):
    path = write("xed.tsv", f"fine\t1\n{line}\n")
    with pytest.raises(
        InputError,
        match=rf"xed\.tsv:2, column 'labels': {shown} is not a list of emotions: write",
    ):
        list(read_xed(path))


def test_the_public_xed_file_holds_13655_lines_of_one_emotion(public_data):
    records = list(read_xed(public_data / "xed" / "en-annotated.tsv"))
    assert len(records) == 13655
    assert {record.label for record in records} == set(CLASSES)
