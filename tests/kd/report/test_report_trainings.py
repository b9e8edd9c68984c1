"""Tests of kd.report.trainings: which students stand side by side, and what they are called."""

import pytest
from datasets import DatasetDict

from data.errors import InputError
from kd.report.trainings import labels, own_arm, trainings_of
from kd.run_folder import RunFolder
from kd.study import StudyScore

OTHER_SEED = {"training": {"seed": 99}}


@pytest.fixture
def run(planted, finished):
    """A function that makes a run whose config and rows are on disk; its student is right."""

    def made(folder="mine", **settings):
        found = finished(planted([0, 1, 2], student=[0, 1, 2]), folder=folder, **settings)
        found.run.open(found.config)
        found.run.save_splits(DatasetDict({"test": found.test}), found.profile)
        return found

    return made


def names(found):
    return [(training.arm, training.seed) for training in found]


@pytest.mark.parametrize("objective", ["annealed", "soft", "mixed", "gold"])
def test_the_runs_own_student_belongs_to_the_arm_of_its_objective(run, objective):
    one = run(training={"objective": objective})
    expected = "multi" if objective == "gold" else objective
    assert own_arm(one) == expected
    (own,) = trainings_of(one, [])
    assert (own.arm, own.seed, own.tasks) == (expected, 13, one.tasks)


@pytest.fixture
def study(monkeypatch, tmp_path):
    """A study of four students, each of one test row: gold is strong, all say none."""
    found = []
    for arm, seed in (("annealed", 14), ("multi", 14), ("multi", 13), ("annealed", 13)):
        folder = RunFolder(tmp_path / "study" / arm / f"seed-{seed}")
        folder.predictions.mkdir(parents=True)
        text = "id,gold,predicted,p(none),p(weak),p(strong)\nrow2,strong,none,1,0,0\n"
        (folder.predictions / "student-reply-test.csv").write_text(text)
        found += [StudyScore(arm, seed, "reply", split, {}, folder) for split in ("dev", "test")]
    monkeypatch.setattr("kd.report.trainings.study_scores", lambda run: found)


def test_the_arms_of_a_study_stand_before_other_runs_in_order_of_arm_and_seed(run, study):
    found = trainings_of(run(), [run("second", **OTHER_SEED)])
    assert names(found) == [
        ("multi", 13), ("multi", 14), ("annealed", 13), ("annealed", 14), ("second", 99)
    ]  # fmt: skip
    answers = found[0].tasks["reply"]
    assert (answers.ids, answers.rows.tolist()) == (("row2",), [2])
    assert (answers.gold.tolist(), answers.models["student"].predicted.tolist()) == ([2], [0])


def test_another_run_goes_by_its_folders_name(run):
    assert labels(run(), [run("second"), run("third")]) == ["second", "third"]


@pytest.mark.parametrize("name", ["single", "multi", "soft", "mixed", "annealed"])
def test_a_run_whose_folder_is_named_like_an_arm_goes_by_its_path(run, name):
    """Its student would stand as one of the study's."""
    other = run(name, **OTHER_SEED)
    assert labels(run(), [other]) == [str(other.run.path)]
    assert names(trainings_of(run("again"), [other]))[-1] == (str(other.run.path), 99)


def test_runs_whose_folders_share_a_name_go_by_their_paths(run):
    one, two, three = run("a/mine"), run("b/mine"), run("c/third")
    assert labels(one, [two, three]) == [str(two.run.path), "third"]
    four = run("d/third")
    assert labels(one, [three, four]) == [str(three.run.path), str(four.run.path)]


def test_a_run_given_twice_is_refused(run, tmp_path):
    one, two = run(), run("second")
    for others in ([one], [two, two]):
        with pytest.raises(InputError, match="a run is given twice: give each folder once"):
            trainings_of(one, others)


def test_a_run_of_other_rows_is_refused(run):
    with pytest.raises(InputError, match=r"second: has other rows, .* than .*mine: .*seed"):
        trainings_of(run(), [run("second", rows="others")])
