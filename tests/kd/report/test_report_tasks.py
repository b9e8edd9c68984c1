"""Tests of kd.report.tasks: confusions, scores, calibration, fidelity and curves of a task."""

import json
import math

import numpy as np
import pytest

from kd.report.tasks import fidelity, read_log, student_curves, tasks_section, teacher_curve

GOLD = [0, 0, 0, 1, 1, 2]
TEACHER = [0, 0, 1, 1, 2, 2]
STUDENT = [0, 1, 1, 1, 0, 0]
SURE = 0.8 + 0.2 / 3


def test_fidelity_by_hand():
    teacher = np.array([[0.8, 0.2], [0.8, 0.2], [0.3, 0.7]])
    student = np.array([[0.8, 0.2], [0.4, 0.6], [0.3, 0.7]])
    found = fidelity(teacher, student, np.array([True, True, False]))
    apart = 0.8 * math.log(0.8 / 0.4) + 0.2 * math.log(0.2 / 0.6)
    assert found["all"] == {
        "rows": 3,
        "agreement": pytest.approx(2 / 3),
        "kl": pytest.approx(apart / 3),
    }
    assert found["right"] == {"rows": 2, "agreement": 0.5, "kl": pytest.approx(apart / 2)}
    assert found["wrong"] == {"rows": 1, "agreement": 1.0, "kl": 0.0}


def test_a_chance_rounded_to_0_keeps_the_divergence_finite():
    found = fidelity(np.array([[1.0, 0.0]]), np.array([[0.0, 1.0]]), np.array([True]))
    assert found["all"]["kl"] == pytest.approx(math.log(1e6), rel=1e-4)
    assert found["wrong"] == {"rows": 0, "agreement": None, "kl": None}


@pytest.fixture
def section(planted, finished):
    """One task; the student gives three of its answers a chance of 1."""
    sure = [[1, 0, 0], [0, 1, 0], [0, 1, 0]]
    student = [*sure, *np.eye(3)[STUDENT[3:]] * 0.8 + 0.2 / 3]
    task = planted(GOLD, teacher=TEACHER, student=STUDENT, chances={"student": student})
    return tasks_section(finished(task))


def test_the_confusion_has_gold_down_and_each_models_answers_across(section):
    shown = {figure.name: figure.chart.to_dict() for figure in section.parts[1].figures}
    for model, expected in (
        ("teacher", [[2, 1, 0], [0, 1, 1], [0, 0, 1]]),
        ("student", [[1, 2, 0], [1, 1, 0], [1, 0, 0]]),
    ):
        cells = shown[f"reply-confusion-{model}"]["data"]["values"]
        found = {(cell["gold"], cell["predicted"]): cell for cell in cells}
        classes = ("none", "weak", "strong")
        assert [[found[g, p]["rows"] for p in classes] for g in classes] == expected
        assert found["none", "weak"]["share"] == pytest.approx(expected[0][1] / 3)


def test_each_model_is_calibrated_by_its_own_chances(section, cells):
    """The teacher: 4 of 6 right, 0.867 sure. The student: 1 of 3 at 1, 1 of 3 at 0.867."""
    found = section.data["reply"]["calibration"]
    assert found["teacher"]["ece"] == pytest.approx(SURE - 4 / 6)
    assert found["student"]["ece"] == pytest.approx((2 / 3 + SURE - 1 / 3) / 2)
    table = cells(section.parts[1].tables[1])
    assert [row["model"] for row in table] == ["teacher", "student"]
    assert [row["ECE"] for row in table] == ["0.200", "0.600"]


def test_fidelity_is_split_by_the_rows_on_which_the_teacher_is_right(section, cells):
    """The teacher errs on rows 2 and 4, and the student says the same on 2; on 0 and 3 of 0, 1,
    3 and 5 too."""
    found = section.data["reply"]["fidelity"]
    assert [(found[key]["rows"], found[key]["agreement"]) for key in ("all", "right", "wrong")] == [
        (6, 0.5), (4, 0.5), (2, 0.5)
    ]  # fmt: skip
    # Where the teacher is wrong: row 2, sure of the same class, and row 4, of another.
    certain = SURE * math.log(SURE) + 2 / 15 * math.log(1 / 15 / 1e-6)
    other = 0.8 * math.log(SURE * 15)
    assert found["wrong"]["kl"] == pytest.approx((certain + other) / 2)
    table = cells(section.parts[1].tables[2])
    assert [row["rows"] for row in table] == ["6", "4", "2"]
    assert {row["same answer"] for row in table} == {"50.0 %"}


