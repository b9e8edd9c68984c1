"""Tables: the records of every task as one row a distinct text (pair), a column a task."""

import hashlib
from collections import Counter
from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt
from datasets import Dataset, DatasetDict, Features, List, Value

from data.cleaning import clean
from data.errors import InputError
from data.rationales import Span, find_spans
from data.readers.record import Record
from data.sources import SPLITS, Split
from data.splits import assign_splits, connected, shared_links
from data.tasks import TaskSpec

NoRationale = Literal["by_level", "none", "all", "ignore"]


@dataclass(frozen=True)
class TaskRecords:
    """A task with its records and what a row without a rationale teaches."""

    spec: TaskSpec
    records: Iterable[tuple[Split | None, Record]]
    no_rationale: NoRationale = "by_level"
    limit: int | None = None


@dataclass
class TaskProfile:
    """What was found in a task's files: counts, and the row ids that a person should look at."""

    read: int = 0
    unlabelled: int = 0
    duplicates: int = 0
    conflicts: list[str] = field(default_factory=list)
    parts: int = 0
    unmatched: list[str] = field(default_factory=list)
    left_out_by_limit: int = 0
    moved: int = 0  # rows put in another split than their file's, with a text or writer they share
    rows: dict[str, dict[str, int]] = field(default_factory=dict)  # split → class → rows


@dataclass
class _Row:
    """A distinct text (pair) while the files are being read."""

    key: str | None
    text: str
    context: str
    given: Split | None = None
    links: set[Hashable] = field(default_factory=set)
    # task → [(target, spans or None)], one for each time the row was read
    read: dict[str, list[tuple[tuple[float, ...], tuple[Span, ...] | None]]] = field(
        default_factory=dict
    )


def build_table(
    tasks: list[TaskRecords], *, fractions: dict[Split, float], seed: int
) -> tuple[DatasetDict, dict[str, TaskProfile], dict[str, int]]:
    """The splits of one table, each task's profile, and the overlaps between the splits.

    Columns: `id`, `text`, `context` (empty where there is none), and for each task `gold/NAME`, a
    one-hot row or a scaled value with NaN for unknown, and `rationale/NAME`, a list of spans in
    the clean text or null for unknown.

    Records with the same key and clean text (and context) are one row. Where a task labels a row
    twice with different classes the more frequent one counts, on a tie the one read first.
    Raises InputError naming the place of an empty text or a wrong label.
    """
    rows: dict[tuple[str, str, str], _Row] = {}
    profiles: dict[str, TaskProfile] = {}
    for task in tasks:
        profile = profiles[task.spec.name] = TaskProfile()
        for given, record in task.records:
            _add(rows, task, given, record, profile)
        if not profile.read:
            raise InputError(f"task {task.spec.name!r}: its files hold no rows: check the sources")
    listed = list(rows.values())
    golds = [
        {
            task.spec.name: _resolve(row, task.spec.name, profiles[task.spec.name])
            for task in tasks
            if task.spec.name in row.read
        }
        for row in listed
    ]
    links = [sorted(row.links, key=str) for row in listed]
    splits = assign_splits(
        groups=connected(links),
        labels=[
            [(name, int(np.argmax(gold))) for name, (gold, _) in found.items() if len(gold) > 1]
            for found in golds
        ],
        given=[row.given for row in listed],
        fractions=fractions,
        seed=seed,
    )
    _limit(tasks, golds, splits, profiles, seed)
    _count(tasks, golds, splits, profiles)
    for row, split in zip(listed, splits, strict=True):
        if row.given not in (None, split):
            for name in row.read:
                profiles[name].moved += 1
    overlaps = {f"{a}/{b}": n for (a, b), n in shared_links(links, splits).items()}
    table = _to_dataset([task.spec for task in tasks], listed, golds, splits)
    return table, profiles, overlaps


def _add(
    rows: dict[tuple[str, str, str], _Row],
    task: TaskRecords,
    given: Split | None,
    record: Record,
    profile: TaskProfile,
) -> None:
    spec = task.spec
    profile.read += 1
    text = clean(record.text).text
    context = clean(record.context).text if record.context is not None else ""
    if not text:
        raise InputError(
            f"{record.where}, column {record.text_column!r}: the text is empty: "
            f"write a text or delete the row"
        )
    if record.context is not None and not context:
        raise InputError(
            f"{record.where}: the post it answers is empty: write a text or delete the row"
        )
    row = rows.setdefault((record.key or "", text, context), _Row(record.key, text, context))
    if given and row.given not in (None, given):
        profile.moved += 1
    if given and (row.given is None or SPLITS.index(given) > SPLITS.index(row.given)):
        row.given = given
    row.links.add(("text", text.casefold()))
    if context:
        row.links.add(("text", context.casefold()))
    if record.group:
        row.links.add(("group", record.group))
    if record.label is None:
        profile.unlabelled += 1
        return
    try:
        target = tuple(spec.encode(record.label))
    except InputError as error:
        raise InputError(f"{record.where}, column {record.label_column!r}: {error}") from None
    spans = _spans(task, record, text, context, target, profile) if spec.has_rationale else None
    row.read.setdefault(spec.name, []).append((target, spans))


