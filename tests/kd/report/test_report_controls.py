"""Tests of kd.report.controls: arms over seeds, and what their differences are called."""

import numpy as np

from kd.report.controls import controls_section
from kd.report.trainings import Training

RANDOM = np.random.default_rng(0)
GOLD = RANDOM.integers(0, 3, 600)


def with_errors(share, seed):
    """Answers of which a share is wrong, other rows for each seed."""
    random = np.random.default_rng(seed)
    wrong = random.random(len(GOLD)) < share
    return np.where(wrong, (GOLD + random.integers(1, 3, len(GOLD))) % 3, GOLD)


def trainings(planted, **shares):
    return [
        Training(arm, seed, {"reply": planted(GOLD, student=with_errors(share, 10 * n + seed))})
        for n, (arm, share) in enumerate(shares.items())
        for seed in (13, 14, 15)
    ]


def words(section):
    return {(row["first"], row["second"]): row["word"] for row in section.data["differences"]}


def section_of(planted, **shares):
    return controls_section(trainings(planted, **shares), "annealed", seed=0, command="kd study")


def test_a_better_arm_is_called_better_and_a_like_one_not_decided(planted):
    section = section_of(planted, single=0.4, multi=0.2, annealed=0.2)
    assert words(section) == {
        ("multi", "annealed"): "not decided",
        ("single", "multi"): "better",
        ("single", "annealed"): "better",
    }


def test_a_shared_encoder_that_loses_is_called_negative_transfer(planted):
    section = section_of(planted, single=0.1, multi=0.4)
    assert words(section) == {("single", "multi"): "negative transfer"}
    sentences = " ".join(s for part in section.parts for s in part.sentences)
    assert "Negative transfer on reply" in sentences


def test_differences_are_paired_by_seed(planted):
    section = section_of(planted, single=0.3, multi=0.2)
    (row,) = section.data["differences"]
    scores = {(row["arm"], row["seed"]): row["score"] for row in section.data["scores"]}
    by_seed = [scores["multi", seed] - scores["single", seed] for seed in (13, 14, 15)]
    assert row["seeds"] == [13, 14, 15]
    np.testing.assert_allclose(row["difference"], np.mean(by_seed))
    assert row["over_seeds"]["low"] < row["difference"] < row["over_seeds"]["high"]


def test_one_training_alone_says_how_to_run_the_controls(planted):
    (first, *_) = trainings(planted, annealed=0.2)
    section = controls_section([first], "annealed", seed=0, command="kd study x.yaml")
    assert "kd study x.yaml" in section.parts[0].sentences[0]


def test_another_run_is_compared_with_the_own_arm(planted):
    section = section_of(planted, annealed=0.4, other=0.1)
    assert words(section) == {("annealed", "other"): "better"}


def test_an_arm_has_the_mean_of_its_seeds_and_the_deviation_of_a_sample(planted, cells):
    """Accuracies and macro-F1 of 1 and 0: the squares 1/4 and 1/4 over one less than two."""
    trained = [
        Training(arm, seed, {"reply": planted([0, 1, 2], student=said)})
        for arm, seed, said in (
            ("single", 13, [0, 1, 2]), ("multi", 13, [0, 1, 2]), ("multi", 14, [1, 2, 0])
        )
    ]  # fmt: skip
    section = controls_section(trained, "multi", seed=0, command="")
    assert cells(section.parts[0].tables[0]) == [
        {"task": "seeds", "metric": "", "single": "1", "multi": "2"},
        {"task": "reply", "metric": "macro-F1", "single": "1.000", "multi": "0.500 ± 0.707"},
    ]
