"""Tables: the records of every task as one row a distinct text (pair), a column a task.

Letters: N = rows, R = readings of one task.
"""

import hashlib
from collections import Counter

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from datasets import Dataset, DatasetDict, DatasetInfo, Features, List, Value

from data.errors import InputError
from data.rows import Rows, TaskProfile, TaskRecords
from data.sources import SPLITS, Split
from data.splits import assign_splits, connected, shared_links
from data.tasks import TaskSpec

Numbers = npt.NDArray[np.int64]
# Rows that are Python objects at one time while the table is hashed.
CHUNK = 1_000


def build_table(
    tasks: list[TaskRecords],
    *,
    fractions: dict[Split, float],
    seed: int,
    normalize: bool = False,
) -> tuple[DatasetDict, dict[str, TaskProfile], dict[str, int]]:
    """The splits of one table, each task's profile, and the overlaps between the splits.

    Columns: `id`, `text`, `context` (empty where there is none), and for each task `gold/NAME`, a
    one-hot row or a scaled value with NaN for unknown, and `rationale/NAME`, a list of spans in
    the clean text or null for unknown.

    Records with the same key and clean text (and context) are one row. Where a task labels a row
    twice with different classes the more frequent one counts, on a tie the one read first.
    normalize: also put placeholders for addresses and user names (see data.normalization).
    Raises InputError naming the place of an empty text or a wrong label.
    """
    rows = Rows(normalize)
    profiles: dict[str, TaskProfile] = {}
    for task in tasks:
        profile = profiles[task.spec.name] = rows.read(task)
        if not profile.read:
            raise InputError(f"task {task.spec.name!r}: its files hold no rows: check the sources")
    rows.finish()
    chosen = {
        task.spec.name: _resolve(rows, task.spec.name, profiles[task.spec.name]) for task in tasks
    }
    named = assign_splits(
        groups=connected(rows.links),
        labels=_labels(rows, [task.spec for task in tasks], chosen),
        given=[None if number < 0 else SPLITS[number] for number in rows.given],
        fractions=fractions,
        seed=seed,
    )
    overlaps = {f"{a}/{b}": n for (a, b), n in shared_links(rows.links, named).items()}
    splits = np.array([SPLITS.index(split) for split in named], dtype=np.int8)
    given = np.asarray(rows.given)
    was_moved = (given >= 0) & (given != splits)
    labelled_before = np.any([found >= 0 for found in chosen.values()], axis=0)
    for task in tasks:
        name = task.spec.name
        profiles[name].moved += int((was_moved & (chosen[name] >= 0)).sum())
        profiles[name].left_out_by_limit = _limit(chosen[name], splits, task.limit, seed)
        profiles[name].rows = _count(rows, task.spec, chosen[name], splits)
    labelled_now = np.any([found >= 0 for found in chosen.values()], axis=0)
    # A row whose every label was beyond a limit is left out; one that never had any stays.
    kept = labelled_now | ~labelled_before
    table = _to_dataset(rows, [task.spec for task in tasks], chosen, splits, kept)
    return table, profiles, overlaps


def _resolve(rows: Rows, name: str, profile: TaskProfile) -> Numbers:
    """(N,) the reading of a task that counts for each row, -1 where there is none."""
    readings = rows.readings[name]
    of_row, targets = np.asarray(readings.rows), np.asarray(readings.targets)
    chosen = np.full(len(rows), -1, dtype=np.int64)
    found, first, counts = np.unique(of_row, return_index=True, return_counts=True)
    chosen[found] = first
    profile.duplicates = len(of_row) - len(found)
    repeated = np.flatnonzero(counts > 1)
    if not len(repeated):
        return chosen
    order = np.argsort(of_row, kind="stable")
    starts = np.cumsum(counts) - counts
    names = list(rows.ids)
    for place in repeated:
        row = int(found[place])
        its = order[starts[place] : starts[place] + counts[place]]
        said = Counter(targets[its].tolist())
        if len(said) > 1:
            profile.conflicts.append(rows.first_ids.get(row, names[row]))
        chosen[row] = its[targets[its] == said.most_common(1)[0][0]][0]
    return chosen


def _classes(rows: Rows, name: str, chosen: Numbers) -> Numbers:
    """(N,) the class index of each row, -1 where it is unknown."""
    targets = np.append(np.asarray(rows.readings[name].targets), -1.0)
    return targets[chosen].astype(np.int64)


def _labels(
    rows: Rows, specs: list[TaskSpec], chosen: dict[str, Numbers]
) -> list[tuple[tuple[str, int], ...]]:
    """(N,) the (task, class) pairs of each row; equal ones are one object."""
    classes = {
        spec.name: _classes(rows, spec.name, chosen[spec.name])
        for spec in specs
        if spec.kind == "classification"
    }
    kinds, first = np.zeros(len(rows), dtype=np.int64), np.zeros(1, dtype=np.int64)
    for found in classes.values():
        together = kinds * (found.max() + 2) + found + 1
        _, first, kinds = np.unique(together, return_index=True, return_inverse=True)
    labels = [
        tuple((name, int(found[row])) for name, found in classes.items() if found[row] >= 0)
        for row in first
    ]
    return [labels[kind] for kind in kinds]


