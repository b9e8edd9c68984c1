"""Tests of kd.report.cost: the models of a system, their size and times, and the Pareto front."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from datasets import Dataset
from safetensors import safe_open

from data.errors import InputError
from data.tasks import TaskSpec
from kd.report.cost import System, cost_section, mark_front, measure, outside_teachers, systems_of
from kd.report.measures import RATIONALE
from kd.report.verdict import TaskVerdict
from kd.statistics import Comparison, Estimate
from student.encoders import load_encoder, load_tokenizer
from student.model import StudentModel, new_student


def system(name, score, latency, megabytes=1.0):
    return {"name": name, "score": score, "latency_ms": {"p50": latency}, "megabytes": megabytes}


def front(rows):
    mark_front(rows)
    return {row["name"] for row in rows if row["front_latency"]}


def test_a_system_that_another_beats_in_score_and_cost_is_off_the_front():
    rows = [system("slow", 0.8, 10), system("quick", 0.7, 1), system("poor", 0.6, 5)]
    assert front(rows) == {"slow", "quick"}


def test_equal_systems_are_both_on_the_front():
    assert front([system("a", 0.8, 10), system("b", 0.8, 10)]) == {"a", "b"}


def test_an_equal_score_at_a_higher_cost_is_off_the_front():
    assert front([system("a", 0.8, 10), system("b", 0.8, 11)]) == {"a"}


def test_a_system_without_a_score_is_off_the_front_and_beats_nobody():
    assert front([system("a", 0.8, 10), system("none", None, 1)]) == {"a"}


def verdict(task, teacher, student, measure="macro_f1"):
    """A verdict on one score a model."""
    first, second = (Estimate(value, value, value) for value in (teacher, student))
    return TaskVerdict(task, measure, Comparison(first, second, first, 1.0, rows=3), 0.1)


@pytest.fixture
def run(planted, finished):
    """A function that makes a run of two tasks with these teachers in its folder."""

    def made(*names, **settings):
        tasks = (
            planted([0, 1, 2], name=name, teacher=[0, 1, 2], student=[0, 1, 2])
            for name in ("mood", "reply")
        )
        found = finished(*tasks, **settings)
        for name in names:
            found.run.teacher(name).mkdir(parents=True)
            (found.run.teacher(name) / "model.safetensors").touch()
        return found

    return made


ROWS = [verdict("mood", 1.0, 0.5), verdict("reply", 0.5, 0.2), verdict("reply", 0, 0, RATIONALE)]


def test_the_teachers_of_all_tasks_are_one_system(run):
    one = run("mood", "reply", "reply-2", teachers={"tasks": {"reply": [{}, {"weight": 2}]}})
    teachers, student = systems_of(one, ROWS, {})
    assert [folder.name for folder in teachers.folders] == ["mood", "reply", "reply-2"]
    assert (student.name, student.folders) == ("student", [one.run.student])


def test_teachers_that_ran_outside_have_no_cost(run):
    """A mean of the others' would make the teachers look cheap."""
    one = run("mood", teachers={"tasks": {"reply": [{"file": "mine.csv"}]}})
    assert [system.name for system in systems_of(one, ROWS, {})] == ["student"]
    assert outside_teachers(one) == ["reply"]


def test_a_teacher_that_is_gone_is_asked_for(run):
    with pytest.raises(InputError, match=r"reply: holds no model: run kd teach"):
        systems_of(run("mood"), ROWS, {})


def test_a_systems_score_is_the_mean_over_its_tasks_without_the_rationales(planted, finished, run):
    """Macro-F1 of another run's constant answer: a precision of 1/3 and a recall of 1, by 3."""
    other = finished(planted([0, 1, 2], student=[0, 0, 0]), folder="other")
    found = systems_of(run("mood", "reply"), ROWS, {"second": other})
    assert [one.name for one in found] == ["teachers", "student", "second"]
    np.testing.assert_allclose([one.score for one in found], [0.75, 0.35, 0.5 / 3])
    assert found[2].folders == [other.run.student]


def test_a_system_with_an_undefined_score_has_none(run):
    rows = [*ROWS, TaskVerdict("age", "pearson", None, None)]
    found = systems_of(run("mood", "reply"), rows, {})
    assert [one.score for one in found] == [None, None]


def test_without_teachers_the_student_is_costed_alone(planted, finished):
    (found,) = systems_of(finished(planted([0, 1], student=[0, 1])), ROWS[:1], {})
    assert (found.name, found.score) == ("student", 0.5)


