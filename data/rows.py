"""Rows: the records of every task, read one by one into compact columns, one row a distinct text.

Letters: N = rows, R = readings of one task. No Python object lives as long as a row but its id and
its links: a million rows must fit beside a model.
"""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import pyarrow as pa

from data.errors import InputError
from data.normalization import read_text
from data.rationales import Span, find_spans
from data.readers.record import Record
from data.sources import SPLITS, Split
from data.tasks import TaskSpec

NoRationale = Literal["by_level", "none", "all", "ignore"]
# Strings that wait as Python objects before they become an Arrow array.
CHUNK = 10_000


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
class Strings:
    """A growing column of strings."""

    chunks: list[pa.StringArray] = field(default_factory=list)
    waiting: list[str] = field(default_factory=list)

    def append(self, text: str) -> None:
        """Add one."""
        self.waiting.append(text)
        if len(self.waiting) == CHUNK:
            self._flush()

    def column(self) -> pa.ChunkedArray:
        """All of them."""
        self._flush()
        return pa.chunked_array(self.chunks, pa.string())

    def _flush(self) -> None:
        self.chunks.append(pa.array(self.waiting, pa.string()))
        self.waiting = []


@dataclass
class Readings:
    """What a task's files say: for each labelled record its row, target and rationale.

    rows, targets: (R,), a target being a class's index or a scaled value. Rationale r is the next
    span_counts[r] pairs of `spans`; -1 where it is unknown.
    """

    rows: array[int] = field(default_factory=lambda: array("q"))
    targets: array[float] = field(default_factory=lambda: array("d"))
    span_counts: array[int] = field(default_factory=lambda: array("i"))
    spans: array[int] = field(default_factory=lambda: array("i"))

    def append(self, row: int, target: float, spans: tuple[Span, ...] | None) -> None:
        """Add a record's."""
        self.rows.append(row)
        self.targets.append(target)
        self.span_counts.append(-1 if spans is None else len(spans))
        for span in spans or ():
            self.spans.extend(span)

    def rationales(self) -> pa.ListArray:
        """(R,) lists of spans, null where unknown."""
        counts = np.asarray(self.span_counts)
        ends = np.cumsum(np.maximum(counts, 0), dtype=np.int32)
        return pa.ListArray.from_arrays(
            pa.array(np.append(np.int32(0), ends)),
            pa.FixedSizeListArray.from_arrays(pa.array(np.asarray(self.spans)), 2),
            mask=pa.array(counts < 0),
        )


@dataclass
class Rows:
    """The distinct texts (with their contexts) of all tasks, in the order they were first read.

    given: (N,) the number in SPLITS of the split that the file names, or -1. links: (N,) the
    numbers of what must not be divided between splits: a row's text, its post, its writer.
    normalize: whether texts are normalised, and not only cleaned.
    """

    normalize: bool = False
    ids: dict[str, None] = field(default_factory=dict)
    texts: Strings = field(default_factory=Strings)
    contexts: Strings = field(default_factory=Strings)
    given: array[int] = field(default_factory=lambda: array("b"))
    links: list[tuple[int, ...]] = field(default_factory=list)
    readings: dict[str, Readings] = field(default_factory=dict)
    first_ids: dict[int, str] = field(default_factory=dict)  # of rows whose id was taken
    _numbers: dict[bytes, int] = field(default_factory=dict)
    _things: dict[bytes, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.ids)

    def read(self, task: TaskRecords) -> TaskProfile:
        """Add a task's records.

        Raises InputError naming the place of an empty text or a wrong label.
        """
        profile = TaskProfile()
        readings = self.readings[task.spec.name] = Readings()
        for given, record in task.records:
            self._add(task, readings, given, record, profile)
        return profile

    def finish(self) -> None:
        """Forget what finds a row again: no more records will come."""
        self._numbers, self._things = {}, {}

    def _add(
        self,
        task: TaskRecords,
        readings: Readings,
        given: Split | None,
        record: Record,
        profile: TaskProfile,
    ) -> None:
        profile.read += 1
        text = self._read(record.text)
        context = self._read(record.context or "")
        if not text:
            raise InputError(
                f"{record.where}, column {record.text_column!r}: the text is empty: "
                f"write a text or delete the row"
            )
        if record.context is not None and not context:
            raise InputError(
                f"{record.where}: the post it answers is empty: write a text or delete the row"
            )
        row = self._number(record.key, text, context)
        if given:
            split, before = SPLITS.index(given), self.given[row]
            profile.moved += before not in (-1, split)
            self.given[row] = max(split, before)
        self._link(row, "text", text.casefold())
        if context:
            self._link(row, "text", context.casefold())
        if record.group:
            self._link(row, "group", record.group)
        if record.label is None:
            profile.unlabelled += 1
            return
        try:
            target = task.spec.encode(record.label)
        except InputError as error:
            raise InputError(f"{record.where}, column {record.label_column!r}: {error}") from None
        spans = None
        if task.spec.has_rationale:
            parts = [part for part in map(self._read, record.parts or ()) if part]
            name = row_id(record.key, text, context)
            spans = _spans(task, name, text, parts, target, profile)
        is_class = task.spec.kind == "classification"
        readings.append(row, target.index(1.0) if is_class else target[0], spans)

    def _read(self, raw: str) -> str:
        return read_text(raw, normalized=self.normalize).text

    def _number(self, key: str | None, text: str, context: str) -> int:
        """The row of a text, a new one when it was not read before."""
        # White space is folded in clean texts, so the separator stands in none.
        row = self._numbers.setdefault(_digest(f"{key or ''}\x1f{text}\x1f{context}"), len(self))
        if row == len(self):
            # A key whose texts really differ between files is several rows.
            name = first = row_id(key, text, context)
            number = 1
            while name in self.ids:
                number += 1
                name = f"{first}~{number}"
            if name != first:
                self.first_ids[row] = first
            self.ids[name] = None
            self.texts.append(text)
            self.contexts.append(context)
            self.given.append(-1)
            self.links.append(())
        return row

    def _link(self, row: int, kind: str, value: str) -> None:
        thing = self._things.setdefault(_digest(f"{kind}\x1f{value}"), len(self._things))
        if thing not in self.links[row]:
            self.links[row] += (thing,)


def _spans(
    task: TaskRecords,
    name: str,
    text: str,
    parts: list[str],
    target: list[float],
    profile: TaskProfile,
) -> tuple[Span, ...] | None:
    """The spans of a row's quoted parts; () teaches that no token is one, None teaches nothing."""
    profile.parts += len(parts)
    if parts:
        spans, unmatched = find_spans(text, parts)
        profile.unmatched += [name] * len(unmatched)
        return tuple(spans) if spans else None
    if task.no_rationale == "all":
        return ((0, len(text)),)
    # Level 0 has nothing to quote; a higher level without a quotation was left unquoted.
    is_lowest = task.spec.kind == "classification" and target[0] == 1.0
    if task.no_rationale == "none" or (task.no_rationale == "by_level" and is_lowest):
        return ()
    return None


def row_id(key: str | None, text: str, context: str) -> str:
    """A row's name: the files' own key, or a hash of its clean text and context."""
    if key:
        return key
    return hashlib.blake2b(f"{text}\x1f{context}".encode(), digest_size=8).hexdigest()


def _digest(text: str) -> bytes:
    """16 bytes in place of a text: by chance two texts of 10^12 share theirs once in 10^14."""
    return hashlib.blake2b(text.encode(), digest_size=16).digest()
