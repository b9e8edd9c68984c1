"""Tests of data.readers.empathy_reddit: the six columns of Sharma et al. (2020)."""

from collections import Counter

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


PUBLIC_LEVELS = {
    "emotional-reactions": {"none": 1715, "weak": 748, "strong": 120},
    "interpretations": {"none": 1370, "weak": 92, "strong": 1121},
    "explorations": {"none": 2186, "weak": 80, "strong": 317},
}


def test_the_public_files_hold_the_same_2583_pairs_with_their_known_levels(public_data):
    """A part of the 3,084 rows, in which 2,037, 1,626 and 2,604 are of level 0."""
    files = {
        name: list(read_empathy_reddit(public_data / "empathy-reddit" / f"{name}-reddit.csv"))
        for name in PUBLIC_LEVELS
    }
    for name, levels in PUBLIC_LEVELS.items():
        assert Counter(record.label for record in files[name]) == levels
        assert sum(levels.values()) == 2583
        assert all(part.strip() for record in files[name] for part in record.parts)
    keys = [[record.key for record in records] for records in files.values()]
    assert keys[0] == keys[1] == keys[2]
    assert len(set(keys[0])) == 2583 - 47
    # Few rows of a level above 0 quote nothing (of all 3,084: 2, 8 and 1).
    silent = [sum(not r.parts and r.label != "none" for r in rows) for rows in files.values()]
    assert silent == [1, 7, 1]
