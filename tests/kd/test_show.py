"""Tests of kd.show: what a person reads, whatever stands in names and texts."""

import io
import json

import pytest
from rich.console import Console

from kd.run_folder import RunFolder
from kd.show import print_prediction, print_profile, print_results, print_study
from kd.study import StudyScore
from student.predictions import Prediction, Rationale


@pytest.fixture
def shown():
    """A function that prints with one of kd.show's functions and gives the text."""

    def text_of(function, *arguments):
        out = Console(file=io.StringIO(), width=200, highlight=False)
        function(out, *arguments)
        return out.file.getvalue()

    return text_of


def profile_of(**changes):
    task = {
        "rows": {
            "train": {"sad": 3, "glad": 1},
            "dev": {"sad": 1, "glad": 0},
            "test": {"sad": 0, "glad": 2},
        },
        "duplicates": 0,
        "conflicts": [],
        "parts": 0,
        "unmatched": [],
        "left_out_by_limit": 0,
        "moved": 0,
        "unlabelled": 0,
        **changes,
    }
    return {
        "hash": "abc",
        "rows": {"train": 1200, "dev": 1, "test": 2},
        "tasks": {"mood": task},
        "truncated": {"text": 0.125},
        "overlaps": {"train/dev": 0, "train/test": 0},
    }


def test_the_profile_shows_rows_shares_and_what_was_cut(shown):
    text = shown(print_profile, profile_of())
    assert "1,203 texts: train 1,200, dev 1, test 2; splits hash abc" in text
    assert "sad 75% · glad 25%" in text
    assert "cut at max_tokens: 12.5% of texts" in text
    assert "in two splits: none" in text


def test_the_profile_names_the_first_five_rows_to_look_at(shown):
    ids = [f"row{number}" for number in range(7)]
    text = shown(print_profile, profile_of(conflicts=ids, duplicates=9, unmatched=ids[:1], parts=4))
    assert "9 repeated rows merged; 7 with conflicting labels" in text
    assert "row0, row1, row2, row3, row4 …" in text
    assert "1 of 4 rationale parts not in the text: row0" in text


def test_names_in_brackets_are_shown_and_not_taken_for_markup(shown):
    """A user's row id `[/x]` would end the command with a traceback."""
    rows = {split: {"[red]": 1, "[/]": 1} for split in ("train", "dev", "test")}
    text = shown(print_profile, profile_of(rows=rows, conflicts=["[/x]"]))
    assert "[red] 50% · [/] 50%" in text
    assert "[/x]" in text


def test_a_prediction_shows_class_probability_and_quoted_rationale(shown):
    answer = {
        "mood": Prediction("[glad]", {"[glad]": 0.75, "sad": 0.25}, (Rationale(3, 9, "[so]"),)),
        "rating": Prediction(3.14159, {}),
    }
    text = shown(print_prediction, answer, "is [so] glad")
    assert "“[so]” [3:9]" in text
    assert text.splitlines()[1].split()[:3] == ["mood", "[glad]", "0.75"]
    assert text.splitlines()[2].split() == ["rating", "3.142"]


def test_the_results_show_teacher_and_student_beside_the_baselines(shown, tmp_path):
    scores = {"macro_f1": 0.5, "accuracy": 0.625}
    models = {"constant": scores, "tfidf": scores, "student": scores | {"macro_f1": 0.75}}
    numbers = {"pearson": None, "mse": 0.125}
    report = {
        "tasks": {
            "mood": {"test": models | {"teacher": scores | {"macro_f1": 0.875}}},
            "rating": {"test": {"constant": numbers, "student": numbers | {"pearson": 0.25}}},
        },
        "models": {
            "student": {"parameters": 2_000_000, "megabytes": 8.0},
            "mood": {"parameters": 5_000_000, "megabytes": 20.0},
        },
    }
    path = tmp_path / "metrics.json"
    path.write_text(json.dumps(report))
    lines = [line.split() for line in shown(print_results, path).splitlines()]
    assert ["mood", "macro-f1", "0.500", "0.500", "0.875", "0.750"] in lines
    assert ["rating", "pearson", "0.250"] in lines
    assert ["mse", "0.125", "0.125"] in lines
    assert "(2.5" in lines[-1]  # times the student


def test_a_study_shows_the_mean_and_deviation_of_each_arms_seeds_on_test(shown, tmp_path):
    """0.5, 0.7 and 0.9 have the mean 0.7, and (0.04 + 0 + 0.04) / 2 is the square of 0.2."""

    def score(arm, seed, task, split="test", **scores):
        return StudyScore(arm, seed, task, split, scores, RunFolder(tmp_path))

    def tokens(value):
        return {"level>0": {"model": {"token_f1": value}}}

    scores = [
        *(score("multi", seed, "mood", macro_f1=0.1 * seed) for seed in (5, 7, 9)),
        *(score("soft", 5, "mood", split, macro_f1=0.25) for split in ("dev", "test")),
        score("soft", 5, "reply", macro_f1=0.25, rationale=tokens(0.5)),
        *(score("multi", s, "reply", macro_f1=0.5, rationale=tokens(0.5)) for s in (5, 7)),
        score("multi", 9, "reply", macro_f1=0.5, rationale=tokens(None)),
        score("soft", 5, "rating", pearson=None),
        *(score("multi", seed, "rating", pearson=0.1 * seed - 0.6) for seed in (5, 7)),
    ]
    lines = [line.split() for line in shown(print_study, scores).splitlines()]
    assert lines[2:] == [
        ["task", "multi", "(3)", "soft", "(1)"],
        ["mood", "0.700", "±", "0.200", "0.250"],
        ["reply", "0.500", "±", "0.000", "0.250"],
        ["rationale", "0.500"],  # the token-F1 of one of multi's seeds is undefined
        ["rating", "0.000", "±", "0.141"],
    ]