@pytest.fixture
def model(tmp_path, tiny_encoder):
    """A function that writes a model of some tasks; gives its folder."""

    def made(name, *classes):
        specs = [TaskSpec(f"task{n}", classes=tuple("abcdef"[:count])) for n, count in
                 enumerate(classes)]  # fmt: skip
        student = new_student(
            load_encoder(str(tiny_encoder)), specs, pooling="mean", head="two_layer",
            attention_heads=1, dropout=0.0, max_tokens=64,
        )  # fmt: skip
        student.save_pretrained(tmp_path / name)
        load_tokenizer(str(tiny_encoder)).save_pretrained(tmp_path / name)
        return tmp_path / name

    return made


@pytest.fixture
def clock(monkeypatch):
    """A clock that only a model moves: a millisecond for each token of its texts."""
    now = [0.0]
    forward = StudentModel.forward

    def timed(self, input_ids, attention_mask, *rest):
        now[0] += attention_mask.sum().item() / 1000
        return forward(self, input_ids, attention_mask, *rest)

    monkeypatch.setattr(StudentModel, "forward", timed)
    monkeypatch.setattr("kd.report.cost.time", SimpleNamespace(perf_counter=lambda: now[0]))


def numbers_in(folder):
    with safe_open(folder / "model.safetensors", "pt") as file:
        return sum(file.get_tensor(name).numel() for name in file.keys())  # noqa: SIM118


def test_a_system_costs_what_all_its_models_cost_together(model, clock):
    """Pairs of 3 to 34 tokens: a median of 18.5 ms and a 95th percentile of 32.45 ms a model,
    592 ms a batch."""
    folders = [model("one", 2, 3), model("two", 3), model("three", 6)]
    texts = ["a " * count for count in range(1, 33)]
    test = Dataset.from_dict({"id": texts, "text": texts, "context": ["a"] * 32})
    systems = [System("teachers", folders, 0.5), System("student", folders[:1], 0.75)]
    cost = measure(systems, test, seed=0)
    for models, row in zip((3, 1), cost["systems"], strict=True):
        counts = [numbers_in(folder) for folder in folders[:models]]
        assert (row["models"], row["parameters"]) == (models, sum(counts))
        assert row["megabytes"] == pytest.approx(4 * sum(counts) / 1e6)
        assert row["latency_ms"]["p50"] == pytest.approx(18.5 * models)
        assert row["latency_ms"]["p95"] == pytest.approx(32.45 * models)
        assert row["rows_per_second"] == pytest.approx(32 / (0.592 * models))
    assert [(row["name"], row["score"]) for row in cost["systems"]] == [
        ("teachers", 0.5), ("student", 0.75)
    ]  # fmt: skip
    assert (cost["pairs"], cost["threads"]) == (32, torch.get_num_threads())


def test_pairs_have_a_context_where_there_are_any_and_are_repeated_up_to_a_batch(model, clock):
    """Of 40 rows only the one with a context is read: 3 tokens, 32 times."""
    test = Dataset.from_dict(
        {"id": ["a"] * 40, "text": ["a b c"] * 39 + ["a"], "context": [""] * 39 + ["b"]}
    )
    (row,) = measure([System("student", [model("one", 2)], None)], test, seed=0)["systems"]
    assert (row["latency_ms"]["p50"], row["latency_ms"]["p95"]) == pytest.approx((3, 3))
    assert row["rows_per_second"] == pytest.approx(32 / 0.096)


def test_the_section_says_that_teachers_ran_outside():
    systems = [system("student", 0.5, 1.0)]
    mark_front(systems)
    cost = {"systems": systems, "device": "cpu", "threads": 1, "pairs": 32}
    (part,) = cost_section({**cost, "outside": ["mood", "reply-2"]}).parts
    assert "mood and reply-2 ran outside, and what they cost is unknown" in part.sentences[1]
    (part,) = cost_section({**cost, "outside": []}).parts
    assert len(part.sentences) == 1


@pytest.mark.parametrize(("threads", "said"), [(1, "CPU with 1 thread,"), (4, "with 4 threads,")])
def test_the_section_tells_the_machine_and_leaves_out_what_has_no_score(threads, said):
    systems = [system("student", 0.5, 1.0), system("second", None, 1.0)]
    mark_front(systems)
    cost = {"systems": systems, "device": "cpu", "threads": threads, "pairs": 32}
    (part,) = cost_section(cost).parts
    assert said in part.sentences[0]
    assert "left out" in part.sentences[1]
    points = part.figures[0].chart.to_dict()["data"]["values"]
    assert [point["name"] for point in points] == ["student"]
    assert part.figures[1].name == "cost-size"