def _limit(chosen: Numbers, splits: npt.NDArray[np.int8], limit: int | None, seed: int) -> int:
    """Forget a task's gold on train rows beyond its limit, drawn at random; how many."""
    rows = np.flatnonzero((chosen >= 0) & (splits == SPLITS.index("train")))
    if limit is None or len(rows) <= limit:
        return 0
    kept = np.random.default_rng(seed).permutation(len(rows))[:limit]
    chosen[np.delete(rows, kept)] = -1
    return len(rows) - limit


def _count(
    rows: Rows, spec: TaskSpec, chosen: Numbers, splits: npt.NDArray[np.int8]
) -> dict[str, dict[str, int]]:
    """split → class → rows."""
    is_class = spec.kind == "classification"
    names = spec.classes if is_class else ("rows",)
    classes = _classes(rows, spec.name, chosen) if is_class else np.where(chosen >= 0, 0, -1)
    return {
        split: {
            name: int(((classes == index) & (splits == number)).sum())
            for index, name in enumerate(names)
        }
        for number, split in enumerate(SPLITS)
    }


def _to_dataset(
    rows: Rows,
    specs: list[TaskSpec],
    chosen: dict[str, Numbers],
    splits: npt.NDArray[np.int8],
    kept: npt.NDArray[np.bool_],
) -> DatasetDict:
    features = {"id": Value("string"), "text": Value("string"), "context": Value("string")}
    for spec in specs:
        features[f"gold/{spec.name}"] = List(Value("float32"), length=spec.width)
        if spec.has_rationale:
            features[f"rationale/{spec.name}"] = List(List(Value("int32"), length=2))
    info = DatasetInfo(features=Features(features))
    strings = {
        "id": pa.chunked_array([pa.array(rows.ids, pa.string())]),
        "text": rows.texts.column(),
        "context": rows.contexts.column(),
    }
    table = {}
    for number, split in enumerate(SPLITS):
        its = np.flatnonzero(kept & (splits == number))
        columns = {name: column.take(pa.array(its)) for name, column in strings.items()}
        for spec in specs:
            its_readings = chosen[spec.name][its]
            columns[f"gold/{spec.name}"] = _gold(rows, spec, its_readings)
            if spec.has_rationale:
                places = pa.array(its_readings, mask=its_readings < 0)
                rationales = rows.readings[spec.name].rationales()
                columns[f"rationale/{spec.name}"] = rationales.take(places)
        table[split] = Dataset(pa.table(columns, schema=info.features.arrow_schema), info=info)
    return DatasetDict(table)


def _gold(rows: Rows, spec: TaskSpec, chosen: Numbers) -> pa.FixedSizeListArray:
    values = np.full((len(chosen), spec.width), np.nan, dtype=np.float32)
    known = np.flatnonzero(chosen >= 0)
    targets = np.asarray(rows.readings[spec.name].targets)[chosen[known]]
    if spec.kind == "classification":
        values[known] = 0.0
        values[known, targets.astype(np.int64)] = 1.0
    else:
        values[known, 0] = targets
    return pa.FixedSizeListArray.from_arrays(pa.array(values.reshape(-1)), spec.width)


def gold_of(rows: Dataset, task: str) -> npt.NDArray[np.float32]:
    """(rows, classes) gold targets of a task, NaN where unknown."""
    name = f"gold/{task}"
    width = rows.features[name].length
    column = rows.select_columns([name]).with_format("arrow")[:][name]
    flat = [chunk.flatten().to_numpy(zero_copy_only=False) for chunk in column.chunks]
    return np.concatenate([np.empty(0, np.float32), *flat], dtype=np.float32).reshape(
        len(rows), width
    )


def labelled(rows: Dataset, task: str) -> Dataset:
    """The rows with a gold target of a task."""
    return rows.select(np.flatnonzero(np.isfinite(gold_of(rows, task)).all(axis=1)))


def table_hash(table: DatasetDict, *, normalize: bool = False) -> str:
    """A hash of every row's id, split, texts, targets and rationales, equal on every machine.

    normalize: as the table was built; a model remembers it, even where no text was changed by it.
    """
    digest = hashlib.blake2b(b"normalized" if normalize else b"", digest_size=16)
    for split in SPLITS:
        for chunk in table[split].with_format("arrow").iter(batch_size=CHUNK):
            for row in chunk.to_pylist():
                digest.update(repr((split, sorted(row.items()))).encode())
    return digest.hexdigest()
