"""Tests of data.text_encoding: the tokens of a table's rows, whatever is cut off behind them."""

import numpy as np
import pytest
from datasets import Dataset
from hypothesis import example, given
from hypothesis import strategies as st
from transformers import AutoTokenizer

from data import text_encoding
from data.encoding import encode_table
from data.text_encoding import encode_texts

MAX_TOKENS = 8


@pytest.fixture(scope="module", params=["minilm", "tiny_encoder"])
def tokenizer(request):
    return AutoTokenizer.from_pretrained(request.getfixturevalue(request.param))


def assert_equals_a_table(texts, contexts, tokenizer):
    rows = Dataset.from_dict(
        {"id": [str(n) for n in range(len(texts))], "text": texts, "context": contexts}
    )
    table = encode_table(rows, tokenizer, [], max_tokens=MAX_TOKENS)
    found = encode_texts(texts, contexts, tokenizer, max_tokens=MAX_TOKENS)
    assert found.ids == table.ids
    assert found.pad_id == table.pad_id
    np.testing.assert_array_equal(found.offsets, table.offsets)
    for mine, theirs in ((found.texts, table.texts), (found.contexts, table.contexts)):
        np.testing.assert_array_equal(mine.values, theirs.values)
        np.testing.assert_array_equal(mine.starts, theirs.starts)


words = st.one_of(
    st.sampled_from(["so", "sorry", "it's", "x" * 300, "\u0301", "\x01", "🙂"]), st.text()
)
long_texts = st.lists(words, min_size=1).map(lambda drawn: " ".join(drawn) + " a" * 600)


@given(st.lists(st.tuples(st.one_of(words, long_texts), st.one_of(words, long_texts)), max_size=4))
@example([("x" * 2000, "y" * 2000), ("\x01 " * 2000 + "so sorry", " ")])
def test_texts_alone_have_the_tokens_that_they_have_in_a_table(tokenizer, pairs):
    texts, contexts = [text for text, _ in pairs], [context for _, context in pairs]
    assert_equals_a_table(texts, contexts, tokenizer)


@pytest.mark.parametrize("end", range(505, 520))
def test_a_word_across_the_end_of_the_part_that_is_read_is_not_divided(tokenizer, end):
    """Half of it would be other tokens."""
    text = "a b c d e" + " " * (end - 9) + "unbelievable stories are told here"
    assert_equals_a_table([text], [""], tokenizer)


def test_a_tokenizer_is_given_little_of_a_long_text(tiny_encoder, monkeypatch):
    tokenizer = AutoTokenizer.from_pretrained(tiny_encoder)
    given_lengths = []
    pairs = text_encoding.encoded_pairs

    def noted(texts, contexts, *rest, **options):
        given_lengths.extend(map(len, [*texts, *contexts]))
        return pairs(texts, contexts, *rest, **options)

    monkeypatch.setattr(text_encoding, "encoded_pairs", noted)
    encode_texts(["so sorry " * 100_000], ["my dog " * 100_000], tokenizer, max_tokens=MAX_TOKENS)
    assert max(given_lengths) <= text_encoding.LONG * MAX_TOKENS


def test_a_tokenizer_that_cuts_at_the_left_is_given_the_end(tiny_encoder):
    tokenizer = AutoTokenizer.from_pretrained(tiny_encoder, truncation_side="left")
    assert_equals_a_table(["so sorry " * 1000 + "my dear friend"], [""], tokenizer)
