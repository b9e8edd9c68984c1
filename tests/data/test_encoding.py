"""Tests of data.encoding: token ids, windows, and targets on the tokens of two tokenizers."""

import unicodedata

import numpy as np
import pytest
from datasets import Dataset, Features, List, Value, concatenate_datasets
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer

from data.encoding import encode_table
from data.rationales import project, spans_of_tokens
from data.tasks import TaskSpec

LEVELS = TaskSpec("ER", classes=("none", "weak"), has_context=True, has_rationale=True)
MOOD = TaskSpec("mood", kind="regression")
FEATURES = Features(
    {
        "id": Value("string"),
        "text": Value("string"),
        "context": Value("string"),
        "gold/ER": List(Value("float32"), length=2),
        "rationale/ER": List(List(Value("int32"), length=2)),
        "gold/mood": List(Value("float32"), length=1),
    }
)
NAN = float("nan")
WORDS = (
    "I'm",
    "so",
    "sorry",
    "naïve",
    "unbelievable",
    "don't",
    "42",
    "it.",
    "you!",
    "feeling",
    "a",
)


@pytest.fixture(scope="module")
def minilm_tokenizer(minilm):
    return AutoTokenizer.from_pretrained(minilm)


@pytest.fixture(scope="module")
def tiny_tokenizer(tiny_encoder):
    return AutoTokenizer.from_pretrained(tiny_encoder)


@pytest.fixture(scope="module", params=["minilm", "tiny_encoder"])
def tokenizer(request):
    return AutoTokenizer.from_pretrained(request.getfixturevalue(request.param))


def table_of(*rows):
    """A table of rows (text, context, level or None, spans or None, mood or None)."""
    columns = {
        "id": [str(number) for number in range(len(rows))],
        "text": [row[0] for row in rows],
        "context": [row[1] for row in rows],
        "gold/ER": [[NAN, NAN] if row[2] is None else np.eye(2)[row[2]].tolist() for row in rows],
        "rationale/ER": [row[3] for row in rows],
        "gold/mood": [[NAN if row[4] is None else row[4]] for row in rows],
    }
    return Dataset.from_dict(columns, features=FEATURES)


def test_the_tokens_of_a_row_stand_where_their_letters_stand(tiny_tokenizer):
    table = table_of(("I was feeling sad", "", None, None, None))
    encoded = encode_table(table, tiny_tokenizer, [LEVELS, MOOD], max_tokens=32)
    pieces = tiny_tokenizer.convert_ids_to_tokens(encoded.texts.row(0).tolist())
    assert pieces == ["[CLS]", "i", "was", "feel", "##ing", "sad", "[SEP]"]
    assert encoded.offsets[encoded.part(0)].tolist() == [
        *([0, 0], [0, 1], [2, 5], [6, 10], [10, 13], [14, 17], [0, 0])
    ]
    assert encoded.pad_id == tiny_tokenizer.pad_token_id


def test_text_and_context_are_each_cut_at_the_window(tokenizer):
    table = table_of(("so sorry " * 20, "help me " * 20, 1, [[0, 8], [150, 158]], None))
    encoded = encode_table(table, tokenizer, [LEVELS], max_tokens=9)
    assert encoded.texts.lengths.tolist() == encoded.contexts.lengths.tolist() == [9]
    for ids in (encoded.texts.row(0), encoded.contexts.row(0)):
        assert ids[0] == tokenizer.cls_token_id
        assert ids[-1] == tokenizer.sep_token_id
    assert encoded.gold_tokens["ER"].tolist()[1:8] == [1, 1, 0, 0, 0, 0, 0]


def test_a_row_without_context_has_an_empty_one_and_keeps_its_place(tokenizer):
    """Not [CLS] [SEP]: the student would attend to a post that nobody wrote."""
    rows = [
        (f"text {n}", context, None, None, None) for n, context in enumerate(["", "b", "", "d"])
    ]
    encoded = encode_table(table_of(*rows), tokenizer, [LEVELS], max_tokens=16)
    assert [length > 0 for length in encoded.contexts.lengths] == [False, True, False, True]
    assert encoded.contexts.row(3).tolist() == tokenizer("d")["input_ids"]


