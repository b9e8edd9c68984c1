"""Tests of student.predictor: raw texts in, classes, probabilities and quoted words out."""

import numpy as np
import pytest
import torch
from torch import nn

from data.cleaning import clean
from data.errors import InputError
from student.inference import Logits
from student.predictor import Predictor

RAW = "  I am &amp; was so   sorry,&nbsp; my friend!  "


@pytest.fixture
def predictor(make_student, tokenizer):
    return Predictor(make_student(), tokenizer)


def say(monkeypatch, phrases):
    """Let the model quote the given phrases of the clean texts, one list a text."""

    def logits(model, table):
        tokens = np.full(len(table.offsets), np.nan, dtype=np.float32)
        for row, wanted in enumerate(phrases):
            part = slice(table.texts.starts[row], table.texts.starts[row + 1])
            for place, (start, end) in enumerate(table.offsets[part], start=part.start):
                if end > start:
                    inside = any(first <= start and end <= last for first, last in wanted)
                    tokens[place] = 2.0 if inside else -2.0
        rng = np.random.default_rng(0)
        labels = {
            spec.name: rng.normal(size=(len(table), spec.width)).astype(np.float32)
            for spec in model.specs
        }
        return Logits(labels, {"empathy": tokens})

    monkeypatch.setattr("student.predictor.compute_logits", logits)


def span_of(phrase):
    start = clean(RAW).text.index(phrase)
    return start, start + len(phrase)


@pytest.mark.parametrize(
    ("phrase", "words"),
    [
        ("& was", "&amp; was"),
        ("so sorry", "so   sorry"),
        ("sorry, my", "sorry,&nbsp; my"),
        ("I am", "I am"),
        ("friend!", "friend!"),
    ],
)
def test_a_rationale_is_quoted_as_it_stands_in_the_raw_text(predictor, monkeypatch, phrase, words):
    say(monkeypatch, [[span_of(phrase)]])
    (answer,) = predictor([RAW], ["my dog died"])
    (rationale,) = answer["empathy"].rationale
    assert rationale.words == words
    assert RAW[rationale.start : rationale.end] == words


def test_parts_with_other_words_between_are_separate_rationales(predictor, monkeypatch):
    say(monkeypatch, [[span_of("I am"), span_of("sorry")]])
    (answer,) = predictor([RAW], ["my dog died"])
    assert [part.words for part in answer["empathy"].rationale] == ["I am", "sorry"]


def test_each_text_gets_its_own_rationale(predictor, monkeypatch):
    say(monkeypatch, [[(0, 4)], [], [(5, 8)]])
    answers = predictor(["good day", "not now", "what now"], ["a", "b", "c"])
    quoted = [[part.words for part in answer["empathy"].rationale] for answer in answers]
    assert quoted == [["good"], [], ["now"]]


def test_the_models_own_rationales_are_words_of_the_raw_text(predictor):
    head = predictor.model.heads["empathy"].rationale
    with torch.no_grad():
        head.weight *= 100.0
    texts = [RAW, "hope &lt;you&gt;  feel\tbetter", "no"]
    quoted = 0
    for text, answer in zip(texts, predictor(texts, ["a", "b", "c"]), strict=True):
        for part in answer["empathy"].rationale:
            quoted += 1
            assert part.words == text[part.start : part.end] == part.words.strip()
            assert clean(part.words).text in clean(text).text
    assert quoted > 0


def test_a_text_that_is_a_rationale_throughout_is_quoted_without_its_outer_white_space(predictor):
    nn.init.zeros_(predictor.model.heads["empathy"].rationale.weight)
    nn.init.ones_(predictor.model.heads["empathy"].rationale.bias)
    (answer,) = predictor([RAW], ["my dog died"])
    assert [part.words for part in answer["empathy"].rationale] == [RAW.strip()]


def test_probabilities_sum_to_one_and_the_label_is_the_likeliest(predictor):
    texts = ["good", "i am so sorry", "no &amp; never", "great day"]
    for answer in predictor(texts, ["a", "b", "c", "d"]):
        for name, classes in (
            ("empathy", ["none", "weak", "strong"]),
            ("sentiment", ["negative", "positive"]),
        ):
            chances = answer[name].probabilities
            assert list(chances) == classes
            assert sum(chances.values()) == pytest.approx(1.0, abs=1e-6)
            assert answer[name].label == max(chances, key=chances.get)


def test_a_regression_answers_a_number_on_its_own_scale(predictor):
    head = predictor.model.heads["distress"]
    nn.init.zeros_(head.label.weight)
    nn.init.constant_(head.label.bias, 0.5)
    (answer,) = predictor(["good"])
    assert answer["distress"].label == pytest.approx(4.0)
    assert answer["distress"].probabilities == {}
    assert answer["distress"].rationale == ()


@pytest.mark.parametrize(("raw", "shown"), [(-1.1, 1.0), (1.2, 7.0)])
def test_a_regressions_answer_does_not_leave_its_scale(predictor, raw, shown):
    head = predictor.model.heads["distress"]
    nn.init.zeros_(head.label.weight)
    nn.init.constant_(head.label.bias, raw)
    (answer,) = predictor(["good"])
    assert answer["distress"].label == shown


