"""Tests of data.readers.sst2: GLUE's TSV with sentence and label."""

import pytest

from data.errors import InputError
from data.readers.sst2 import CLASSES, read_sst2


def test_sentences_are_negative_or_positive_and_stray_quotes_stay(write):
    path = write("train.tsv", 'sentence\tlabel\r\n" a charmer ,\t1\r\nit \'s dull "\t0\r\n')
    records = list(read_sst2(path))
    assert [record.text for record in records] == ['" a charmer ,', "it 's dull \""]
    assert [record.label for record in records] == ["positive", "negative"]


def test_a_label_other_than_0_and_1_is_refused_with_its_place(write):
    path = write("train.tsv", "sentence\tlabel\nfine\t1\n\nso so\t2\n")
    with pytest.raises(
        InputError, match=r"train\.tsv:4, column 'label': '2' is not a label: choose from 0, 1$"
    ):
        list(read_sst2(path))


def test_the_public_files_hold_the_known_number_of_rows(public_data):
    """The rows with stray quotes are lost if the TSV is read as CSV."""
    labels = {
        name: [record.label for record in read_sst2(public_data / "sst2" / f"{name}.tsv")]
        for name in ("train", "dev", "test")
    }
    counts = {name: len(found) for name, found in labels.items()}
    assert counts == {"train": 67_349, "dev": 872, "test": 1821}
    assert {frozenset(found) for found in labels.values()} == {frozenset(CLASSES)}