def test_what_a_rationale_teaches_follows_from_its_spans(tiny_tokenizer):
    """Spans label their tokens, no spans label all tokens 0, an unknown rationale labels none."""
    text = "so sorry"
    rows = [(text, "", 1, spans, None) for spans in ([[3, 8]], [], None)]
    encoded = encode_table(table_of(*rows), tiny_tokenizer, [LEVELS], max_tokens=16)
    np.testing.assert_array_equal(
        encoded.gold_tokens["ER"].reshape(3, 4),
        [[NAN, 0, 1, NAN], [NAN, 0, 0, NAN], [NAN] * 4],
    )


def test_targets_have_a_row_for_each_text_and_unknown_ones_are_nan(tokenizer):
    table = table_of(("a", "", 1, None, None), ("b", "", None, None, 0.5))
    encoded = encode_table(table, tokenizer, [LEVELS, MOOD], max_tokens=16)
    np.testing.assert_array_equal(encoded.gold["ER"], [[0, 1], [NAN, NAN]])
    np.testing.assert_array_equal(encoded.gold["mood"], [[NAN], [0.5]])
    assert encoded.known("ER").tolist() == [True, False]
    assert encoded.known("mood").tolist() == [False, True]
    assert set(encoded.gold_tokens) == {"ER"}


def test_a_soft_target_makes_a_row_known_and_forgetting_gold_leaves_it(tokenizer):
    table = table_of(("a", "", 1, [[0, 1]], None), ("b", "", None, None, None))
    encoded = encode_table(table, tokenizer, [LEVELS], max_tokens=16)
    soft = encoded.with_soft({"ER": np.array([[NAN, NAN], [0.2, 0.8]], np.float32)}, {})
    assert soft.known("ER").tolist() == [True, True]
    forgotten = soft.without_gold()
    assert forgotten.known("ER").tolist() == [False, True]
    assert np.isnan(forgotten.gold_tokens["ER"]).all()
    assert encoded.known("ER").tolist() == [True, False]


def test_tokens_that_are_not_kept_are_gone_with_their_offsets_and_targets(tokenizer):
    table = table_of(("so sorry it", "help", 1, [[3, 8]], 0.5), ("a", "b c", None, [], None))
    encoded = encode_table(table, tokenizer, [LEVELS, MOOD], max_tokens=16)
    encoded = encoded.with_soft({}, {"ER": np.arange(len(encoded.offsets), dtype=np.float32)})
    is_outside = encoded.gold_tokens["ER"] != 1
    assert not is_outside.all()
    kept = encoded.keep_tokens(is_outside)
    ids = encoded.texts.row(0)
    assert kept.texts.row(0).tolist() == ids[is_outside[: len(ids)]].tolist()
    assert kept.texts.row(1).tolist() == encoded.texts.row(1).tolist()
    np.testing.assert_array_equal(kept.offsets, encoded.offsets[is_outside])
    np.testing.assert_array_equal(kept.gold_tokens["ER"], encoded.gold_tokens["ER"][is_outside])
    np.testing.assert_array_equal(kept.soft_tokens["ER"], np.flatnonzero(is_outside))
    assert kept.contexts is encoded.contexts
    assert (kept.ids, kept.gold) == (encoded.ids, encoded.gold)


def test_a_table_without_rows_is_encoded_as_one_without_rows(tokenizer):
    """A split with share 0 is such a table."""
    encoded = encode_table(table_of(), tokenizer, [LEVELS, MOOD], max_tokens=16)
    assert len(encoded) == len(encoded.offsets) == len(encoded.texts.values) == 0
    assert encoded.gold["ER"].shape == (0, 2)
    assert encoded.gold_tokens["ER"].shape == (0,)


