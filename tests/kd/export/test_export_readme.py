"""Tests of kd.export.readme: what a hub and a person read of an export."""

import pytest
import yaml
from huggingface_hub import EvalResult, ModelCardData

from data.tasks import TaskSpec
from kd.export.readme import least_agreement, readme
from kd.report.template_files import TEMPLATES

MOOD = TaskSpec("mood", classes=("sad", "glad"))
REPLY = TaskSpec("reply", classes=("cold", "warm"), has_context=True)


def certificate(*agreements, **more):
    tasks = {f"task{n}": {"label_agreement": share} for n, share in enumerate(agreements)}
    found = {"file": "model.onnx", "bytes": 10, "largest_difference": 1e-6, "tasks": tasks}
    return {"name": "mine", "precisions": {"fp32": found}, "dev_rows": 4} | more


def metadata(text):
    _, block, _ = text.split("---\n", 2)
    return yaml.safe_load(block)


def test_a_card_says_which_library_reads_it_and_no_pipeline_and_keeps_its_scores():
    scores = EvalResult("text-classification", "mood", "mood, 9 test rows", "f1", 0.5)
    before = ModelCardData(
        base_model="me/encoder", tags=["mine"], pipeline_tag="text-classification",
        model_name="mine", eval_results=[scores],
    )  # fmt: skip
    card = f"---\n{before.to_yaml()}\n---\n\n# Mine\n"
    found = metadata(readme(card, [MOOD], certificate(1.0)))
    assert found["library_name"] == "onnx"
    assert found["base_model"] == "me/encoder"
    assert found["model-index"][0]["results"][0]["metrics"][0]["value"] == 0.5
    assert not found.keys() & {"pipeline_tag", "license", "language"}


def test_the_language_is_named_where_it_is_known():
    assert metadata(readme(None, [MOOD], certificate(1.0), language="en"))["language"] == "en"


def test_a_short_card_holds_the_limits_that_the_whole_one_holds():
    """The whole one's are looked at in the tests of the report's card."""
    short = readme(None, [MOOD], certificate(1.0))
    assert TEMPLATES.get_template("limits.md").render().strip() in short
    assert "## Not for" in short


def test_a_card_says_how_a_text_without_context_is_given():
    says = "`context_ids` [[0]] and `context_mask` [[0]]"
    assert says in readme(None, [MOOD, REPLY], certificate(1.0))
    assert "context_ids" not in readme(None, [MOOD], certificate(1.0))


def test_a_card_says_what_needs_this_package_and_what_does_not():
    text = readme(None, [MOOD], certificate(1.0))
    assert "from_pretrained` of this folder needs the package kd-empathy" in text
    assert "the graphs and `predict.py` need no code of it.\n" in text
    text = readme(None, [MOOD], certificate(1.0, per_task={"tasks/mood": {"class": "Some"}}))
    assert "need no code of it, nor do the folders below.\n" in text


@pytest.mark.parametrize(
    ("agreements", "shown"), [((0.99, None, 0.985), "98.5%"), ((None,), "no rows"), ((), "no rows")]
)
def test_tasks_that_no_row_was_asked_about_have_no_agreement(agreements, shown):
    found = certificate(*agreements)
    assert least_agreement(found["precisions"]["fp32"]) == shown
    assert f"| {shown} |" in readme(None, [MOOD], found)
