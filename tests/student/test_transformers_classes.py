"""Tests of student.transformers_classes: what a plain class answers, or why none does."""

import pytest
import torch
from transformers import (
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    BertConfig,
    pipeline,
)

from data.tasks import TaskSpec
from student.encoders import load_encoder, new_encoder
from student.model import new_student
from student.predictor import Predictor
from student.transformers_classes import NoSuchClassError, as_classifier, as_tagger
from tests.student.tiny_configs import sizes_of, tiny_configs

MOOD = TaskSpec("mood", classes=("sad", "glad", "none"), has_rationale=True)
AGE = TaskSpec("age", kind="regression", low=10.0, high=90.0)
REPLY = TaskSpec("reply", classes=("cold", "warm"), has_context=True, has_rationale=True)
SIZES = sizes_of(vocab_size=60, hidden_size=32, intermediate_size=48, max_position_embeddings=40)
CONFIGS = tiny_configs(
    *("bert", "distilbert", "deberta", "roberta", "electra", "mpnet", "modernbert"), **SIZES
)


def student(encoder, *tasks, pooling="cls", head="two_layer"):
    """A student whose answers differ: the weights of a fresh one are made larger."""
    torch.manual_seed(4)
    model = new_student(
        encoder if not isinstance(encoder, str) else new_encoder(CONFIGS[encoder]),
        tasks, pooling=pooling, head=head, attention_heads=2, dropout=0.1, max_tokens=24,
    )  # fmt: skip
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.mul_(8)
            else:
                parameter.add_(torch.randn_like(parameter) / 10)
    return model.eval()


def batch():
    generator = torch.Generator().manual_seed(0)
    mask = (torch.arange(20) < torch.tensor([20, 7, 1, 13])[:, None]).long()
    return torch.randint(5, 60, mask.shape, generator=generator) * mask + (1 - mask), mask


FITTING = [("bert", "two_layer"), ("distilbert", "two_layer"), ("deberta", "two_layer"),
           ("deberta", "linear")]  # fmt: skip


@pytest.mark.parametrize(("kind", "head"), FITTING)
def test_a_saved_classifier_gives_the_students_logits(kind, head, tmp_path):
    model = student(kind, MOOD, AGE, head=head)
    ids, mask = batch()
    with torch.no_grad():
        expected = model(ids, mask).logits
        for spec in (MOOD, AGE):
            as_classifier(model, spec).save_pretrained(tmp_path / spec.name)
            loaded = AutoModelForSequenceClassification.from_pretrained(tmp_path / spec.name)
            found = loaded.eval()(input_ids=ids, attention_mask=mask).logits
            wanted = expected[spec.name] if spec.classes else 10 + 80 * expected[spec.name]
            assert wanted.std() > 0.1
            tolerance = 1e-5 if spec.classes else 80e-5
            torch.testing.assert_close(found, wanted, rtol=0, atol=tolerance)


def test_a_classifier_names_the_classes_and_says_what_a_number_is():
    model = student("bert", MOOD, AGE)
    mood, age = as_classifier(model, MOOD).config, as_classifier(model, AGE).config
    assert mood.id2label == {0: "sad", 1: "glad", 2: "none"}
    assert mood.label2id == {"sad": 0, "glad": 1, "none": 2}
    assert (mood.problem_type, mood.num_labels) == ("single_label_classification", 3)
    assert (age.problem_type, age.num_labels, age.id2label) == ("regression", 1, {0: "age"})


