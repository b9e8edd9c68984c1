"""The study: students that differ in one thing each, on the same rows and from the same teachers.

runs/NAME/study/ARM/seed-13/ is a run's folder without what it shares with runs/NAME; below
study/single/seed-13/ there is one such folder a task.
"""

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from data.errors import InputError
from kd.atomic import new_folder
from kd.config import Config
from kd.config_file import load_config
from kd.hardware import by_main_process
from kd.run_folder import RunFolder
from kd.stages.distill import distill_stage, student_key, student_tokenizer
from kd.stages.evaluate import SPLITS, evaluate_key, evaluate_stage
from kd.stages.prepare import prepare
from kd.study_arms import SINGLE, arm_config, arms_of, with_one_task
from kd.tokens import encoded_rows


@dataclass(frozen=True)
class StudyScore:
    """What a student of the study came to on one task and split.

    scores: as metrics.json has them. folder: the student's own, with its logs and predictions.
    """

    arm: str
    seed: int
    task: str
    split: str
    scores: dict[str, Any]
    folder: RunFolder

    @property
    def predictions(self) -> Path:
        """The CSV of its answers: a row for each row of the split with gold of the task."""
        return self.folder.predictions / f"student-{self.task}-{self.split}.csv"

    @property
    def label_score(self) -> float | None:
        """Macro-F1, or Pearson's r of a regression; None where it is undefined."""
        value: float | None = self.scores["macro_f1" if "macro_f1" in self.scores else "pearson"]
        return value

    @property
    def rationale_score(self) -> float | None:
        """Token-F1 on rows of a level above 0; None without such rows, and without rationales."""
        if "rationale" not in self.scores:
            return None
        value: float | None = self.scores["rationale"]["level>0"]["model"]["token_f1"]
        return value


def trainings(
    config: Config, run: RunFolder, arm: str, seed: int
) -> list[tuple[Config, RunFolder]]:
    """The config and folder of each training of an arm and seed: one, or of `single` one a task."""
    changed = arm_config(config, arm)
    training = changed.training.model_copy(update={"seed": seed})
    changed = changed.model_copy(update={"training": training})
    place = run.path / "study" / arm / f"seed-{seed}"
    if arm != SINGLE:
        return [(changed, RunFolder(place, shared=run.path))]
    return [
        (with_one_task(changed, task), RunFolder(place / task, shared=run.path))
        for task in config.tasks
    ]


def run_study(
    config: Config,
    run: RunFolder,
    arms: Sequence[str],
    seeds: int,
    *,
    overwrite: bool,
    say: Callable[[str, object], None],
) -> None:
    """Train and score the students of some arms for several seeds; finished ones are skipped.

    `say` is told each stage, then each arm and seed, and whether anything ran in it.
    Raises InputError, before anything runs, when a student's folder was made with other settings
    and `overwrite` is not given.
    """
    first = config.student_seed
    # All arms of a seed before the next one: a study that is stopped early can be compared.
    planned = {
        (arm, seed): trainings(config, run, arm, seed)
        for seed in range(first, first + seeds)
        for arm in arms
    }
    everything = [one for students in planned.values() for one in students]

    def claim() -> None:
        for changed, folder in everything if not overwrite else ():
            folder.check(changed)  # all of them before the first is claimed
        for changed, folder in everything:
            folder.open(changed, overwrite=overwrite)

    by_main_process(claim)
    prepare(config, run, say, [changed for changed, _ in everything])
    table, profile = run.load_splits()
    # A student of some tasks would write the tokens without the other tasks' rationales.
    for arm in arms:
        tokenizer = student_tokenizer(arm_config(config, arm), run)
        encoded_rows(config, run, table, profile["hash"], tokenizer, config.specs)
    for (arm, seed), students in planned.items():
        ran = [
            _finish(changed, folder, run, profile["hash"], sharma2020=needs_2020(config))
            for changed, folder in students
        ]
        say(f"{'study':<9} {arm} seed {seed} ", any(ran))


def needs_2020(config: Config) -> bool:
    """Whether an arm stands beside a published rationale score: students are scored by its rules,
    too."""
    arms = config.study.arms.values()
    return any(
        one.token_f1 is not None
        for arm in arms
        for task in config.tasks
        for one in arm.published_of(task)
    )


def _finish(
    config: Config, folder: RunFolder, run: RunFolder, table_hash: str, *, sharma2020: bool
) -> bool:
    """Train and score one student; True when anything was done for it."""
    key = student_key(config, folder, table_hash)
    weights = "model.safetensors"
    has_trained = False
    if run.has_finished("distill", key) and (run.student / weights).is_file():
        copy = partial(by_main_process, partial(_copy_student, run, folder))
        has_trained = folder.once("distill", key, copy, result=folder.student / weights)
    has_trained |= distill_stage(config, folder)
    return evaluate_stage(config, folder, sharma2020=sharma2020) or has_trained


def _copy_student(run: RunFolder, folder: RunFolder) -> None:
    """The run's own student, which is the very same training, with its log."""
    with new_folder(folder.logs) as logs:
        for path in run.logs.glob("distill*"):
            if path.is_dir():
                shutil.copytree(path, logs / path.name)
            else:
                shutil.copy2(path, logs / path.name)
    with new_folder(folder.student) as student:
        shutil.copytree(run.student, student, dirs_exist_ok=True)


def study_scores(run: RunFolder) -> list[StudyScore]:
    """Every finished student's scores, of this run's present config and rows, on dev and test.

    A seed of an arm counts when all its trainings are finished; what was made with other settings
    is left out. Raises InputError when the run has no config or no splits.
    """
    config, (_, profile) = load_config(run.config), run.load_splits()
    found = []
    for arm in arms_of(config):
        for seed in _seeds_of(run.path / "study" / arm):
            students = trainings(config, run, arm, seed)
            if all(
                _is_finished(changed, folder, profile["hash"], sharma2020=needs_2020(config))
                for changed, folder in students
            ):
                found += [
                    score for _, folder in students for score in _scores_of(arm, seed, folder)
                ]
    return found


def _is_finished(config: Config, folder: RunFolder, table_hash: str, *, sharma2020: bool) -> bool:
    """Whether a student and its scores are of these settings, rows, encoder and soft targets."""
    try:
        trained = student_key(config, folder, table_hash)
    except InputError:  # what it learns from is not there
        return False
    scored = evaluate_key(config, folder, table_hash, sharma2020=sharma2020)
    return (
        folder.metrics.is_file()
        and folder.has_finished("distill", trained)
        and folder.has_finished("evaluate", scored)
    )


def _seeds_of(place: Path) -> list[int]:
    numbers = [folder.name.removeprefix("seed-") for folder in place.glob("seed-*")]
    return sorted(int(number) for number in numbers if number.isdecimal())


def _scores_of(arm: str, seed: int, folder: RunFolder) -> list[StudyScore]:
    tasks = json.loads(folder.metrics.read_text(encoding="utf-8"))["tasks"]
    return [
        StudyScore(arm, seed, task, split, tasks[task][split]["student"], folder)
        for task in tasks
        for split in SPLITS
    ]
