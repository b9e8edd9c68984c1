"""Tests of student.predictor: any text is answered or rejected, in any number, by any thread."""

import random
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.errors import InputError
from data.tasks import TaskSpec
from student import predictor as module
from student.predictions import Rejection
from student.predictor import Predictor, in_windows

EMPATHY = TaskSpec("empathy", classes=("none", "weak"), has_context=True, has_rationale=True)
MOOD = TaskSpec("mood", classes=("sad", "glad"))

HOSTILE = {
    "empty": ("", "the text is empty"),
    "blank": (" \n\u200b&nbsp; ", "the text is empty"),
    "too long": ("so sorry " * 112_000, "the text has more than 1,000,000 characters"),
    "NUL": ("so\0sorry", "the text holds a NUL character"),
    "half an emoji": ("so \ud83d sorry", "the text holds half a surrogate pair"),
    "a byte that is no text": (
        "caf\udce9",
        "the text holds bytes that are not UTF-8, or half a surrogate pair",
    ),
    "control characters": ("\x01\x02", "the text holds no word"),
    "a number": (7, "the text is of type int, not str"),
    "nothing": (None, "the text is of type NoneType, not str"),
}
ODD = {
    "emoji": "so sorry 😢👩\u200d👧🏽",
    "right to left": "אני כל כך מצטער \u202eabc\u202c مرحبا",
    "a megabyte": "so sorry " * 111_000,
    "a megabyte of one word": "x" * 1_000_000,
    "a megabyte of line ends and entities": "so&amp;sorry\r\n" * 66_000,
    "combining marks": "e" + "\u0301" * 500,
    "unassigned": "\U000e0fff so \uffff",
}


@pytest.fixture
def predictor(make_student, tokenizer):
    return Predictor(make_student(tasks=(EMPATHY, MOOD)), tokenizer)


@pytest.mark.parametrize("name", HOSTILE)
def test_a_text_that_no_model_can_read_is_rejected_by_name_and_others_are_answered(predictor, name):
    text, reason = HOSTILE[name]
    before, rejected, after = predictor.answer_each(["so sorry", text, "good"], ["i am sad"] * 3)
    assert rejected == Rejection(reason)
    for answer, alone in zip((before, after), predictor(["so sorry", "good"]), strict=True):
        chances = alone["mood"].probabilities
        assert answer["mood"].probabilities == pytest.approx(chances, abs=1e-5)
        assert "empathy" in answer
    fault = reason.removeprefix("the text ")
    with pytest.raises(InputError, match=rf"^text 1: (the text )?{fault}: leave it out$"):
        predictor(["good", text])


@pytest.mark.parametrize(
    "name", [name for name in HOSTILE if "text is empty" not in HOSTILE[name][1]]
)
def test_so_is_a_context_unless_it_is_empty_or_has_no_words(predictor, name):
    context, reason = HOSTILE[name]
    (found,) = predictor.answer_each(["good"], [context])
    if "no word" in reason:
        assert "mood" in found
        return
    assert found == Rejection(reason.replace("the text", "the context"))
    with pytest.raises(InputError, match=r"^context 0: .*: leave it out$"):
        predictor(["good"], [context])


def test_where_all_are_rejected_none_is_answered(predictor):
    assert predictor.answer_each(["", "\x01"], ["", ""]) == [
        Rejection("the text is empty"),
        Rejection("the text holds no word"),
    ]
    assert predictor.answer_each([], []) == []


@pytest.mark.parametrize("text", ODD.values(), ids=ODD.keys())
def test_an_odd_text_is_answered_in_its_own_words(predictor, text):
    head = predictor.model.heads["empathy"].rationale
    head.bias.data.fill_(5.0)
    (answer,) = predictor([text], [text])
    assert answer["mood"].label in ("sad", "glad")
    assert answer["empathy"].rationale
    for part in answer["empathy"].rationale:
        assert part.words == text[part.start : part.end] != ""


anything = st.one_of(
    st.text(), st.text(st.characters(), max_size=8), st.sampled_from(["", "so", "\0"])
)


