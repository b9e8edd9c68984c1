"""Stage data: the files of every task as leak-free splits on disk, and their profile."""

import csv
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from datasets import DatasetDict
from tqdm.auto import tqdm

from data.encoding import CHUNK
from data.errors import InputError
from data.rationales import masked
from data.rows import TaskRecords
from data.sources import SPLITS
from data.tables import build_table, gold_of, table_hash
from kd.atomic import new_file
from kd.config import Config
from kd.hardware import by_main_process
from kd.run_folder import RunFolder, content_key, settings_key
from student.encoders import load_tokenizer
from teachers.outside import TABLE_COLUMNS


def read_tables(config: Config) -> tuple[Any, dict[str, Any]]:
    """The splits of a config's data and their profile, nothing written.

    Raises InputError naming the place of the first wrong cell.
    """
    root = config.data.root_path
    tasks = [
        TaskRecords(
            spec=task.spec(name),
            records=tqdm(
                (item for source in task.sources for item in source.records(root)),
                desc=f"read {name}",
                unit=" rows",
                disable=None,
                leave=False,
                delay=2,
            ),
            no_rationale=task.no_rationale,
            limit=task.limit,
        )
        for name, task in config.tasks.items()
    ]
    splits, profiles, overlaps = build_table(
        tasks,
        fractions=config.data.splits.fractions(),
        seed=config.seed,
        normalize=config.data.normalize,
    )
    for spec in config.specs:
        for split in splits:
            if not sum(profiles[spec.name].rows[split].values()):
                raise InputError(
                    f"tasks.{spec.name}: no row lands in {split}: give more rows, "
                    f"a larger data.splits.{split}, or a file for it"
                )
    profile = {
        "hash": table_hash(splits, normalize=config.data.normalize),
        "rows": {split: len(rows) for split, rows in splits.items()},
        "overlaps": overlaps,
        "tasks": {name: asdict(found) for name, found in profiles.items()},
        "truncated": _truncated(config, splits),
    }
    return splits, profile


def _truncated(config: Config, splits: Any) -> dict[str, float]:
    """The share of texts, and of contexts, that the student's tokenizer cuts."""
    tokenizer = load_tokenizer(config.data.encoder(config.student.encoder))
    limit = config.data.max_tokens
    shares = {}
    for column in ("text", "context"):
        cut = total = 0
        for split in splits.values():
            rows = split.select_columns([column]).iter(batch_size=CHUNK)
            for chunk in tqdm(rows, desc=f"measure {column}", disable=None, leave=False, delay=2):
                texts = [text for text in chunk[column] if text]
                found = tokenizer(texts, verbose=False)["input_ids"] if texts else []
                cut += sum(len(ids) > limit for ids in found)
                total += len(texts)
        if total:
            shares[column] = cut / total
    return shares


def data_key(config: Config) -> str:
    """What the splits depend on: the settings and the bytes of every file.

    Raises InputError when a file is missing.
    """
    root = config.data.root_path
    paths = [p for task in config.tasks.values() for s in task.sources for _, p in s.paths(root)]
    for path in paths:
        if not path.is_file():
            raise InputError(
                f"{path}: no such file: check the path, and data.root for a task's files"
            )
    tasks = {
        name: settings_key(task, without={"weight", "temperature", "class_weights"})
        for name, task in config.tasks.items()
    }
    settings = settings_key(config.data, without={"root"})
    return content_key(tasks, settings, config.student.encoder, config.seed, files=paths)


def data_stage(config: Config, run: RunFolder) -> bool:
    """Write the splits unless they are there already; True when it ran."""

    def write() -> None:
        by_main_process(lambda: run.save_splits(*read_tables(config)))

    return run.once("data", data_key(config), write, result=run.splits / "profile.json")


def write_rows(
    table: DatasetDict, tasks: Sequence[str], target: Path, *, with_masked: bool = False
) -> None:
    """Write every row as a CSV for models that run elsewhere: id, split, tasks, text, context.

    tasks: those that the row has gold of, divided by `|`. with_masked: for each task with
    rationales also `masked_TASK`, the text without its rationale (as in the processed files of
    Sharma et al. 2020), empty where that is unknown. Raises InputError when the file can't be
    written.
    """
    found = table["train"].features
    quoting = [task for task in tasks if with_masked and f"rationale/{task}" in found]
    try:
        with new_file(target) as path, path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow([*TABLE_COLUMNS, *(f"masked_{task}" for task in quoting)])
            for split in SPLITS:
                rows = table[split]
                known = np.stack(
                    [np.isfinite(gold_of(rows, task)).all(axis=1) for task in tasks], axis=1
                )
                columns = ["id", "text", "context", *(f"rationale/{task}" for task in quoting)]
                for number, row in enumerate(rows.select_columns(columns)):
                    named = "|".join(np.array(tasks)[known[number]])
                    cells = [row["id"], split, named, row["text"], row["context"]]
                    cells += [_masked(row["text"], row[f"rationale/{task}"]) for task in quoting]
                    writer.writerow(cells)
    except OSError as error:
        raise InputError(f"{target}: can't be written to: {error.strerror}") from None


def _masked(text: str, spans: Sequence[Sequence[int]] | None) -> str:
    """A text without its rationale; spans: as in the table, None where it is unknown."""
    return "" if spans is None else masked(text, [(start, end) for start, end in spans])
