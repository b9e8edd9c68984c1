"""Tests of kd.training: the loop, run on a tiny model, read through its log and its weights."""

import json
import os
import signal
from contextlib import closing
from dataclasses import replace
from itertools import count

import numpy as np
import pytest
import torch
from accelerate.utils import set_seed

from data.plan import make_plan
from kd.annealing import constant, linear
from kd.checkpoints import Checkpoints
from kd.hardware import new_accelerator
from kd.losses import TaskLoss
from kd.run_log import RunLog
from kd.stopped import Stopped
from kd.target_loss import target_loss
from kd.training import Recipe, seed_step, train

RECIPE = Recipe(
    learning_rate=1e-3,
    layer_decay=0.9,
    weight_decay=0.01,
    warmup=0.1,
    clip=1.0,
    accumulation=1,
    evaluations=1,
    patience=100,
)


@pytest.fixture
def fit(table, mood, reply, new_model, tmp_path):
    """A function that trains a new model and gives it, how it ended, and its log's rows."""
    logs = count()

    def fitted(
        *,
        rows=table,
        schedule=linear,
        dev_score=lambda model: 0.0,
        steps=6,
        batch_size=8,
        dropout=0.0,
        seed=0,
        name=None,
        key="key",
        every=0,
        keep=1,
        gradients=0,
        log_every=10,
        **changes,
    ):
        specs = (mood, reply)
        model = new_model(*specs, dropout=dropout)
        plan = make_plan(
            np.ones((len(rows), 1), dtype=bool),
            batch_size=batch_size,
            epochs=steps * batch_size / len(rows),
            seed=seed,
        )
        assert plan.steps == steps
        set_seed(seed)
        name = name or f"run{next(logs)}"
        accelerator = new_accelerator("fp32")
        log = RunLog(tmp_path, name, accelerator, every=log_every, gradients=gradients)
        loss = target_loss(
            model,
            rows,
            {spec.name: TaskLoss(spec) for spec in specs},
            schedule,
            accelerator,
            steps=steps,
            comparisons=gradients,
        )
        with closing(log):
            trained = train(
                model,
                rows,
                plan,
                loss,
                dev_score,
                replace(RECIPE, **changes),
                accelerator,
                checkpoints=Checkpoints(tmp_path / f"{name}-checkpoints", key, every, keep),
                log=log,
                title="a model",
            )
        lines = (tmp_path / f"{name}.jsonl").read_text().splitlines()
        model.load_state_dict(trained.weights)
        return model, trained, [json.loads(line) for line in lines]

    return fitted


@pytest.fixture
def taught(table, mood, reply):
    """The table with random soft targets on every row and every token that is not special."""
    random = np.random.default_rng(1)
    soft = {
        spec.name: random.dirichlet(np.ones(spec.width), len(table)).astype(np.float32)
        for spec in (mood, reply)
    }
    tokens = random.random(len(table.offsets), dtype=np.float32)
    tokens[np.isnan(table.gold_tokens[reply.name])] = np.nan
    return table.with_soft(soft, {reply.name: tokens})


def assert_equal_weights(first, second, **tolerance):
    assert_close = torch.testing.assert_close
    assert_close(dict(first.state_dict()), dict(second.state_dict()), **tolerance)


EXACT = {"atol": 0.0, "rtol": 0.0}


@pytest.mark.parametrize("accumulation", [1, 4])
def test_the_gold_weight_is_zero_at_the_first_step_and_just_under_one_at_the_last(
    fit, taught, accumulation
):
    """Driven by micro-steps it would end at 1/4, or pass 1."""
    _, trained, log = fit(rows=taught, steps=12, accumulation=accumulation)
    weights = {row["step"]: row["gold_weight"] for row in log if "gold_weight" in row}
    assert weights == {0: 0.0, 10: 10 / 12, 11: 11 / 12}
    assert trained.steps == 12


def test_accumulation_gives_the_weights_of_the_undivided_batch(fit, taught):
    whole, _, log = fit(rows=taught, accumulation=1)
    parts, _, log_of_parts = fit(rows=taught, accumulation=4)
    assert_equal_weights(parts, whole, atol=1e-5, rtol=0.0)
    for row, row_of_parts in zip(log, log_of_parts, strict=True):
        assert row_of_parts == pytest.approx(row, abs=1e-4)


def test_a_seed_gives_the_same_weights_twice_and_another_seed_gives_others(fit):
    first, again, other = (fit(dropout=0.1, seed=seed)[0] for seed in (0, 0, 1))
    assert_equal_weights(again, first, **EXACT)
    with pytest.raises(AssertionError, match=r"not close|not equal"):
        assert_equal_weights(other, first, **EXACT)