@settings(max_examples=40)
@given(st.lists(st.sampled_from(WORDS), min_size=1, max_size=12), st.data())
def test_the_labels_of_whole_words_are_decoded_to_the_words(
    minilm_tokenizer, tiny_tokenizer, words, data
):
    first = data.draw(st.integers(0, len(words) - 1))
    last = data.draw(st.integers(first, len(words) - 1))
    text, part = " ".join(words), " ".join(words[first : last + 1])
    start = len(" ".join([*words[:first], ""]))
    span = [start, start + len(part)]
    for tokenizer in (minilm_tokenizer, tiny_tokenizer):
        table = table_of((text, "", 1, [span], None))
        encoded = encode_table(table, tokenizer, [LEVELS], max_tokens=128)
        chosen = encoded.gold_tokens["ER"] == 1
        assert spans_of_tokens(chosen, encoded.offsets[encoded.part(0)]) == [tuple(span)]


def test_labels_survive_the_way_to_another_tokenizer_and_back(minilm_tokenizer, tiny_tokenizer):
    """Pieces of words differ, words do not: a label that fills words comes back as it left."""
    text = "I was feeling unbelievably sorry for you, and then it went fine"
    spans = [[6, 33], [37, 40]]
    table = table_of((text, "", 1, spans, None))
    first, second = (
        encode_table(table, tokenizer, [LEVELS], max_tokens=64)
        for tokenizer in (minilm_tokenizer, tiny_tokenizer)
    )
    assert len(first.offsets) != len(second.offsets)
    there = project(first.gold_tokens["ER"], first.offsets, second.offsets)
    np.testing.assert_allclose(there, second.gold_tokens["ER"], rtol=1e-6)
    back = project(there, second.offsets, first.offsets)
    np.testing.assert_allclose(back, first.gold_tokens["ER"], rtol=1e-6)


def visible(text):
    """Where `text` has a character that a tokenizer keeps: no space, mark or control character."""
    return {
        position
        for position, character in enumerate(text)
        if unicodedata.category(character)[0] not in "ZMC"
    }


@pytest.fixture(scope="module")
def public_table(public_empathy):
    """Every public empathy row in one table."""
    tables, _, _ = public_empathy
    return concatenate_datasets(list(tables.values()))


@pytest.fixture(scope="module")
def public_encoded(public_table, tokenizer):
    """The public empathy rows as one of the two tokenizers sees them."""
    specs = [
        TaskSpec(name, classes=("none", "weak", "strong"), has_rationale=True)
        for name in ("ER", "IP", "EX")
    ]
    return encode_table(public_table, tokenizer, specs, max_tokens=64)


@pytest.mark.parametrize("mechanism", ["ER", "IP", "EX"])
def test_the_labelled_tokens_of_public_rationales_cover_exactly_the_parts(
    public_table, public_encoded, mechanism
):
    """A span across the cut keeps its tokens in the window. For every span that ends inside it:

    each of its visible characters stands in a token labelled 1; the labelled tokens that share a
    character with it lie inside it, but for the first and the last, which may straddle its start
    and its end within a word; and no token that shares nothing with any span is labelled 1.
    """
    encoded = public_encoded
    inside = cut = 0
    columns = zip(public_table["text"], public_table[f"rationale/{mechanism}"], strict=True)
    for row, (text, spans) in enumerate(columns):
        offsets = encoded.offsets[encoded.part(row)]
        part = slice(encoded.texts.starts[row], encoded.texts.starts[row + 1])
        labelled = encoded.gold_tokens[mechanism][part] == 1
        allowed = np.zeros(len(labelled), dtype=bool)
        for start, end in spans or ():
            shares = (offsets[:, 0] < end) & (offsets[:, 1] > start)
            allowed |= shares
            assert labelled[shares].all()
            if end > offsets.max():
                cut += bool(shares.any())
                continue
            inside += 1
            tokens = offsets[shares].tolist()
            covered = {place for token in tokens for place in range(*token)}
            assert {start + place for place in visible(text[start:end])} <= covered
            assert all(token[0] >= start for token in tokens[1:])
            assert all(token[1] <= end for token in tokens[:-1])
            straddling = text[tokens[0][0] : start] + text[end : tokens[-1][1]]
            assert not any(character.isspace() for character in straddling)
        assert not (labelled & ~allowed).any()
    assert inside > 100
    assert cut > 0
