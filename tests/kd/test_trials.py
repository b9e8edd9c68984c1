"""Tests of kd.trials: what is drawn, what is pruned, and what another start finds again."""

import json
from contextlib import closing

import pytest

pytest.importorskip("optuna", reason="the extra tune is not installed")

from data.errors import InputError
from kd.config import Search
from kd.trials import Pruned, Trials

SPACE = {
    "rate": Search(low=1e-5, high=1e-3, log=True),
    "epochs": Search(low=2, high=6),
    "head": Search(choices=("linear", None, True, 3)),
}


def opened(folder, rows="rows", seed=0):
    return closing(Trials(folder, rows, SPACE, seed))


def evaluate(trials, folder, *scores):
    """Tell the dev scores of a training, each with the log as the loop has it then."""
    log = folder / "log.jsonl"
    log.write_text("")
    for score in scores:
        trials.watch(log, score)
        with log.open("a") as file:
            file.write(json.dumps({"step": 1, "dev_score": score}) + "\n")


def test_what_is_drawn_lies_in_the_space(tmp_path):
    with opened(tmp_path) as trials:
        for number in range(12):
            found, drawn = trials.ask(12)
            assert found == number
            assert 1e-5 <= drawn["rate"] <= 1e-3
            assert drawn["epochs"] in range(2, 7)
            assert drawn["head"] in SPACE["head"].choices
            trials.tell("done", drawn["rate"], "")
        assert trials.ask(12) is None
        assert [trial.score for trial in trials.ended()] == [
            trial.settings["rate"] for trial in trials.ended()
        ]


def test_a_search_that_goes_on_draws_what_it_would_have(tmp_path):
    """A sampler begun anew with one seed would repeat its first draws."""
    found = {}
    for name, starts in (("straight", (6,)), ("in parts", (2, 4, 6))):
        folder = tmp_path / name
        folder.mkdir()
        for total in starts:
            with opened(folder) as trials:
                while (asked := trials.ask(total)) is not None:
                    trials.tell("done", asked[1]["rate"], "")
        with opened(folder) as trials:
            found[name] = trials.ended()
    assert found["straight"] == found["in parts"]
    assert len({trial.settings["rate"] for trial in found["straight"]}) == 6


def test_a_trial_that_was_not_ended_is_the_next_one(tmp_path):
    with opened(tmp_path) as trials:
        asked = trials.ask(2)
        evaluate(trials, tmp_path, 0.25)
    with opened(tmp_path) as trials:
        assert trials.ask(2) == asked
        evaluate(trials, tmp_path, 0.25, 0.5)  # the first one is told again, after a checkpoint
        trials.tell("done", 0.5, "")
        assert trials.ask(2)[0] == 1


def test_a_trial_behind_the_median_at_its_evaluation_is_pruned_once_five_are_done(tmp_path):
    with opened(tmp_path) as trials:
        for scores in ((0.1, 0.9), (0.2, 0.9), (0.3, 0.9), (0.4, 0.9), (0.5, 0.9)):
            trials.ask(9)
            evaluate(trials, tmp_path, *scores)  # the lowest of all is not pruned yet
            trials.tell("done", max(scores), "")
        trials.ask(9)
        evaluate(trials, tmp_path, 0.31)  # the median of the first evaluations is 0.3
        with pytest.raises(Pruned):
            evaluate(trials, tmp_path, 0.31, 0.8)  # that of the second is 0.9
        trials.tell("pruned", None, "")
        trials.ask(9)
        with pytest.raises(Pruned):
            evaluate(trials, tmp_path, 0.29)
        trials.tell("pruned", None, "")
        last = trials.ended()[-2:]
    assert [(trial.state, trial.score) for trial in last] == [("pruned", 0.8), ("pruned", 0.29)]


def test_a_failed_trial_counts_and_says_why(tmp_path):
    with opened(tmp_path) as trials:
        trials.ask(1)
        trials.tell("failed", None, "the loss is not finite")
        assert trials.ask(1) is None
        (failed,) = trials.ended()
    assert (failed.state, failed.reason) == ("failed", "the loss is not finite")


def test_trials_of_other_rows_are_not_gone_on_with(tmp_path):
    with opened(tmp_path):
        pass
    with opened(tmp_path):
        pass
    with pytest.raises(InputError, match="its trials learnt from other rows"):
        opened(tmp_path, rows="others")