def test_gold_alone_equals_the_mix_of_gold_weight_one(fit, table, taught):
    gold, _, _ = fit(rows=table, schedule=constant(1.0))
    mixed, _, _ = fit(rows=taught, schedule=constant(1.0))
    assert_equal_weights(mixed, gold, **EXACT)


def test_soft_targets_alone_equal_the_mix_of_gold_weight_zero(fit, taught):
    soft, _, _ = fit(rows=taught.without_gold(), schedule=constant(0.0))
    mixed, _, _ = fit(rows=taught, schedule=constant(0.0))
    gold, _, _ = fit(rows=taught, schedule=constant(1.0))
    assert_equal_weights(mixed, soft, **EXACT)
    with pytest.raises(AssertionError, match=r"not close|not equal"):
        assert_equal_weights(gold, soft, **EXACT)


def test_training_lowers_the_loss_of_every_part(fit):
    _, _, log = fit(steps=60, batch_size=24, schedule=constant(1.0), learning_rate=0.01)
    losses = [{k: v for k, v in row.items() if k.startswith("loss/")} for row in log]
    losses = [row for row in losses if row]
    assert losses[0].keys() == {"loss/mood", "loss/reply", "loss/reply/rationale"}
    assert {name for name in losses[0] if losses[-1][name] > 0.9 * losses[0][name]} == set()


class Scores:
    """A dev score that gives numbers in turn and keeps the weights that it saw."""

    def __init__(self, *scores):
        self.scores, self.seen, self.was_training = list(scores), [], []

    def __call__(self, model):
        self.was_training.append(model.training)
        model.eval()
        self.seen.append({name: t.detach().clone() for name, t in model.state_dict().items()})
        return self.scores[len(self.seen) - 1]


def test_the_weights_of_the_best_dev_score_are_returned(fit):
    scores = Scores(0.2, 0.7, 0.4, 0.7)
    model, trained, log = fit(steps=8, evaluations=4, dev_score=scores)
    torch.testing.assert_close(dict(model.state_dict()), scores.seen[1], **EXACT)
    assert (trained.best_score, trained.best_step, trained.steps) == (0.7, 4, 8)
    assert [row["dev_score"] for row in log if "dev_score" in row] == [0.2, 0.7, 0.4, 0.7]
    about = json.loads(trained.as_json())
    assert about.pop("versions").keys() >= {"python", "torch", "transformers"}
    assert about.pop("hardware")["cores"] >= 1
    assert about == {"best_score": 0.7, "best_step": 4, "steps": 8}


def test_every_step_runs_in_training_mode_whatever_the_dev_score_did(fit):
    scores = Scores(0.1, 0.2, 0.3)
    fit(steps=6, evaluations=3, dev_score=scores)
    assert scores.was_training == [True, True, True]


def test_training_stops_once_patience_evaluations_brought_nothing_better(fit):
    scores = Scores(0.5, 0.4, 0.5, 0.9, 0.9)
    _, trained, _ = fit(steps=10, evaluations=5, patience=2, dev_score=scores)
    assert (trained.best_step, trained.steps) == (2, 6)


def test_a_better_score_makes_the_patience_whole_again(fit):
    scores = Scores(0.5, 0.4, 0.6, 0.5, 0.7)
    _, trained, _ = fit(steps=10, evaluations=5, patience=2, dev_score=scores)
    assert (trained.best_step, trained.steps) == (10, 10)


def test_the_rate_falls_after_each_evaluation_that_brought_nothing_better(fit):
    """Also in a training that goes on from a checkpoint: 1, 1, 1/2 and 1/4 of the plain rate."""
    options = {"steps": 8, "evaluations": 4, "patience": 9, "log_every": 1}
    scores = [0.5, 0.4, 0.3, 0.9]
    _, _, plain = fit(dev_score=Scores(*scores), **options)
    _, _, log = fit(name="straight", plateau=0.5, dev_score=Scores(*scores), **options)
    rates, reduced = (
        [row["learning_rate"] for row in rows if "learning_rate" in row] for rows in (plain, log)
    )
    shares = [found / rate for rate, found in zip(rates, reduced, strict=True)]
    assert shares == pytest.approx([1, 1, 1, 1, 0.5, 0.5, 0.25, 0.25])
    with pytest.raises(Killed):
        fit(name="two", every=5, plateau=0.5, dev_score=killed_after(2, scores), **options)
    _, _, resumed = fit(name="two", every=5, plateau=0.5, dev_score=Scores(*scores[2:]), **options)
    assert resumed == log


def test_a_run_with_more_evaluations_than_steps_evaluates_once_a_step(fit):
    scores = Scores(0.1, 0.2, 0.3)
    _, trained, _ = fit(steps=3, evaluations=9, dev_score=scores)
    assert (trained.best_step, len(scores.seen)) == (3, 3)


