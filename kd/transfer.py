"""Transfer: a task learnt on a source, scored on a target, from encoders adapted or not.

The table of unsupervised domain adaptation (Hosseini and Caragea 2021, section 6): source-only,
pretrain-NAME for each adapted encoder, target-only. runs/NAME/transfer/ROW/seed-13/ is a run's
folder without its rows.
"""

import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path

from datasets import Dataset

from data.errors import InputError
from data.tables import gold_of
from kd.config import Config
from kd.config_file import differences
from kd.hardware import by_main_process
from kd.run_folder import RunFolder
from kd.stages.distill import distill_stage
from kd.stages.evaluate import evaluate_stage
from kd.stages.prepare import prepare
from kd.study import StudyScore
from student.encoders import check_length, load_tokenizer

SOURCE, TARGET, ADAPTED = "source-only", "target-only", "pretrain-"


def transfer_configs(
    source: Config, target: Config | None, adapted: Mapping[str, str]
) -> dict[str, Config]:
    """Row → the config of its students; adapted: name → folder of an encoder.

    Of the target only the rows are taken: its files, their splits and its tasks' limits. So the
    rows of the table differ in one thing each. Raises InputError when an encoder can't be read or
    would not be used, and when the target's tasks are others.
    """
    if source.student.start is not None:
        raise InputError(
            f"student.start: {source.student.start!r}: students of kd transfer start from "
            f"student.encoder: leave it out"
        )
    found = {SOURCE: source}
    for name, encoder in adapted.items():
        check_length(encoder, source.data.max_tokens)
        load_tokenizer(encoder)
        student = source.student.model_copy(update={"encoder": encoder})
        found[f"{ADAPTED}{name}"] = source.model_copy(update={"student": student})
    if target is not None:
        if list(target.tasks) != list(source.tasks):
            raise InputError(
                f"--target: its tasks are {', '.join(target.tasks)}, those of the source "
                f"{', '.join(source.tasks)}: name the same ones in the same order"
            )
        if target.name == source.name:
            raise InputError(f"--target: has the source's name {source.name!r}: give it another")
        for spec, other in zip(source.specs, target.specs, strict=True):
            if spec != other:
                changed = differences(asdict(spec), asdict(other), f"tasks.{spec.name}")
                raise InputError(
                    f"--target: its task {spec.name!r} is another one: {'; '.join(changed)}: "
                    f"give both the same classes and inputs (labels: renames those of a source)"
                )
        data = source.data.model_copy(
            update={"root": target.data.root, "splits": target.data.splits}
        )
        tasks = {
            name: task.model_copy(update={"sources": other.sources, "limit": other.limit})
            for (name, task), other in zip(source.tasks.items(), target.tasks.values(), strict=True)
        }
        found[TARGET] = source.model_copy(
            update={"name": target.name, "data": data, "tasks": tasks}
        )
    return found


def run_transfer(
    configs: Mapping[str, Config],
    runs: Path,
    seeds: int,
    *,
    overwrite: bool,
    say: Callable[[str, object], None],
) -> list[StudyScore]:
    """Train and score the students of each row for several seeds; finished ones are skipped.

    Their scores on test, all on the same rows. Raises InputError where the source and the target
    have other test rows, and when a folder was made with other settings unless `overwrite`.
    """
    place = runs / configs[SOURCE].name
    shared = {row: RunFolder(runs / config.name) for row, config in configs.items()}
    first = configs[SOURCE].student_seed
    planned = [
        (row, seed, _with_seed(config, seed), _folder(place, row, seed, shared[row]))
        for seed in range(first, first + seeds)
        for row, config in configs.items()
    ]

    def claim() -> None:
        for one in (SOURCE, TARGET) if TARGET in configs else (SOURCE,):
            shared[one].open(configs[one], overwrite=overwrite)
        for _, _, config, folder in planned:
            folder.open(config, overwrite=overwrite)

    by_main_process(claim)
    for one in (SOURCE, TARGET) if TARGET in configs else (SOURCE,):
        students = [each for each in configs.values() if each.name == configs[one].name]
        prepare(configs[one], shared[one], say, students)
    if TARGET in configs:
        tests = [shared[one].load_splits()[0]["test"] for one in (SOURCE, TARGET)]
        by_main_process(partial(_check_test_rows, configs[SOURCE].tasks, *tests))
    scores = []
    for row, seed, config, folder in planned:
        ran = distill_stage(config, folder)
        ran |= evaluate_stage(config, folder)
        say(f"{row} seed {seed} ", ran)
        tasks = json.loads(folder.metrics.read_text(encoding="utf-8"))["tasks"]
        scores += [
            StudyScore(row, seed, task, "test", found["test"]["student"], folder)
            for task, found in tasks.items()
        ]
    return scores


def _with_seed(config: Config, seed: int) -> Config:
    training = config.training.model_copy(update={"seed": seed})
    return config.model_copy(update={"training": training})


def _folder(place: Path, row: str, seed: int, shared: RunFolder) -> RunFolder:
    return RunFolder(place / "transfer" / row / f"seed-{seed}", shared=shared.path)


def _check_test_rows(tasks: Collection[str], source: Dataset, target: Dataset) -> None:
    """Raise InputError unless both hold the same texts with the same gold."""
    first, second = (
        {
            (text, context, *(targets.tobytes() for targets in gold))
            for text, context, *gold in zip(
                table["text"],
                table["context"],
                *(gold_of(table, task) for task in tasks),
                strict=True,
            )
        }
        for table in (source, target)
    )
    if first != second:
        raise InputError(
            f"--target: {len(first & second):,} of its {len(second):,} test rows are among the "
            f"{len(first):,} of the source: give both configs the target's test file"
        )
