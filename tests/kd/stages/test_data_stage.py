"""Tests of kd.stages.data: the splits that published numbers rest on."""

import csv
from pathlib import Path

import pytest
from datasets import Dataset, DatasetDict, Features, List, Value

from data.errors import InputError
from data.rationales import MASK
from kd.config_file import load_config
from kd.stages.data import read_tables, write_rows

DEMO = Path(__file__).resolve().parents[3] / "configs" / "demo.yaml"


@pytest.mark.usefixtures("minilm")
def test_the_demos_splits_stay_what_they_were_when_its_results_were_written_down():
    """Faster reading or dividing must not move a row: the README's table is of these splits."""
    table, profile = read_tables(load_config(DEMO, ()))
    assert profile["hash"] == "05c018c6ec4f6eec878993d166201f84"
    assert profile["rows"] == {split: len(rows) for split, rows in table.items()}
    assert set(profile["overlaps"].values()) == {0}


def test_the_share_of_texts_that_are_cut_does_not_depend_on_the_chunks(tiny_encoder, monkeypatch):
    config = load_config(DEMO, (f"student.encoder={tiny_encoder}", "data.max_tokens=40"))
    _, whole = read_tables(config)
    monkeypatch.setattr("kd.stages.data.CHUNK", 7)
    assert read_tables(config)[1]["truncated"] == whole["truncated"]
    assert all(0 < share < 1 for share in whole["truncated"].values())


def rows_of(*rows):
    """Rows (id, text, context, gold of mood, gold of reply)."""
    gold = List(Value("float32"), length=2)
    names = ("id", "text", "context", "gold/mood", "gold/reply")
    features = Features(dict(zip(names, [Value("string")] * 3 + [gold] * 2, strict=True)))
    columns = {name: [row[place] for row in rows] for place, name in enumerate(names)}
    return Dataset.from_dict(columns, features)


UNKNOWN, KNOWN = [float("nan")] * 2, [0.0, 1.0]


@pytest.fixture
def table():
    """Three rows of two tasks, one without gold, in two splits."""
    return DatasetDict(
        train=rows_of(("a", 'so "glad", so', "", KNOWN, UNKNOWN), ("b", "why", "ö", KNOWN, KNOWN)),
        dev=rows_of(("c", "hm", "", UNKNOWN, UNKNOWN)),
        test=rows_of(),
    )


def test_the_table_for_outside_teachers_names_each_rows_split_and_tasks(table, tmp_path):
    write_rows(table, ["mood", "reply"], tmp_path / "new" / "rows.csv")
    with (tmp_path / "new" / "rows.csv").open(encoding="utf-8", newline="") as file:
        assert list(csv.reader(file)) == [
            ["id", "split", "tasks", "text", "context"],
            ["a", "train", "mood", 'so "glad", so', ""],
            ["b", "train", "mood|reply", "why", "ö"],
            ["c", "dev", "", "hm", ""],
        ]


def test_masked_texts_are_told_of_tasks_with_rationales_and_empty_where_unknown(table, tmp_path):
    features = table["train"].features.copy()
    features["rationale/reply"] = List(List(Value("int32"), length=2))
    spans = {"train": [None, [[1, 3]]], "dev": [[]], "test": []}
    quoting = DatasetDict(
        {
            split: Dataset.from_dict({**rows.to_dict(), "rationale/reply": spans[split]}, features)
            for split, rows in table.items()
        }
    )
    write_rows(quoting, ["mood", "reply"], tmp_path / "rows.csv", with_masked=True)
    with (tmp_path / "rows.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert "masked_mood" not in rows[0]
    assert [row["masked_reply"] for row in rows] == ["", f"w{MASK}", "hm"]
    write_rows(quoting, ["mood", "reply"], tmp_path / "plain.csv")
    assert "masked" not in (tmp_path / "plain.csv").read_text()


def test_a_table_that_can_not_be_written_is_said_in_a_line(table, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"rows\.csv: can't be written to: "):
        write_rows(table, ["mood", "reply"], tmp_path / "file" / "rows.csv")