def _spans(
    task: TaskRecords,
    record: Record,
    text: str,
    context: str,
    target: tuple[float, ...],
    profile: TaskProfile,
) -> tuple[Span, ...] | None:
    """The rationale's spans; () teaches that no token is one, None teaches nothing."""
    parts = [part for part in (clean(part).text for part in record.parts or ()) if part]
    profile.parts += len(parts)
    if parts:
        spans, unmatched = find_spans(text, parts)
        name = row_id(record.key, text, context)
        profile.unmatched += [name] * len(unmatched)
        return tuple(spans) if spans else None
    if task.no_rationale == "all":
        return ((0, len(text)),)
    # Level 0 has nothing to quote; a higher level without a quotation was left unquoted.
    is_lowest = task.spec.kind == "classification" and target[0] == 1.0
    if task.no_rationale == "none" or (task.no_rationale == "by_level" and is_lowest):
        return ()
    return None


def _resolve(
    row: _Row, name: str, profile: TaskProfile
) -> tuple[tuple[float, ...], tuple[Span, ...] | None]:
    """The target that counts among those read for a row, with the rationale read with it."""
    read = row.read[name]
    profile.duplicates += len(read) - 1
    counts = Counter(target for target, _ in read)
    if len(counts) > 1:
        profile.conflicts.append(row_id(row.key, row.text, row.context))
    target = counts.most_common(1)[0][0]
    return target, next(spans for found, spans in read if found == target)


def _limit(
    tasks: list[TaskRecords],
    golds: list[dict[str, tuple[tuple[float, ...], tuple[Span, ...] | None]]],
    splits: list[Split],
    profiles: dict[str, TaskProfile],
    seed: int,
) -> None:
    """Forget a task's gold on train rows beyond its limit, drawn at random."""
    for task in tasks:
        name = task.spec.name
        rows = [i for i, found in enumerate(golds) if name in found and splits[i] == "train"]
        if task.limit is not None and len(rows) > task.limit:
            kept = np.random.default_rng(seed).permutation(len(rows))[: task.limit]
            for index in np.delete(np.asarray(rows), kept):
                del golds[index][name]
            profiles[name].left_out_by_limit = len(rows) - task.limit


def _count(
    tasks: list[TaskRecords],
    golds: list[dict[str, tuple[tuple[float, ...], tuple[Span, ...] | None]]],
    splits: list[Split],
    profiles: dict[str, TaskProfile],
) -> None:
    for task in tasks:
        spec = task.spec
        names = spec.classes if spec.kind == "classification" else ("rows",)
        counts = {split: dict.fromkeys(names, 0) for split in SPLITS}
        for found, split in zip(golds, splits, strict=True):
            if spec.name in found:
                counts[split][names[int(np.argmax(found[spec.name][0]))]] += 1
        profiles[spec.name].rows = dict(counts.items())


def _to_dataset(
    specs: list[TaskSpec],
    rows: list[_Row],
    golds: list[dict[str, tuple[tuple[float, ...], tuple[Span, ...] | None]]],
    splits: list[Split],
) -> DatasetDict:
    features = {"id": Value("string"), "text": Value("string"), "context": Value("string")}
    for spec in specs:
        features[f"gold/{spec.name}"] = List(Value("float32"), length=spec.width)
        if spec.has_rationale:
            features[f"rationale/{spec.name}"] = List(List(Value("int32"), length=2))
    columns: dict[Split, dict[str, list[object]]] = {
        split: {name: [] for name in features} for split in SPLITS
    }
    taken: set[str] = set()
    for row, found, split in zip(rows, golds, splits, strict=True):
        # A key whose texts really differ between files is several rows.
        name = first = row_id(row.key, row.text, row.context)
        number = 1
        while name in taken:
            number += 1
            name = f"{first}~{number}"
        taken.add(name)
        if row.read and not found:
            continue  # every label of it was beyond a limit
        column = columns[split]
        column["id"].append(name)
        column["text"].append(row.text)
        column["context"].append(row.context)
        for spec in specs:
            gold, spans = found.get(spec.name, ((float("nan"),) * spec.width, None))
            column[f"gold/{spec.name}"].append(gold)
            if spec.has_rationale:
                column[f"rationale/{spec.name}"].append(spans)
    return DatasetDict(
        {
            split: Dataset.from_dict(column, features=Features(features))
            for split, column in columns.items()
        }
    )


def gold_of(rows: Dataset, task: str) -> npt.NDArray[np.float32]:
    """(rows, classes) gold targets of a task, NaN where unknown."""
    column = f"gold/{task}"
    width = rows.features[column].length
    return np.asarray(list(rows[column]), dtype=np.float32).reshape(len(rows), width)


def labelled(rows: Dataset, task: str) -> Dataset:
    """The rows with a gold target of a task."""
    return rows.select(np.flatnonzero(np.isfinite(gold_of(rows, task)).all(axis=1)))


def row_id(key: str | None, text: str, context: str) -> str:
    """A row's name: the files' own key, or a hash of its clean text and context."""
    if key:
        return key
    return hashlib.blake2b(f"{text}\x1f{context}".encode(), digest_size=8).hexdigest()


def table_hash(table: DatasetDict) -> str:
    """A hash of every row's id, split, texts, targets and rationales, equal on every machine."""
    digest = hashlib.blake2b(digest_size=16)
    for split in SPLITS:
        for row in table[split]:
            digest.update(repr((split, sorted(row.items()))).encode())
    return digest.hexdigest()
