"""Tests of data.token_files: what is mapped equals what is encoded in memory."""

import numpy as np
import pytest
from datasets import Dataset, Features, List, Value
from transformers import AutoTokenizer

from data import encoding
from data.encoding import encode_table
from data.tasks import TaskSpec
from data.token_files import map_tokens, write_tokens

SPECS = [
    TaskSpec("level", classes=("none", "some"), has_context=True, has_rationale=True),
    TaskSpec("mood", kind="regression"),
]
FEATURES = Features(
    {
        **dict.fromkeys(("id", "text", "context"), Value("string")),
        "gold/level": List(Value("float32"), length=2),
        "rationale/level": List(List(Value("int32"), length=2)),
        "gold/mood": List(Value("float32"), length=1),
    }
)


@pytest.fixture(scope="module")
def tokenizer(tiny_encoder):
    return AutoTokenizer.from_pretrained(tiny_encoder)


def table_of(rows):
    """So many rows, of which some have no context, no rationale, or an unknown one."""
    return Dataset.from_dict(
        {
            "id": [f"row {row}" for row in range(rows)],
            "text": [f"I feel {'very ' * (row % 4)}sad, number {row}" for row in range(rows)],
            "context": ["how are you?" if row % 3 else "" for row in range(rows)],
            "gold/level": [[1.0, 0.0]] * rows,
            "rationale/level": [[[[2, 6]], [], None][row % 3] for row in range(rows)],
            "gold/mood": [[row / 10] for row in range(rows)],
        },
        features=FEATURES,
    )


def assert_same(first, second):
    assert (first.ids, first.pad_id) == (second.ids, second.pad_id)
    assert first.gold_tokens.keys() == second.gold_tokens.keys() == {"level"}
    for one, other in [
        (first.texts.values, second.texts.values),
        (first.texts.starts, second.texts.starts),
        (first.contexts.values, second.contexts.values),
        (first.contexts.starts, second.contexts.starts),
        (first.offsets, second.offsets),
        (first.gold["level"], second.gold["level"]),
        (first.gold["mood"], second.gold["mood"]),
        (first.gold_tokens["level"], second.gold_tokens["level"]),
    ]:
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("rows", [0, 1, 7, 8])
def test_a_mapped_table_equals_one_in_memory_whatever_the_chunks(
    tokenizer, tmp_path, monkeypatch, rows
):
    """Chunks of 4 rows: the last is short, full, or the only one."""
    whole = encode_table(table_of(rows), tokenizer, SPECS, max_tokens=9)
    monkeypatch.setattr(encoding, "CHUNK", 4)
    write_tokens(tmp_path, table_of(rows), tokenizer, SPECS, max_tokens=9)
    assert_same(map_tokens(tmp_path, table_of(rows), tokenizer, SPECS), whole)
    assert_same(encode_table(table_of(rows), tokenizer, SPECS, max_tokens=9), whole)


def test_the_tokens_stay_on_disk(tokenizer, tmp_path):
    """Read into memory, those of a million rows would take its place once for each model."""
    write_tokens(tmp_path, table_of(5), tokenizer, SPECS, max_tokens=9)
    mapped = map_tokens(tmp_path, table_of(5), tokenizer, SPECS)
    for values in (mapped.texts.values, mapped.offsets, mapped.gold_tokens["level"]):
        assert isinstance(values.base, np.memmap)
        assert not values.flags.writeable


def test_a_part_of_a_table_equals_those_rows_encoded(tokenizer):
    table = table_of(9)
    encoded = encode_table(table, tokenizer, SPECS, max_tokens=9)
    for part, rows in [
        (encoded.between(2, 7), [2, 3, 4, 5, 6]),
        (encoded.between(3, 3), []),
        (encoded.take(np.array([8, 0, 5])), [8, 0, 5]),
    ]:
        assert_same(part, encode_table(table.select(rows), tokenizer, SPECS, max_tokens=9))