def test_the_logged_rate_is_the_peak_times_the_factor_of_the_progress(fit):
    _, _, log = fit(steps=11, warmup=0.5, layer_decay=1.0)
    rates = {row["step"]: row["learning_rate"] for row in log if "learning_rate" in row}
    # (step + 1) / 12 of the run: 1/6 of the warm-up, then 11/12 and 1/12 of it left.
    assert rates == pytest.approx({0: 1e-3 / 6, 10: 1e-3 / 6})


def test_the_gradient_is_clipped_to_the_norm(fit):
    """Clipped far below Adam's epsilon no weight moves; without clipping each moves by the rate."""
    start, _, _ = fit(steps=1, clip=1.0, learning_rate=1e-30, weight_decay=0.0)
    clipped, _, _ = fit(steps=1, clip=1e-14, weight_decay=0.0)
    free, _, _ = fit(steps=1, clip=1.0, weight_decay=0.0)
    assert_equal_weights(clipped, start, atol=1e-8, rtol=0.0)
    moved = (free.heads["mood"].label.weight - start.heads["mood"].label.weight).abs().max()
    assert moved > 1e-5


@pytest.mark.parametrize("clip", [1.0, 0.05])
def test_no_step_has_a_gradient_longer_than_the_norm(fit, monkeypatch, clip):
    norms = []

    class Watched(torch.optim.SGD):
        def step(self, closure=None):
            parameters = (p for group in self.param_groups for p in group["params"])
            norms.append(torch.cat([p.grad.flatten() for p in parameters]).norm().item())
            super().step(closure)

    def watched(model, *, learning_rate, **_):
        optimizer = Watched(model.parameters(), lr=learning_rate)
        optimizer.param_groups[0]["peak"] = learning_rate
        return optimizer

    monkeypatch.setattr("kd.training.new_optimizer", watched)
    fit(steps=4, clip=clip)
    assert len(norms) == 4
    assert max(norms) <= clip * (1 + 1e-5)
    assert max(norms) > 0.04


@pytest.fixture(autouse=True)
def usual_handlers():
    """The signals as a program in the foreground finds them; in the background one is ignored."""
    usual = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}
    before = {number: signal.signal(number, handler) for number, handler in usual.items()}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def stop_after(step):
    """A dev score that tells this process to stop at the evaluation after `step` steps."""
    calls = count(1)

    def score(model):
        if next(calls) == step:
            os.kill(os.getpid(), signal.SIGTERM)
        return 0.5

    return score


@pytest.mark.parametrize("stop", [1, 4, 7])
def test_a_training_stopped_by_a_signal_goes_on_to_the_same_weights_and_log(fit, taught, stop):
    options = {"rows": taught, "steps": 8, "evaluations": 8, "dropout": 0.2, "patience": 100}
    straight, whole, log = fit(name="straight", dev_score=lambda model: 0.5, **options)
    with pytest.raises(Stopped, match=rf"stopped by SIGTERM after step {stop}") as stopped:
        fit(name="stopped", dev_score=stop_after(stop), **options)
    assert stopped.value.exit_status == 143
    resumed, rest, log_of_both = fit(name="stopped", dev_score=lambda model: 0.5, **options)
    assert_equal_weights(resumed, straight, **EXACT)
    assert (rest.best_score, rest.best_step, rest.steps) == (
        whole.best_score,
        whole.best_step,
        whole.steps,
    )
    assert log_of_both == log


class Killed(BaseException):
    """Stands for a SIGKILL: nothing of ours runs after it."""


def killed_after(evaluations, scores):
    calls = count()

    def score(model):
        number = next(calls)
        if number == evaluations:
            raise Killed
        return scores[number]

    return score


def test_a_killed_training_goes_on_from_its_last_checkpoint_bit_for_bit(fit, taught):
    """The best weights, the patience and the moments of Adam must come back too."""
    options = {"rows": taught, "steps": 12, "evaluations": 6, "dropout": 0.2, "patience": 3}
    scores = [0.2, 0.9, 0.3, 0.4, 0.5, 0.6]  # ends at the fifth: three without a better one
    straight, whole, log = fit(name="straight", dev_score=Scores(*scores), **options)
    assert (whole.best_step, whole.steps) == (4, 10)
    with pytest.raises(Killed):
        fit(name="killed", every=7, dev_score=killed_after(3, scores), **options)
    resumed, rest, log_of_both = fit(
        name="killed", every=7, dev_score=Scores(*scores[3:]), **options
    )
    assert_equal_weights(resumed, straight, **EXACT)
    assert (rest.best_score, rest.best_step, rest.steps) == (0.9, 4, 10)
    assert log_of_both == log


def test_a_checkpoint_of_another_key_is_not_resumed(fit, taught, tmp_path):
    options = {"rows": taught, "steps": 6, "evaluations": 6}
    with pytest.raises(Stopped):
        fit(name="one", key="old", dev_score=stop_after(3), **options)
    fresh, _, _ = fit(name="two", **options)
    other, _, log = fit(name="one", key="new", **options)
    assert_equal_weights(other, fresh, **EXACT)
    assert log[0]["step"] == 0
    assert not (tmp_path / "one-checkpoints").exists()


