"""Tests of kd.selfcheck: what it compares, and that it sees a difference."""

import json

import pytest
import torch
from safetensors.torch import save_file

from kd.run_folder import RunFolder
from kd.selfcheck import Check, losses_apart, rows_apart, rows_by_step, weights_apart


@pytest.fixture
def run(tmp_path):
    """A function that makes a run's folder from a student's weights, log and rows."""

    def made(name, *, weights=None, log=(), rows=()):
        run = RunFolder(tmp_path / name)
        run.student.mkdir(parents=True)
        run.logs.mkdir()
        if weights is not None:
            tensors = {key: torch.tensor(value) for key, value in weights.items()}
            save_file(tensors, run.student / "model.safetensors")
        files = {"distill": log, **{f"distill.rows-{n}": lines for n, lines in enumerate(rows)}}
        for file, lines in files.items():
            text = "".join(json.dumps(line) + "\n" for line in lines)
            (run.logs / f"{file}.jsonl").write_text(text)
        return run

    return made


def test_losses_are_compared_relatively_by_their_largest_difference(run):
    first = run("a", log=[{"step": 0, "loss/x": 2.0}, {"step": 1, "loss/x": 1.0}])
    second = run("b", log=[{"step": 0, "loss/x": 2.0}, {"step": 1, "loss/x": 0.75}])
    assert losses_apart(first, first) == 0.0
    assert losses_apart(first, second) == pytest.approx(0.25)


def test_logs_of_other_lengths_or_names_are_infinitely_apart(run):
    first = run("a", log=[{"step": 0, "loss/x": 2.0}])
    assert losses_apart(first, run("b", log=[])) == float("inf")
    assert losses_apart(first, run("c", log=[{"step": 0, "loss/y": 2.0}])) == float("inf")


def test_weights_are_compared_by_the_norm_of_their_difference(run):
    first = run("a", weights={"w": [3.0, 4.0], "b": [0.0]})
    second = run("b", weights={"w": [3.0, 4.0], "b": [1.0]})
    assert weights_apart(first, first) == 0.0
    assert weights_apart(first, second) == pytest.approx(1 / 5)


def test_the_rows_of_a_step_are_those_of_all_processes_in_any_order(run):
    one = run("a", rows=[[{"step": 0, "rows": ["p", "q", "r"]}, {"step": 1, "rows": ["q"]}]])
    two = run(
        "b",
        rows=[[{"step": 0, "rows": ["r"]}, {"step": 1, "rows": []}],
              [{"step": 0, "rows": ["q", "p"]}, {"step": 1, "rows": ["q"]}]],
    )  # fmt: skip
    assert rows_by_step(two) == {0: ["p", "q", "r"], 1: ["q"]}
    assert rows_apart(one, two) == 0


def test_a_row_seen_twice_or_a_missing_step_is_seen(run):
    one = run("a", rows=[[{"step": 0, "rows": ["p", "q"]}, {"step": 1, "rows": ["p"]}]])
    other = run("b", rows=[[{"step": 0, "rows": ["p", "q", "q"]}]])
    assert rows_apart(one, other) == 2


def test_what_is_not_a_number_does_not_hold():
    assert Check("x", 0.0, 0.0).holds
    assert not Check("x", float("nan"), 1e-5).holds
    assert not Check("x", 2e-5, 1e-5).holds
