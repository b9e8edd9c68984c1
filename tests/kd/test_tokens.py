"""Tests of kd.tokens: each text is tokenized once for all models of one tokenizer."""

import numpy as np
import pytest
from datasets import Dataset, DatasetDict, Features, List, Value
from transformers import AutoTokenizer

from kd import tokens
from kd.config import Config
from kd.run_folder import RunFolder
from kd.tokens import by_split, encoded_rows, tokenizer_hash


@pytest.fixture
def tokenizer(tiny_encoder):
    return AutoTokenizer.from_pretrained(tiny_encoder)


@pytest.fixture
def run(tmp_path):
    return RunFolder(tmp_path)


@pytest.fixture
def written(monkeypatch):
    """The folders that were filled, one for each time that rows were tokenized."""
    folders, write = [], tokens.write_tokens

    def noted(folder, *arguments, **settings):
        folders.append(folder)
        write(folder, *arguments, **settings)

    monkeypatch.setattr(tokens, "write_tokens", noted)
    return folders


def config_of(max_tokens=16):
    mood = {"sources": [{"files": "mine.csv"}], "classes": ["sad", "glad"]}
    return Config.model_validate(
        {"name": "mine", "tasks": {"mood": mood}, "data": {"max_tokens": max_tokens}}
    )


def rows_of(*texts):
    columns = {"id": texts, "text": texts, "context": [""] * len(texts)}
    columns["gold/mood"] = [[1.0, 0.0]] * len(texts)
    features = dict.fromkeys(("id", "text", "context"), Value("string"))
    features["gold/mood"] = List(Value("float32"), length=2)
    return Dataset.from_dict(columns, features=Features(features))


TABLE = DatasetDict(train=rows_of("a", "so sad", "b"), dev=rows_of(), test=rows_of("so glad", "c"))


def encoded(run, tokenizer, *, config=None, table_hash="h"):
    config = config or config_of()
    return encoded_rows(config, run, TABLE, table_hash, tokenizer, config.specs)


def test_the_same_rows_are_tokenized_once(run, tokenizer, written):
    first, second = (encoded(run, tokenizer) for _ in range(2))
    assert len(written) == 1
    np.testing.assert_array_equal(first.texts.values, second.texts.values)


def test_a_models_copy_of_a_tokenizer_shares_its_tokens(run, tokenizer, tmp_path, written):
    """A teacher's tokenizer is saved after it was used, and remembers how it last cut."""
    encoded(run, tokenizer)
    tokenizer.save_pretrained(tmp_path / "model")
    encoded(run, AutoTokenizer.from_pretrained(tmp_path / "model"))
    assert len(written) == 1


def test_other_rows_another_length_and_another_tokenizer_are_tokenized_anew(
    run, tokenizer, written
):
    encoded(run, tokenizer)
    encoded(run, tokenizer, table_hash="i")
    encoded(run, tokenizer, config=config_of(max_tokens=8))
    tokenizer.add_tokens(["glad"])
    encoded(run, tokenizer)
    assert len(set(written)) == 4


def test_the_hash_of_a_tokenizer_follows_its_pieces(tokenizer):
    before = tokenizer_hash(tokenizer)
    tokenizer(["so sad"], truncation=True, max_length=5, padding=True)
    assert tokenizer_hash(tokenizer) == before
    tokenizer.add_tokens(["glad"])
    assert tokenizer_hash(tokenizer) != before


def test_tokens_that_were_half_written_are_written_again(run, tokenizer, monkeypatch):
    """Read as they are, they would be the first rows' tokens under all rows' names."""

    def killed(folder, *arguments, **settings):
        (folder / "text_ids.npy").write_bytes(b"half")
        raise RuntimeError("killed")

    with monkeypatch.context() as patch:
        patch.setattr(tokens, "write_tokens", killed)
        with pytest.raises(RuntimeError, match="killed"):
            encoded(run, tokenizer)
    assert len(encoded(run, tokenizer)) == 5


def test_the_splits_follow_each_other_in_the_encoded_rows(run, tokenizer):
    splits = by_split(encoded(run, tokenizer), TABLE)
    assert {split: part.ids for split, part in splits.items()} == {
        "train": ("a", "so sad", "b"),
        "dev": (),
        "test": ("so glad", "c"),
    }
