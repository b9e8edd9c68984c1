"""Tests of data.readers.isear: cells counted from both ends, and what stands for nothing."""

from collections import Counter

import pytest

from data.errors import InputError
from data.readers.isear import CLASSES, read_isear

HEADER = "ID|EMOT|Field1|MYKEY|SIT|STATE|\n"


def test_a_situation_and_its_emotion_by_hand(write):
    path = write("isear.csv", HEADER + "7|1|joy|72|When á she came.|1|\n")
    (record,) = read_isear(path)
    assert (record.text, record.label) == ("When   she came.", "joy")
    assert (record.key, record.group) == ("72", "7")
    assert (record.text_column, record.label_column) == ("SIT", "Field1")
    assert record.where.endswith("isear.csv:2")


def test_a_bar_and_quotes_inside_a_situation_do_not_move_its_cells(write):
    path = write("isear.csv", HEADER + '7|1|fear|72|We spoke \\the same\\"- as á|ever."|1|\n')
    (record,) = read_isear(path)
    assert record.text == 'We spoke "the same"- as  ever.'
    assert record.label == "fear"


@pytest.mark.parametrize("nothing", ["[ No response.]", "NO RESPONSE.", "[ No description.]", " "])
def test_who_had_nothing_to_tell_is_left_out_or_empty(write, nothing):
    path = write("isear.csv", HEADER + f"7|1|joy|72|{nothing}|1|\n")
    assert [record.text.strip() for record in read_isear(path)] in ([], [""])


def test_a_row_that_is_too_short_and_an_unknown_emotion_are_named(write):
    with pytest.raises(InputError, match=r"isear\.csv:2: has 2 cells: the header names 7"):
        list(read_isear(write("isear.csv", HEADER + "7|1\n")))
    with pytest.raises(InputError, match=r"column 'Field1': 'awe' is not a label: choose from an"):
        list(read_isear(write("isear.csv", HEADER + "7|1|awe|72|When.|1|\n")))


def test_the_public_file_holds_7577_situations_of_1096_people(public_data):
    records = list(read_isear(public_data / "isear" / "isear.csv"))
    assert len(records) == len({record.key for record in records}) == 7577
    assert len({record.group for record in records}) == 1096
    assert Counter(record.label for record in records).keys() == set(CLASSES)
    assert not any(sign in record.text for record in records for sign in "á\\|")