@settings(max_examples=60)
@given(st.lists(st.tuples(anything, anything), max_size=6))
def test_every_text_there_is_gets_an_answer_or_a_rejection(tiny_predictor, pairs):
    texts, contexts = [text for text, _ in pairs], [context for _, context in pairs]
    found = tiny_predictor.answer_each(texts, contexts)
    assert len(found) == len(texts)
    for text, context, answer in zip(texts, contexts, found, strict=True):
        if isinstance(answer, Rejection):
            continue
        assert sum(answer["mood"].probabilities.values()) == pytest.approx(1.0, abs=1e-5)
        for part in answer["empathy"].rationale if "empathy" in answer else ():
            assert part.words == text[part.start : part.end]
        (alone,) = tiny_predictor.answer_each([text], [context])
        assert alone["mood"].probabilities == pytest.approx(answer["mood"].probabilities, abs=1e-5)


@pytest.fixture(scope="module")
def tiny_predictor(tiny_encoder, tokenizer):
    """A predictor that the examples of one property share."""
    import torch

    from student.encoders import load_encoder
    from student.model import new_student

    torch.manual_seed(7)
    model = new_student(
        load_encoder(str(tiny_encoder)),
        (EMPATHY, MOOD),
        pooling="mean",
        head="two_layer",
        attention_heads=2,
        dropout=0.1,
        max_tokens=24,
    )
    return Predictor(model, tokenizer)


def some_texts(count, seed=0):
    draw = random.Random(seed)
    words = ("so", "sorry", "for", "you", "my", "friend", "how", "are", "good")
    return [" ".join(draw.choices(words, k=draw.randint(1, 12))) for _ in range(count)]


@pytest.mark.parametrize(("rows", "characters"), [(1, 10**6), (7, 10**6), (64, 10**6), (64, 90)])
def test_windows_of_any_size_give_the_same_answers_in_order(
    predictor, monkeypatch, rows, characters
):
    texts, contexts = some_texts(40), some_texts(40, seed=1)
    whole = predictor(texts, contexts)
    monkeypatch.setattr(module, "WINDOW_ROWS", rows)
    monkeypatch.setattr(module, "WINDOW_CHARACTERS", characters)
    for one, other in zip(whole, predictor(texts, contexts), strict=True):
        for task in ("empathy", "mood"):
            assert other[task].label == one[task].label
            assert other[task].rationale == one[task].rationale
            assert other[task].token_labels == one[task].token_labels
            assert other[task].probabilities == pytest.approx(one[task].probabilities, abs=1e-5)


def test_a_long_list_is_encoded_a_window_at_a_time(predictor, monkeypatch):
    """All at once, a million texts would take gigabytes beside their answers."""
    encoded = []
    monkeypatch.setattr(module, "WINDOW_ROWS", 16)
    compute = module.compute_logits
    monkeypatch.setattr(
        module, "compute_logits", lambda *given: encoded.append(len(given[1])) or compute(*given)
    )
    assert len(predictor(some_texts(40))) == 40
    assert encoded == [16, 16, 8]


def test_a_window_ends_with_its_rows_or_its_characters_and_nothing_is_lost(monkeypatch):
    monkeypatch.setattr(module, "WINDOW_ROWS", 3)
    monkeypatch.setattr(module, "WINDOW_CHARACTERS", 10)
    lengths = [1, 1, 1, 1, 9, 1, 10, 30, 2]
    windows = list(in_windows(lengths, lambda length: length))
    assert windows == [[1, 1, 1], [1, 9], [1, 10], [30], [2]]
    for first in range(len(windows)):
        left = [length for window in windows[first:] for length in window]
        assert list(in_windows(left, lambda length: length)) == windows[first:]


def test_an_empty_text_at_the_end_of_a_long_list_is_refused_before_any_is_answered(
    predictor, monkeypatch
):
    monkeypatch.setattr(module, "compute_logits", lambda *_: pytest.fail("has been answered"))
    with pytest.raises(InputError, match="text 40: is empty: leave it out"):
        predictor([*some_texts(40), " "])


def test_one_thread_at_a_time_is_with_the_tokenizer_and_the_model(predictor, monkeypatch):
    """A fast tokenizer told to cut elsewhere while it works for another thread raises an error."""
    inside, together = [], []
    compute = module.compute_logits

    def slowly(*given):
        inside.append(given)
        time.sleep(0.01)
        together.append(len(inside))
        inside.pop()
        return compute(*given)

    monkeypatch.setattr(module, "compute_logits", slowly)
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda text: predictor([text]), ["good"] * 8))
    assert together == [1] * 8


def test_threads_that_ask_at_once_get_each_its_own_answers(predictor):
    lists = [some_texts(30, seed) for seed in range(24)]
    expected = [predictor(texts, texts) for texts in lists]
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda texts: predictor(texts, texts), lists))
    assert found == expected
