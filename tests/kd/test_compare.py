"""Tests of kd.compare: the answers that flipped, who won them, and what is refused."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from data.errors import InputError
from data.tasks import TaskSpec
from kd import compare
from kd.compare import Flips, compare_runs
from kd.config import Config
from kd.prediction_files import Answers
from kd.report.answers import FinishedRun, TaskAnswers
from kd.report.measures import compare_on
from kd.run_folder import RunFolder

MOOD = TaskSpec("mood", classes=("sad", "glad", "so, so"))
AGE = TaskSpec("age", kind="regression", low=1, high=7)
GOLD = [0, 0, 0, 1, 1, 2, 2, 2]
FIRST = [0, 1, 0, 1, 0, 1, 0, 0]
SECOND = [0, 0, 1, 1, 1, 0, 2, 0]


def answers(spec, gold, said):
    ids = tuple(f"row{number}" for number in range(len(gold)))
    student = Answers(np.array(said), np.empty((len(gold), len(spec.classes))), None, None)
    return TaskAnswers(spec, np.arange(len(gold)), ids, np.array(gold), {"student": student})


@pytest.fixture
def runs(tmp_path, monkeypatch):
    """The folders of two runs with these answers, and what kd.compare reads of them."""

    def made(name, said, seed):
        mood = {"sources": [{"files": "mine.csv"}], "classes": MOOD.classes}
        settings = {"name": name, "tasks": {"mood": mood}, "training": {"seed": seed}}
        tasks = {
            "mood": answers(MOOD, GOLD, said),
            "age": answers(AGE, [1.0, 2.0, 3.0], [1.0 + seed, 3.0, 2.0]),
        }
        config = Config.model_validate(settings)
        return FinishedRun(RunFolder(tmp_path / name), config, {}, {"hash": "h"}, None, tasks)

    found = {run.run.path: run for run in (made("one", FIRST, 13), made("two", SECOND, 14))}
    monkeypatch.setattr(compare, "read_run", found.__getitem__)
    # Ten thousand resamples take half a second.
    monkeypatch.setattr(compare, "compare_on", partial(compare_on, resamples=500))
    return found


def test_flips_are_won_lost_or_wrong_on_both_sides(runs):
    """The second alone is right on rows 1, 4 and 6, the first on 2; on 5 they
    err differently, on 7 alike."""
    mood, age = compare_runs(*runs).tasks
    assert mood.flips == Flips(won=3, lost=1, both_wrong=1)
    assert mood.p_mcnemar == pytest.approx(2 * (1 + 4) / 2**4)
    assert (age.flips, age.p_mcnemar, age.measure) == (None, None, "pearson")


def test_scores_are_second_minus_first(runs):
    found = compare_runs(*runs).tasks[0].scores
    # F1 of sad, glad and the third: 4/8, 2/5 and 0; then 4/7, 4/5 and 2/4.
    first, second = (4 / 8 + 2 / 5) / 3, (4 / 7 + 4 / 5 + 2 / 4) / 3
    assert found.first.value == pytest.approx(first)
    assert found.second.value == pytest.approx(second)
    assert found.difference.value == pytest.approx(second - first)


def test_the_settings_that_differ_have_both_values(runs):
    assert compare_runs(*runs).settings == [("name", "one", "two"), ("training.seed", 13, 14)]


def test_the_rows_that_flipped_are_written_with_gold_and_both_answers(runs, tmp_path):
    compare_runs(*runs, flips=tmp_path / "flips.csv")
    assert (tmp_path / "flips.csv").read_text() == (
        "task,id,gold,first,second\n"
        "mood,row1,sad,glad,sad\n"
        "mood,row2,sad,sad,glad\n"
        "mood,row4,glad,sad,glad\n"
        'mood,row5,"so, so",glad,sad\n'
        'mood,row6,"so, so",sad,"so, so"\n'
    )


def test_runs_of_other_rows_are_refused_and_nothing_is_written(runs, tmp_path):
    first, second = runs
    runs[second] = replace(runs[second], profile={"hash": "other"})
    with pytest.raises(InputError, match=r"two: has other rows, tasks or splits than .*one: "):
        compare_runs(first, second, flips=tmp_path / "flips.csv")
    assert not (tmp_path / "flips.csv").exists()