@pytest.mark.parametrize("kind", ["bert", "distilbert", "deberta", "roberta", "electra", "mpnet"])
def test_a_saved_tagger_gives_the_students_rationale_probabilities(kind, tmp_path):
    model = student(kind, MOOD, pooling="attention")
    ids, mask = batch()
    as_tagger(model, MOOD).save_pretrained(tmp_path)
    loaded = AutoModelForTokenClassification.from_pretrained(tmp_path).eval()
    with torch.no_grad():
        expected = model(ids, mask).rationale_logits["mood"].sigmoid()
        found = loaded(input_ids=ids, attention_mask=mask).logits.softmax(-1)[..., 1]
    real = mask.bool()
    assert expected[real].std() > 0.05
    torch.testing.assert_close(found[real], expected[real], rtol=0, atol=1e-5)
    assert loaded.config.id2label == {0: "O", 1: "RATIONALE"}


@pytest.mark.parametrize(
    ("kind", "settings", "reason"),
    [
        ("bert", {"pooling": "mean"}, "its head pools by 'mean'"),
        ("bert", {"pooling": "attention"}, "its head pools by 'attention'"),
        ("bert", {"head": "linear"}, "its head is one layer, and DistilBERT's classifier has two"),
        ("distilbert", {"head": "linear"}, "its head is one layer"),
        ("roberta", {}, "the classifier of 'roberta' has a tanh, a GELU or a norm"),
        ("electra", {}, "the classifier of 'electra' has"),
        ("mpnet", {}, "the classifier of 'mpnet' has"),
        ("modernbert", {}, "the classifier of 'modernbert' has"),
    ],
)
def test_a_head_that_no_classifier_has_is_refused_with_the_reason(kind, settings, reason):
    with pytest.raises(NoSuchClassError, match=reason):
        as_classifier(student(kind, MOOD, **settings), MOOD)


def test_norms_that_distilbert_does_not_have_are_refused():
    encoder = new_encoder(BertConfig(**SIZES, layer_norm_eps=1e-5))
    with pytest.raises(NoSuchClassError, match="its norms would add 1e-12 in place of 1e-05"):
        as_classifier(student(encoder, MOOD), MOOD)


def test_a_task_that_reads_a_context_has_no_class():
    model = student("bert", REPLY)
    for convert in (as_classifier, as_tagger):
        with pytest.raises(NoSuchClassError, match="it reads a context beside the text"):
            convert(model, REPLY)


def test_a_tagger_with_a_layer_more_is_refused():
    expected = "ModernBertForTokenClassification has a layer more before its last one"
    with pytest.raises(NoSuchClassError, match=expected):
        as_tagger(student("modernbert", MOOD), MOOD)


def test_the_student_keeps_its_own_encoder_and_labels():
    model = student("distilbert", MOOD)
    before = model.config.to_dict(), {n: v.clone() for n, v in model.state_dict().items()}
    as_classifier(model, MOOD)
    as_tagger(model, MOOD)
    assert model.config.to_dict() == before[0]
    assert all(torch.equal(value, before[1][name]) for name, value in model.state_dict().items())


def test_pipelines_of_transformers_answer_as_the_predictor_does(tiny_encoder, tokenizer, tmp_path):
    model = student(load_encoder(str(tiny_encoder)), MOOD)
    texts = ["so sorry that this happened to you", "what a great day it was", "no, i do not know"]
    tokenizer.save_pretrained(tmp_path / "mood")
    tokenizer.save_pretrained(tmp_path / "quotes")
    as_classifier(model, MOOD).save_pretrained(tmp_path / "mood")
    as_tagger(model, MOOD).save_pretrained(tmp_path / "quotes")
    classify = pipeline("text-classification", str(tmp_path / "mood"), top_k=None)
    quote = pipeline("token-classification", str(tmp_path / "quotes"))
    for text, answer in zip(texts, Predictor(model, tokenizer)(texts), strict=True):
        found = {each["label"]: each["score"] for each in classify([text])[0]}
        assert found == pytest.approx(answer["mood"].probabilities, abs=1e-5)
        chosen = {range(each["start"], each["end"]) for each in quote(text)}
        quoted = [range(part.start, part.end) for part in answer["mood"].rationale]
        assert {place for part in chosen for place in part} == {
            place for part in quoted for place in part if not text[place].isspace()
        }
