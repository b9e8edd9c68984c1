"""Tests of kd.stages.data: the splits that published numbers rest on."""

from pathlib import Path

import pytest

from kd.config_file import load_config
from kd.stages.data import read_tables

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
