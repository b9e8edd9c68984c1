"""Tests of data.readers.newsemp: one file, four labels."""

from collections import Counter

import pytest

from data.errors import InputError
from data.readers.newsemp import read_newsemp

FILE = (
    '"message_id","response_id","article_id","empathy","distress","empathy_bin","distress_bin",'
    '"essay"\n"R_1_1","R_1","67","5.667","4.375","1","0","it is, I think,\nsad"\n'
)


@pytest.mark.parametrize(
    ("column", "label"),
    [("empathy", "5.667"), ("distress", "4.375"), ("empathy_bin", "high"), ("distress_bin", "low")],
)
def test_each_column_gives_its_own_label(write, column, label):
    (record,) = read_newsemp(write("messages.csv", FILE), column=column)
    assert (record.label, record.label_column) == (label, column)
    assert (record.text, record.group) == ("it is, I think,\nsad", "R_1")
    assert record.text_column == "essay"


def test_a_fifth_column_is_refused_with_the_four(write):
    with pytest.raises(
        InputError,
        match="'joy' is no label of NewsEmp: choose from empathy, distress, empathy_bin",
    ):
        list(read_newsemp(write("messages.csv", FILE), column="joy"))


def test_a_binary_label_other_than_0_and_1_is_refused_with_its_place(write):
    path = write("messages.csv", FILE + FILE.split("\n", 1)[1].replace('"1","0"', '"2","0"'))
    with pytest.raises(
        InputError, match=r"messages\.csv:4, column 'empathy_bin': '2' is not a label: choose from"
    ):
        list(read_newsemp(path))


def test_the_public_file_holds_five_essays_a_writer(public_data):
    records = list(read_newsemp(public_data / "newsemp" / "messages.csv", column="distress"))
    writers = [record.group for record in records]
    assert len(records) == 1635
    assert {writers.count(writer) for writer in set(writers)} == {5}
    assert all(1.0 <= float(record.label) <= 7.0 for record in records)


def test_the_public_file_has_819_essays_low_and_816_high_in_empathy(public_data):
    """A part of the 1,860 essays, of which 944 are low and 916 high."""
    records = read_newsemp(public_data / "newsemp" / "messages.csv")
    assert Counter(record.label for record in records) == {"low": 819, "high": 816}
