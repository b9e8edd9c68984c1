"""Tests of student.vocabulary: texts of a corpus keep their pieces, others can still be read."""

import copy
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokenizers import (
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)

from data.errors import InputError
from student.encoders import load_tokenizer
from student.vocabulary import kept_pieces, piece_ids, used_pieces, without_others

LEARNED_FROM = [
    "i am so sorry that this has happened to you and to your dog",
    "what a happy, happy day it was for all of us: the happiest of the year",
    "sorrow, sorrier, sorriest; unhappily, happening and happened",
    "naïve café, 12 dogs and 34 days, 3 of them in 2024",
]
CORPUS = ["so sorry that it happened", "a happy day for you", "what a year, 12 days"]
SPECIAL = ["<s>", "<pad>", "</s>", "<unk>"]


def trained(kind):
    """A tokenizer of about 150 pieces, with special tokens around a text."""
    if kind == "WordPiece":
        made = Tokenizer(models.WordPiece(unk_token="<unk>"))
        made.normalizer = normalizers.BertNormalizer()
        made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        trainer = trainers.WordPieceTrainer(vocab_size=160, special_tokens=SPECIAL)
    elif kind == "BPE":
        made = Tokenizer(models.BPE())
        made.pre_tokenizer = pre_tokenizers.ByteLevel()
        made.decoder = decoders.ByteLevel()
        signs = pre_tokenizers.ByteLevel.alphabet()
        trainer = trainers.BpeTrainer(
            vocab_size=360, special_tokens=SPECIAL, initial_alphabet=signs
        )
    else:
        made = Tokenizer(models.Unigram())
        made.pre_tokenizer = pre_tokenizers.Metaspace()
        made.decoder = decoders.Metaspace()
        trainer = trainers.UnigramTrainer(
            vocab_size=110, special_tokens=SPECIAL, unk_token="<unk>", show_progress=False
        )
    trainer.show_progress = False
    made.train_from_iterator(LEARNED_FROM * 5, trainer)
    ends = (("</s>", made.token_to_id("</s>")), ("<s>", made.token_to_id("<s>")))
    made.post_processor = (
        processors.RobertaProcessing(*ends)
        if kind == "BPE"
        else processors.TemplateProcessing(single="<s> $A </s>", special_tokens=list(ends))
    )
    made.enable_truncation(6)
    made.enable_padding(pad_id=made.token_to_id("<pad>"), pad_token="<pad>")
    return made


def cut(tokenizer, corpus):
    """(the tokenizer without what the corpus never uses, the old id of each of its pieces)."""
    about = json.loads(tokenizer.to_str())
    untouched = copy.deepcopy(about)
    kept = kept_pieces(about, used_pieces(tokenizer, corpus))
    short = Tokenizer.from_str(json.dumps(without_others(about, kept)))
    assert about == untouched
    return short, kept


@pytest.fixture(scope="module", params=["WordPiece", "BPE", "Unigram"])
def pair(request):
    """(a whole tokenizer, it without the pieces that CORPUS never uses, what it kept)."""
    whole = trained(request.param)
    return whole, *cut(whole, CORPUS)


def test_pieces_that_no_text_uses_are_gone_and_the_others_are_numbered_in_their_order(pair):
    whole, short, kept = pair
    assert kept == sorted(set(kept))
    assert short.get_vocab_size() == len(kept) < whole.get_vocab_size()
    for new, old in enumerate(kept):
        assert short.id_to_token(new) == whole.id_to_token(old)
    # A piece of a word that only the other texts have.
    longest = max(set(whole.get_vocab()) - set(short.get_vocab()), key=len)
    assert len(longest) > 3


def test_the_texts_of_the_corpus_have_the_same_pieces(pair):
    whole, short, kept = pair
    found = [[kept[number] for number in ids] for ids in piece_ids(short, CORPUS)]
    assert found == list(piece_ids(whole, CORPUS))
    assert all(len(ids) > 5 for ids in found)


def test_special_tokens_and_padding_keep_their_meaning(pair):
    _, short, _ = pair
    short_text, long_text = short.encode_batch([CORPUS[1][:1], CORPUS[0]])
    assert short_text.tokens[0] == "<s>"
    assert [token for token in short_text.tokens if token != "<pad>"][-1] == "</s>"
    assert short_text.tokens[-1] == short.id_to_token(short.padding["pad_id"]) == "<pad>"
    assert short_text.ids == [short.token_to_id(token) for token in short_text.tokens]
    assert len(long_text) == 6  # truncation as before
    assert {"<s>", "<pad>", "</s>", "<unk>"} <= short.get_vocab().keys()