def test_each_text_gets_one_answer_in_its_place(predictor):
    texts = ["i am so sorry that this happened to you", "no", "great day", "why?"]
    answers = predictor(texts)
    assert len(answers) == 4
    for text, answer in zip(texts, answers, strict=True):
        (alone,) = predictor([text])
        assert alone["sentiment"].probabilities == pytest.approx(
            answer["sentiment"].probabilities, abs=1e-5
        )


def test_no_texts_give_no_answers(predictor):
    assert predictor([]) == []


def test_tasks_that_need_a_context_are_left_out_where_there_is_none(predictor):
    assert [sorted(answer) for answer in predictor(["good"])] == [["distress", "sentiment"]]
    answers = predictor(["good", "good", "good"], ["my dog died", "", "  &nbsp; "])
    assert ["empathy" in answer for answer in answers] == [True, False, False]


def test_entities_and_white_space_change_no_answer(predictor):
    clean_answer, raw_answer = predictor(["so & sorry", " so  &amp;\nsorry "], ["i am sad"] * 2)
    assert clean_answer["empathy"].probabilities == pytest.approx(
        raw_answer["empathy"].probabilities, abs=1e-6
    )


def test_a_text_longer_than_the_model_reads_is_answered(predictor):
    (answer,) = predictor(["so sorry " * 200], ["my dog died " * 200])
    assert all(part.end <= 1800 for part in answer["empathy"].rationale)
    assert answer["sentiment"].label in ("negative", "positive")


@pytest.mark.parametrize("given", [("good", None), (["good"], "my dog died")], ids=["text", "both"])
def test_a_single_string_is_refused(predictor, given):
    """A string is a sequence too: each of its letters would be answered."""
    with pytest.raises(InputError, match=r"are lists: write predictor\(\[text\], \[context\]\)"):
        predictor(*given)


@pytest.mark.parametrize("empty", ["", "  \n", "&nbsp;"], ids=repr)
def test_an_empty_text_is_refused_by_its_number(predictor, empty):
    with pytest.raises(InputError, match="text 1: is empty: leave it out"):
        predictor(["good", empty])


@pytest.mark.parametrize("contexts", [["a"], ["a", "b", "c"], []], ids=len)
def test_another_number_of_contexts_is_refused(predictor, contexts):
    with pytest.raises(InputError, match=f"{len(contexts)} contexts for 2 texts: give one each"):
        predictor(["good", "bad"], contexts)


def test_a_run_folder_and_its_model_folder_give_the_same_answers(predictor, tmp_path):
    predictor.model.save_pretrained(tmp_path / "student")
    predictor.tokenizer.save_pretrained(tmp_path / "student")
    (expected,) = predictor(["i am so sorry"], ["my dog died"])
    for folder in (tmp_path, tmp_path / "student", str(tmp_path)):
        (answer,) = Predictor.load(folder)(["i am so sorry"], ["my dog died"])
        for name in ("empathy", "sentiment"):
            chances = expected[name].probabilities
            assert answer[name].probabilities == pytest.approx(chances, abs=1e-6)


def test_a_folder_without_a_model_is_an_error(tmp_path):
    with pytest.raises(InputError, match="holds no model: give a run's folder or a model's folder"):
        Predictor.load(tmp_path)


def test_a_predictor_drops_nothing_out(make_student, tokenizer):
    predictor = Predictor(make_student().train(), tokenizer)
    assert predictor(["good day"]) == predictor(["good day"])


def test_a_model_of_normalised_texts_reads_new_ones_so(predictor):
    def answers():
        # Alone: rows of one batch differ in their last digits.
        pairs = ("@ann sorry https://t.co/a", "@c hi"), ("@bo sorry www.b.org/c", "@d hi")
        found = [predictor([text], [context])[0] for text, context in pairs]
        return [{k: (v.label, v.probabilities) for k, v in answer.items()} for answer in found]

    one, other = answers()
    assert one != other
    predictor.model.config.normalize = True
    one, other = answers()
    assert one == other


def test_a_placeholder_is_quoted_as_the_raw_text_that_it_stands_for(predictor, monkeypatch):
    """Two of its tokens with another between would quote the same address twice."""
    predictor.model.config.normalize = True
    raw = "so  https://t.co/a sorry"
    say(monkeypatch, [[(1, 4), (7, 8)], [(8, 14)]])
    first, second = predictor([raw, raw], ["x", "x"])
    (part,) = first["empathy"].rationale
    assert (part.start, part.end, part.words) == (4, 18, "https://t.co/a")
    assert [part.words for part in second["empathy"].rationale] == ["sorry"]


def test_whether_texts_are_normalised_is_saved_with_the_model(make_student, tokenizer, tmp_path):
    student = make_student()
    student.config.normalize = True
    student.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    assert Predictor.load(tmp_path).model.config.normalize
    assert not make_student().config.normalize
