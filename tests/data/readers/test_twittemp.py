"""Tests of data.readers.twittemp: 0 none, 1 seeking, 2 providing, under four schemes."""

import pytest

from data.errors import InputError
from data.readers.twittemp import read_twittemp, twittemp_classes

FILE = "text\tlabel\nI can't sleep, help\t1\nstay strong, we love you\t2\nlunch time\t0\n"


@pytest.mark.parametrize(
    ("scheme", "labels", "classes"),
    [
        ("classes", ["seeking", "providing", "none"], ("none", "seeking", "providing")),
        ("binary", ["empathy", "empathy", "none"], ("none", "empathy")),
        ("seek", ["seeking", "rest", "rest"], ("rest", "seeking")),
        ("provide", ["rest", "providing", "rest"], ("rest", "providing")),
    ],
)
def test_each_scheme_names_its_own_positives(write, scheme, labels, classes):
    records = list(read_twittemp(write("tweets.tsv", FILE), scheme=scheme))
    assert [record.label for record in records] == labels
    assert twittemp_classes(scheme) == classes


def test_an_unknown_scheme_is_refused_with_the_four():
    with pytest.raises(
        InputError, match="'both' is no scheme of TwittEmp: choose from classes, binary, seek"
    ):
        twittemp_classes("both")


@pytest.mark.parametrize("label", ["3", "seeking"])
def test_another_label_is_refused_with_its_place(write, label):
    path = write("tweets.tsv", FILE + f"more\t{label}\n")
    with pytest.raises(
        InputError,
        match=rf"tweets\.tsv:5, column 'label': '{label}' is not a label: choose from 0, 1, 2",
    ):
        list(read_twittemp(path))