def test_only_the_last_checkpoints_are_kept(fit, tmp_path):
    fit(name="run", steps=7, every=2, keep=2)
    places = sorted(path.name for path in (tmp_path / "run-checkpoints").iterdir())
    assert places == ["step-00000004", "step-00000006"]


def test_a_half_written_checkpoint_is_not_resumed(fit, taught, tmp_path, monkeypatch):
    options = {"rows": taught, "steps": 6, "evaluations": 6, "dropout": 0.2}
    straight, _, _ = fit(name="straight", **options)

    def killed(*_):
        raise Killed

    monkeypatch.setattr("kd.checkpoints.sync", killed)
    with pytest.raises(Killed):
        fit(name="killed", every=4, **options)
    monkeypatch.undo()
    assert [path.name for path in (tmp_path / "killed-checkpoints").iterdir()] == [
        ".step-00000004.part"
    ]
    resumed, _, _ = fit(name="killed", every=4, **options)
    assert_equal_weights(resumed, straight, **EXACT)


def test_the_signals_are_as_before_after_a_training(fit):
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    fit(steps=2)
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)] == before


def test_a_second_signal_acts_as_ever(fit):
    def twice(model):
        os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
        return 0.5

    with pytest.raises(Stopped, match="SIGINT") as stopped:
        fit(steps=4, evaluations=4, dev_score=twice)
    assert stopped.value.exit_status == 130


def test_what_a_dev_score_draws_changes_no_step(fit, taught):
    """A step's random numbers follow from its own number, not from what was drawn before."""
    options = {"rows": taught, "steps": 4, "evaluations": 2, "dropout": 0.2}
    calm, _, _ = fit(dev_score=Scores(0.1, 0.2), **options)
    scores = Scores(0.1, 0.2)
    drawing, _, _ = fit(dev_score=lambda model: scores(model) + 0 * torch.rand(1).item(), **options)
    assert_equal_weights(drawing, calm, **EXACT)


@pytest.mark.parametrize("accumulation", [1, 4])
def test_a_training_whose_gradients_are_compared_is_the_same_bit_for_bit(fit, taught, accumulation):
    options = {"rows": taught, "steps": 5, "dropout": 0.2, "accumulation": accumulation}
    left_alone, _, log = fit(**options)
    compared, _, log_with_rows = fit(gradients=5, **options)
    assert_equal_weights(compared, left_alone, **EXACT)
    found = [row for row in log_with_rows if "gradient_cosine/mood/reply" in row]
    assert [row["step"] for row in found] == [0, 1, 2, 3, 4]
    assert [row for row in log_with_rows if row not in found] == log


def test_a_resumed_training_compares_the_gradients_that_a_straight_one_does(fit, taught):
    options = {"rows": taught, "steps": 8, "evaluations": 8, "dropout": 0.2, "gradients": 3}
    straight, _, log = fit(name="straight", dev_score=lambda model: 0.5, **options)
    with pytest.raises(Stopped):
        fit(name="stopped", dev_score=stop_after(3), **options)
    resumed, _, log_of_both = fit(name="stopped", dev_score=lambda model: 0.5, **options)
    assert_equal_weights(resumed, straight, **EXACT)
    assert log_of_both == log
    assert [row["step"] for row in log if "gradient_norm/mood" in row] == [0, 3, 7]


def test_random_numbers_follow_from_the_seed_the_step_and_the_process():
    draws = set()
    for seed, step, process in [(0, 0, 0), (0, 0, 1), (0, 1, 0), (1, 0, 0), (0, 0, 0)]:
        seed_step(seed, step, process)
        draws.add(torch.rand(3).sum().item())
    assert len(draws) == 4


def test_a_signal_at_the_step_that_ends_a_training_is_not_forgotten(fit):
    """The next training would start, and be killed without a checkpoint."""
    options = {"steps": 10, "evaluations": 10, "patience": 1}
    with pytest.raises(Stopped, match="after step 2"):
        fit(name="run", dev_score=stop_after(2), **options)
    _, trained, log = fit(name="run", dev_score=stop_after(9), **options)
    assert (trained.best_step, trained.steps) == (1, 2)
    assert log[-1] == {"step": 1, "dev_score": 0.5}


def test_a_signal_that_is_ignored_stays_ignored(fit):
    """The terminal's Ctrl-C would else stop a job that was sent to the background."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def interrupted(model):
        os.kill(os.getpid(), signal.SIGINT)
        return 0.5

    _, trained, _ = fit(steps=4, evaluations=2, dev_score=interrupted)
    assert trained.steps == 4
