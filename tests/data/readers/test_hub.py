"""Tests of data.readers.hub: `datasets.load_dataset` on local folders, without a network."""

import pytest
from datasets import ClassLabel, Dataset, Features, Value

from data.errors import InputError
from data.readers.hub import read_hub
from data.readers.table import Columns


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path_factory):
    """Keep what `datasets` writes out of the home folder."""
    folder = tmp_path_factory.mktemp("datasets_cache")
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", str(folder))


def test_a_folder_of_csvs_gives_its_splits_and_validation_is_dev(write, tmp_path):
    write("train.csv", 'text,label\n"one, two",joy\nthree,fear\n')
    write("validation.csv", "text,label\nfour,joy\n")
    write("test.csv", "text,label\nfive,\n")
    rows = list(read_hub(str(tmp_path), columns=Columns()))
    assert [(split, record.text, record.label) for split, record in rows] == [
        ("train", "one, two", "joy"),
        ("train", "three", "fear"),
        ("dev", "four", "joy"),
        ("test", "five", None),
    ]
    assert rows[1][1].where == f"hub {str(tmp_path)!r}, train row 2"


def test_a_data_set_of_one_part_has_no_given_split(write, tmp_path):
    write("train.csv", "text,label\none,joy\n")
    assert [split for split, _ in read_hub(str(tmp_path), columns=Columns())] == [None]


def test_class_numbers_become_names_and_minus_1_is_unlabelled(tmp_path):
    features = Features({"text": Value("string"), "label": ClassLabel(names=["sad", "glad"])})
    rows = Dataset.from_dict({"text": ["a", "b", "c"], "label": [1, 0, -1]}, features=features)
    rows.to_parquet(tmp_path / "train.parquet")
    records = [record for _, record in read_hub(str(tmp_path), columns=Columns())]
    assert [record.label for record in records] == ["glad", "sad", None]


def test_a_missing_column_is_named_with_the_split(write, tmp_path):
    write("train.csv", "text,label\none,joy\n")
    with pytest.raises(
        InputError, match="train: column 'mood' is missing: the header is 'text,label'"
    ):
        list(read_hub(str(tmp_path), columns=Columns(label="mood")))


def test_a_folder_without_data_is_refused_by_name(tmp_path):
    with pytest.raises(InputError, match=r"^hub '.*': can't be loaded \(\w+\): check the name"):
        list(read_hub(str(tmp_path), columns=Columns()))