def test_the_scores_of_a_class_stand_below_their_model(section, cells):
    """Weak: the teacher finds 1 of 2 in 2 answers, the student 1 of 2 in 3."""
    weak = cells(section.parts[1].tables[0])[1]
    assert weak == {
        "class": "weak", "rows": "2",
        "teacher precision": "0.500", "teacher recall": "0.500", "teacher F1": "0.500",
        "student precision": "0.333", "student recall": "0.500", "student F1": "0.400",
    }  # fmt: skip


def test_a_regression_shows_each_models_scores(planted, finished, cells):
    gold = [1.0, 2.0, 3.0, 4.0]
    answers = {"teacher": [2.0, 3.0, 4.0, 5.0], "student": [4.0, 3.0, 2.0, 1.0]}
    section = tasks_section(finished(planted(gold, name="age", kind="regression", **answers)))
    assert [list(row.values()) for row in cells(section.parts[1].tables[0])] == [
        ["teacher", "1.000", "1.000", "1.000"],
        ["student", "−1.000", "−1.000", "5.000"],
    ]


def test_without_a_teacher_the_student_stands_alone(planted, finished):
    (*_, part) = tasks_section(finished(planted(GOLD, student=STUDENT))).parts
    assert [table.caption.partition(" ")[0] for table in part.tables] == ["Scores", "Calibration"]
    assert [figure.name for figure in part.figures] == [
        "reply-confusion-student", "reply-reliability"
    ]  # fmt: skip


@pytest.fixture
def logs(tmp_path):
    """Logs of a student's training and of a teacher's."""
    student = [
        {"step": 1, "loss/reply": 0.9, "loss/reply/rationale": 0.7, "gold_weight": 0.1, "rate": 1},
        {"step": 2, "loss/reply": 0.8, "dev_score": 0.5},
    ]
    teacher = [
        {"step": 3, "loss/reply": 0.6, "loss/reply/rationale": 0.4}, {"step": 4, "dev_score": 1}
    ]  # fmt: skip
    for name, rows in (("distill", student), ("teach-reply", teacher)):
        (tmp_path / f"{name}.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n")
    return tmp_path


def points(found):
    return [(point["step"], point["series"], point["value"]) for point in found]


def test_the_students_curves_are_the_log_of_its_training(logs):
    found = student_curves(logs)
    assert points(found["labels"]) == [(1, "reply", 0.9), (2, "reply", 0.8)]
    assert points(found["rationales"]) == [(1, "reply", 0.7)]
    assert points(found["progress"]) == [(1, "gold weight", 0.1), (2, "dev score", 0.5)]


def test_a_teachers_curve_is_the_log_of_its_training(logs):
    assert points(teacher_curve(logs, "reply", "reply")) == [
        (3, "loss", 0.6), (3, "rationale loss", 0.4), (4, "dev score", 1)
    ]  # fmt: skip


def test_a_training_without_a_log_has_no_curve(tmp_path):
    assert read_log(tmp_path / "distill.jsonl") == []
    assert student_curves(tmp_path) == {"labels": [], "rationales": [], "progress": []}


def test_the_curves_of_the_trainings_stand_in_the_section(planted, finished, logs):
    run = finished(planted(GOLD, teacher=TEACHER, student=STUDENT))
    run.run.logs.mkdir()
    for path in logs.glob("*.jsonl"):
        path.rename(run.run.logs / path.name)
    student, task = tasks_section(run).parts
    names = [figure.name for figure in student.figures]
    assert names == ["student-labels", "student-rationales", "student-progress"]
    assert task.figures[-1].name == "reply-teacher"
