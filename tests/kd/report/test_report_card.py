"""Tests of kd.report.card: what the card of a student says, and what it keeps to itself."""

import pytest
from huggingface_hub import ModelCard

from kd.report.card import model_card
from kd.report.measures import RATIONALE
from kd.report.section import Table
from kd.report.verdict import TaskVerdict
from kd.statistics import Comparison, Estimate

TABLE = Table("Test rows", ["task", "student"], [["reply", "0.500"]])
GOLD = [0, 1, 2]


def verdict(task, measure, value):
    """A verdict on a student of that score."""
    teacher, student = Estimate(0.75, 0.0, 1.0), Estimate(value, 0.0, 1.0)
    return TaskVerdict(task, measure, Comparison(teacher, student, teacher, 1.0, rows=3), 0.1)


@pytest.fixture
def card(planted, finished, tmp_path):
    """A function that makes the card of a run of such settings; gives its metadata and text."""

    def made(**settings):
        age = planted([1.0, 2.0, 3.0], name="own_age", kind="regression", student=[1.0, 3.0, 2.0])
        reply = planted(GOLD, teacher=GOLD, student=GOLD, spans={"teacher": [], "student": []})
        run = finished(reply, age, folder=str(len(list(tmp_path.iterdir()))), **settings)
        rows = [
            verdict("reply", "macro_f1", 0.12345),
            verdict("reply", RATIONALE, 0.9),
            verdict("own_age", "pearson", 0.5),
            TaskVerdict("lost", "pearson", None, None),
        ]
        found = ModelCard(model_card(run, rows, TABLE, 12_345_678))
        return found.data, found.text

    return made


def test_the_metadata_has_the_score_of_each_task_that_is_defined(card):
    data, _ = card()
    results = [(r.dataset_type, r.metric_type, r.metric_value) for r in data.eval_results]
    assert results == [("reply", "f1", 0.1235), ("own_age", "pearsonr", 0.5)]
    assert data.eval_results[1].dataset_name == "own age, 3 test rows"


def test_an_encoder_of_a_hub_is_the_base_model(card):
    assert card(student={"encoder": "someone/bert"})[0].base_model == "someone/bert"


def test_an_encoder_of_a_folder_is_named_nowhere(card, tmp_path, monkeypatch):
    """The second looks like a hub's; the third is gone, or of another machine."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "encoders" / "bert").mkdir(parents=True)
    for place in (f"{tmp_path}/encoders/bert", "encoders/bert", "/home/somebody/models/bert"):
        data, text = card(student={"encoder": place})
        assert data.base_model is None
        assert place not in str(data) + text


@pytest.mark.parametrize(
    ("objective", "said", "unsaid"),
    [
        ("gold", "trained on labels alone", "distilled from"),
        ("annealed", "distilled from single-task teachers (objective `annealed`)", "labels alone"),
        ("soft", "(objective `soft`)", "labels alone"),
    ],
)
def test_the_card_says_what_the_student_learned_from(card, objective, said, unsaid):
    _, text = card(training={"objective": objective})
    assert said in text
    assert unsaid not in text


def test_the_text_has_size_tasks_scores_rows_and_seed(card):
    _, text = card(training={"seed": 99}, data={"max_tokens": 48})
    for said in (
        "One encoder (12.3 M parameters",
        "a head for each of its tasks: reply, own age.",
        "| reply | none, weak, strong | no | yes |",
        "| own age | a number from 1 to 7 | no | no |",
        "the first 48 subwords",
        "| reply | 0.500 |",
        "1,200 texts (5 dev, 3 test); splits hash `hash`. Seed 99.",
    ):
        assert said in text
