"""Tests of data.readers.empathy_reddit: the six columns of Sharma et al. (2020)."""

import pytest

from data.errors import InputError
from data.readers.empathy_reddit import read_empathy_reddit

HEADER = "sp_id,rp_id,seeker_post,response_post,level,rationales\n"


def read(write, rows):
    return list(read_empathy_reddit(write("er.csv", HEADER + rows)))


def test_a_row_becomes_a_response_with_its_post_level_and_parts(write):
    (record,) = read(write, 's1,r1,"I lost, again | no?","Oh no. I am sorry",2,Oh no|I am sorry|\n')
    assert (record.text, record.context) == ("Oh no. I am sorry", "I lost, again | no?")
    assert (record.label, record.key, record.group) == ("strong", "s1_r1", "s1")
    assert record.parts == ("Oh no", "I am sorry")
    assert (record.text_column, record.label_column) == ("response_post", "level")


@pytest.mark.parametrize(
    ("cell", "parts"),
    [
        ("", ()),
        ("|", ()),
        ("one", ("one",)),
        ("one|", ("one",)),
        ("one| |two ||", ("one", "two ")),
        ('"a, b|\nc|"', ("a, b", "\nc")),
    ],
)
def test_rationale_parts_end_with_a_bar_and_empty_ones_are_none(write, cell, parts):
    (record,) = read(write, f"s1,r1,post,answer,1,{cell}\n")
    assert record.parts == parts


def test_the_three_levels_have_names(write):
    records = read(write, "".join(f"s,r{level},post,answer,{level},\n" for level in (0, 1, 2)))
    assert [record.label for record in records] == ["none", "weak", "strong"]


@pytest.mark.parametrize("level", ["7", "", "1.0", "-1"])
def test_another_level_is_refused_by_file_line_column_and_value(write, level):
    with pytest.raises(
        InputError, match=rf"er\.csv:3, column 'level': '{level}' is not a label: choose from 0, 1"
    ):
        read(write, f"s,r,post,answer,0,\ns,r,post,answer,{level},\n")


def test_a_file_without_rationales_is_refused(write):
    path = write("er.csv", "sp_id,rp_id,seeker_post,response_post,level\n")
    with pytest.raises(InputError, match=r"er\.csv:1: column 'rationales' is missing"):
        list(read_empathy_reddit(path))
