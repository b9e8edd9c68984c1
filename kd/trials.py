"""Trials: which settings are tried next, and which trial is not worth its end; kept by Optuna."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import optuna
from accelerate.utils import broadcast_object_list
from optuna.trial import FrozenTrial, TrialState

from data.errors import InputError
from kd.config import Search
from kd.hardware import by_main_process, processes
from kd.search_space import Value

STATES = {
    "done": TrialState.COMPLETE,
    "pruned": TrialState.PRUNED,
    "failed": TrialState.FAIL,
}
Answer = TypeVar("Answer")


class Pruned(Exception):
    """A trial's dev scores are behind those of the others: its training is not worth its end."""


@dataclass(frozen=True)
class Trial:
    """An ended trial: its settings, its best dev score, how it ended (`STATES`), and why."""

    number: int
    state: str
    score: float
    settings: Mapping[str, Value] = field(default_factory=dict)
    reason: str = ""


class Trials:
    """The trials of a search, in FOLDER/study.db of the main process; all processes call.

    Settings are drawn by the TPE sampler (Bergstra et al. 2011), seeded by the trial's number, so
    a search that was stopped goes on as it would have. A trial is pruned when its best dev score
    is below the median of the whole ones' at the same evaluation, once five came to their end.

    Raises InputError where the trials there are of other rows.
    """

    def __init__(self, folder: Path, rows: str, space: Mapping[str, Search], seed: int) -> None:
        self._folder, self._space, self._seed = folder, space, seed
        by_main_process(lambda: self._open(rows))

    def _open(self, rows: str) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._storage = optuna.storages.RDBStorage(f"sqlite:///{self._folder / 'study.db'}")
        self._study = optuna.create_study(
            storage=self._storage,
            study_name="study",
            direction="maximize",
            pruner=optuna.pruners.MedianPruner(n_startup_trials=5),
            load_if_exists=True,
        )
        if self._study.user_attrs.setdefault("rows", rows) != rows:
            self.close()
            raise InputError(
                f"{self._folder}: its trials learnt from other rows: delete it, or give "
                f"--study-name for a new one"
            )
        self._study.set_user_attr("rows", rows)

    def close(self) -> None:
        """Let go of the file."""
        if processes().is_main_process:
            self._storage.remove_session()
            self._storage.engine.dispose()

    def ask(self, total: int) -> tuple[int, dict[str, Value]] | None:
        """A trial's number and settings: of the one that was not ended, or of a new one.

        None once `total` have ended.
        """
        return _of_main_process(lambda: self._ask(total))

    def _ask(self, total: int) -> tuple[int, dict[str, Value]] | None:
        running = self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        if not running and len(self._ended()) >= total:
            return None
        number = running[0].number if running else len(self._study.get_trials(deepcopy=False))
        self._study.sampler = optuna.samplers.TPESampler(seed=(self._seed + number) % 2**32)
        self._trial = (
            optuna.trial.Trial(self._study, running[0]._trial_id) if running else self._study.ask()
        )
        return number, {path: _suggested(self._trial, path, s) for path, s in self._space.items()}

    def watch(self, log: Path, score: float) -> None:
        """Take note of a dev score of the trial that was asked for; log: where earlier ones are.

        Raises Pruned when the training is to end.
        """
        if _of_main_process(lambda: self._is_behind(log, score)):
            raise Pruned

    def _is_behind(self, log: Path, score: float) -> bool:
        # The log knows which evaluation this is: one that went on after a kill repeats some.
        lines = log.read_text(encoding="utf-8").splitlines()
        evaluation = 1 + sum("dev_score" in json.loads(line) for line in lines)
        if evaluation not in self._now().intermediate_values:
            self._trial.report(score, evaluation)
        return self._trial.should_prune()

    def _now(self) -> FrozenTrial:
        return self._study.get_trials(deepcopy=False)[self._trial.number]

    def tell(self, state: str, score: float | None, reason: str) -> None:
        """End the trial that was asked for: one of `STATES`; the score of one that is done."""

        def told() -> None:
            self._trial.set_user_attr("reason", reason)
            self._study.tell(self._trial.number, score, STATES[state])

        by_main_process(told)

    def ended(self) -> list[Trial]:
        """The ended trials in their order; of a pruned one the best score that it came to."""
        return _of_main_process(lambda: [_trial(found) for found in self._ended()])

    def _ended(self) -> list[FrozenTrial]:
        return self._study.get_trials(deepcopy=False, states=tuple(STATES.values()))


def _suggested(trial: optuna.Trial, path: str, search: Search) -> Value:
    if search.choices:
        return trial.suggest_categorical(path, list(search.choices))
    low, high = search.low, search.high
    if isinstance(low, int) and isinstance(high, int):
        return trial.suggest_int(path, low, high, log=search.log)
    assert low is not None
    assert high is not None
    return trial.suggest_float(path, low, high, log=search.log)


def _trial(found: FrozenTrial) -> Trial:
    state = next(name for name, state in STATES.items() if state == found.state)
    scores = [found.value] if state == "done" else list(found.intermediate_values.values())
    score = max((s for s in scores if s is not None), default=float("nan"))
    return Trial(found.number, state, score, found.params, found.user_attrs.get("reason", ""))


def _of_main_process(action: Callable[[], Answer]) -> Answer:
    """What the main process found, in all of them."""
    found: Answer = broadcast_object_list([action() if processes().is_main_process else None])[0]
    return found