# Words of the learned texts, cut anywhere, among signs and characters of any kind.
PARTS = st.one_of(
    st.text(max_size=6),
    st.sampled_from(" ".join(LEARNED_FROM).split()),
    st.builds(lambda word, end: word[:end], st.sampled_from(LEARNED_FROM), st.integers(1, 30)),
    st.sampled_from(["🙂", "é", "ß", "漢字", "##", "##ly", "</s>x", "\u0301", "ﬁ"]),
)


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(parts=st.lists(PARTS, max_size=8), joint=st.sampled_from(["", " "]))
def test_any_text_has_no_more_unknown_pieces_than_before(pair, parts, joint):
    whole, short, _ = pair
    text = joint.join(parts)
    unknown = [
        next(piece_ids(tokenizer, [text])).count(tokenizer.token_to_id("<unk>"))
        for tokenizer in (whole, short)
    ]
    assert unknown[1] <= unknown[0]


@pytest.mark.parametrize("kind", ["BPE", "Unigram"])
def test_a_word_that_no_text_has_is_spelled_in_full(kind):
    whole = trained(kind)
    short, _ = cut(whole, CORPUS)
    for word in ("happiest", "sorrow", "unhappily"):
        ids = next(piece_ids(short, [word]))
        assert short.decode(ids).strip() == word
        assert len(ids) >= len(next(piece_ids(whole, [word])))


def word_pieces(*pieces, **changes):
    return {
        "added_tokens": [],
        "post_processor": None,
        "padding": None,
        "model": {
            "type": "WordPiece",
            "unk_token": "?",
            "continuing_subword_prefix": "##",
            "vocab": {piece: number for number, piece in enumerate(pieces)},
        }
        | changes,
    }


def test_of_word_pieces_those_stay_that_are_used_or_spell_the_others():
    pieces = ("?", "a", "##a", "##b", "ab", "aab", "##ab", "b", "aç", "##ba")
    # used: ab; single: a, ##a, ##b, b; can't be spelled: aç. aab, ##ab and ##ba go.
    kept = kept_pieces(word_pieces(*pieces), {4})
    assert [pieces[number] for number in kept] == ["?", "a", "##a", "##b", "ab", "b", "aç"]
    assert without_others(word_pieces(*pieces), kept)["model"]["vocab"] == {
        "?": 0, "a": 1, "##a": 2, "##b": 3, "ab": 4, "b": 5, "aç": 6,
    }  # fmt: skip


def byte_pairs(**changes):
    pieces = ("a", "b", "c", "ab", "bc", "abc", "cab", "<0x0A>")
    model = {
        "type": "BPE",
        "unk_token": None,
        "continuing_subword_prefix": None,
        "end_of_word_suffix": "",
        "vocab": {piece: number for number, piece in enumerate(pieces)},
        "merges": [["a", "b"], ["b", "c"], ["ab", "c"], ["c", "ab"]],
    }
    about = {"added_tokens": [], "post_processor": None, "padding": None}
    return about | {"model": model | changes}


def test_a_piece_of_byte_pairs_keeps_those_it_is_merged_from():
    """abc is used: ab, of which it is merged, stays though no text ends in it; bc and cab go."""
    kept = kept_pieces(byte_pairs(), {5})
    assert kept == [0, 1, 2, 3, 5, 7]
    model = without_others(byte_pairs(), kept)["model"]
    assert model["merges"] == [["a", "b"], ["ab", "c"]]
    assert model["vocab"] == {"a": 0, "b": 1, "c": 2, "ab": 3, "abc": 4, "<0x0A>": 5}


def test_the_lowest_score_of_unigrams_stays_as_unknown_characters_are_weighed_by_it():
    pieces = [["?", 0.0], ["a", -1.0], ["b", -1.5], ["ab", -2.0], ["ba", -9.0], ["aab", -3.0]]
    about = {"added_tokens": [], "post_processor": None, "padding": None}
    about["model"] = {"type": "Unigram", "unk_id": 0, "vocab": pieces}
    kept = kept_pieces(about, {3})
    assert kept == [0, 1, 2, 3, 4]
    assert without_others(about, kept)["model"]["vocab"] == pieces[:5]


def test_a_tokenizer_that_can_not_spell_is_refused():
    with pytest.raises(InputError, match="kind 'WordLevel' can't be cut: only BPE, Unigram, Word"):
        kept_pieces(word_pieces("?", "a", type="WordLevel"), set())
    with pytest.raises(InputError, match="marks the inside or the end of words can't be cut"):
        kept_pieces(byte_pairs(end_of_word_suffix="</w>"), set())


def test_ids_around_a_text_are_renumbered_in_a_sequence_of_processors_too():
    whole = trained("WordPiece")
    whole.post_processor = processors.Sequence([whole.post_processor])
    short, _ = cut(whole, ["a happy day"])
    assert short.encode("a happy day").tokens[0] == "<s>"
    assert short.post_processor.process(short.encode("a", add_special_tokens=False)).ids[0] == 0


def test_the_packaged_encoders_vocabulary_can_be_cut(minilm):
    """Of BERT's 30,522 pieces 2 x 997 are single characters."""
    whole = load_tokenizer(str(minilm)).backend_tokenizer
    short, kept = cut(whole, CORPUS)
    assert 1999 <= len(kept) < 2040
    assert [[kept[n] for n in ids] for ids in piece_ids(short, CORPUS)] == list(
        piece_ids(whole, CORPUS)
    )
