"""Sources: where a task's rows come from, as a config names it, and the records they hold."""

import codecs
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from data.errors import InputError
from data.readers import dialogues, empathy_reddit, isear, newsemp, plutchik, sst2, twittemp
from data.readers.hub import read_hub
from data.readers.record import Record
from data.readers.table import Columns, read_table

Split = Literal["train", "dev", "test"]
SPLITS: tuple[Split, ...] = ("train", "dev", "test")
ReaderName = Literal[
    "table",
    "empathy_reddit",
    "sst2",
    "plutchik8",
    "semeval_ec",
    "xed",
    "isear",
    "newsemp",
    "twittemp",
    "meld",
    "dialogues",
]
PLAIN_READERS = {
    "empathy_reddit": empathy_reddit.read_empathy_reddit,
    "sst2": sst2.read_sst2,
    "plutchik8": plutchik.read_plutchik8,
    "semeval_ec": plutchik.read_semeval_ec,
    "xed": plutchik.read_xed,
    "isear": isear.read_isear,
}
# The embedded default.
SAMPLES = Path(__file__).parent / "samples"
CLASSES = {
    "empathy_reddit": empathy_reddit.CLASSES,
    "sst2": sst2.CLASSES,
    "plutchik8": plutchik.CLASSES,
    "semeval_ec": plutchik.CLASSES,
    "xed": plutchik.CLASSES,
    "isear": isear.CLASSES,
    "meld": dialogues.MELD_CLASSES,
}
DIALOGUE_READERS = ("meld", "dialogues")
Files = str | tuple[str, ...]


class ColumnNames(BaseModel):
    """Column names of a user's own table."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    text: str = Field("text", description="the text to classify")
    label: str | None = Field("label", description="the class or number; null: unlabelled text")
    context: str | None = Field(None, description="the post that the text answers")
    id: str | None = Field(None, description="a name that joins rows of several files")
    group: str | None = Field(None, description="what must stay in one split, such as the writer")
    rationale: str | None = Field(None, description="quoted parts of the text, divided by |")
    dialogue: str = Field("dialogue", description="of reader dialogues: the dialogue's name")
    turn: str = Field("turn", description="of reader dialogues: the turn's number in it")
    speaker: str = Field("speaker", description="of reader dialogues: who speaks")

    def columns(self) -> Columns:
        """The same names as the reader takes them."""
        return Columns(self.text, self.label, self.context, self.id, self.group, self.rationale)

    def dialogue_columns(self) -> dialogues.DialogueColumns:
        """The same as the reader of dialogues takes them."""
        return dialogues.DialogueColumns(
            self.dialogue, self.turn, self.speaker, self.text, self.label
        )


class Source(BaseModel):
    """One source of a task's rows: files in a public format, a user's table, or a hub data set."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    reader: ReaderName = Field("table", description="the format of the files")
    files: Files | dict[Split, Files] | None = Field(
        None, description="paths below data.root, or a mapping from train, dev, test to paths"
    )
    hub: str | None = Field(None, description="owner/name of a hub data set, in place of files")
    subset: str | None = Field(None, description="the hub data set's configuration")
    columns: ColumnNames = Field(ColumnNames(), description="columns of a table or hub data set")
    column: str = Field("empathy_bin", description="NewsEmp: which of its four labels")
    scheme: str = Field("classes", description="TwittEmp: classes, binary, seek or provide")
    labels: dict[str, str] = Field(
        {}, description="label in the files → class of the task; several may become one"
    )
    window: int = Field(5, ge=1, description="dialogues: turns read together, the last labelled")
    encoding: str = Field("utf-8", description="the files' encoding")

    @model_validator(mode="after")
    def _one_place(self) -> "Source":
        if (self.files is None) == (self.hub is None):
            raise ValueError("give either files or hub")
        unread = {
            "columns": self.hub is None and self.reader not in ("table", "dialogues"),
            "window": self.reader not in ("meld", "dialogues"),
            "column": self.reader != "newsemp",
            "scheme": self.reader != "twittemp",
            "subset": self.hub is None,
        }
        for name in self.model_fields_set:
            if unread.get(name) and getattr(self, name) != type(self).model_fields[name].default:
                raise ValueError(f"{name} says nothing to reader {self.reader}: leave it out")
        for name, field in ColumnNames.model_fields.items():
            is_of_turns = name in ("dialogue", "turn", "speaker")
            is_read = name in ("text", "label") or is_of_turns == (self.reader == "dialogues")
            if not is_read and getattr(self.columns, name) != field.default:
                raise ValueError(
                    f"columns.{name} says nothing to reader {self.reader}: leave it out"
                )
        for label in self.labels:
            if self._own_classes and label not in self._own_classes:
                raise ValueError(
                    f"labels: {label!r} is no label of reader {self.reader}: "
                    f"choose from {', '.join(self._own_classes)}"
                )
        return self

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes that the format fixes, by the task's names; empty for a table or a rating."""
        return tuple(dict.fromkeys(self.labels.get(name, name) for name in self._own_classes))

    @property
    def _own_classes(self) -> tuple[str, ...]:
        if self.reader == "newsemp":
            return newsemp.CLASSES if self.column.endswith("_bin") else ()
        if self.reader == "twittemp":
            return twittemp.twittemp_classes(self.scheme)
        return CLASSES.get(self.reader, ())

    @property
    def has_context(self) -> bool:
        """Whether its texts answer another text."""
        return self.reader == "empathy_reddit" or self.columns.context is not None

    @property
    def has_rationale(self) -> bool:
        """Whether its rows quote rationales."""
        return self.reader == "empathy_reddit" or self.columns.rationale is not None

    def paths(self, root: Path) -> list[tuple[Split | None, Path]]:
        """(given split or None, path) of every file, test before dev before train."""
        if self.files is None:
            return []
        given: dict[Split | None, Files] = (
            dict(self.files.items()) if isinstance(self.files, dict) else {None: self.files}
        )
        listed: list[tuple[Split | None, Path]] = []
        for split in (None, *reversed(SPLITS)):
            names = given.get(split, ())
            for name in (names,) if isinstance(names, str) else names:
                listed.append((split, root / name))
        return listed

    def records(self, root: Path) -> Iterator[tuple[Split | None, Record]]:
        """(given split or None, record) of every row.

        Raises InputError with the place of the first wrong cell, or when a file is missing.
        """
        for split, record in self._records(root):
            label = self.labels.get((record.label or "").strip(), record.label)
            # Files given by split hold whole dialogues: one turn that stands in another file, such
            # as "Hey!", must not take its dialogue along.
            is_whole = split is not None and self.reader in DIALOGUE_READERS
            yield split, replace(record, label=label, group=None if is_whole else record.group)

    def _records(self, root: Path) -> Iterator[tuple[Split | None, Record]]:
        if self.hub is not None:
            yield from read_hub(  # type: ignore[misc]
                self.hub, columns=self.columns.columns(), subset=self.subset
            )
        for split, path in self.paths(root):
            for record in self._read(path):
                yield split, record

    def _read(self, path: Path) -> Iterator[Record]:
        try:
            codecs.lookup(self.encoding)
        except LookupError:
            raise InputError(f"{path}: {self.encoding!r} is no encoding: try utf-8") from None
        if self.reader == "table":
            return read_table(path, columns=self.columns.columns(), encoding=self.encoding)
        if self.reader == "newsemp":
            return newsemp.read_newsemp(path, column=self.column, encoding=self.encoding)
        if self.reader == "twittemp":
            return twittemp.read_twittemp(path, scheme=self.scheme, encoding=self.encoding)
        if self.reader == "meld":
            return dialogues.read_meld(path, window=self.window, encoding=self.encoding)
        if self.reader == "dialogues":
            return dialogues.read_dialogues(
                path,
                columns=self.columns.dialogue_columns(),
                window=self.window,
                encoding=self.encoding,
            )
        return PLAIN_READERS[self.reader](path, encoding=self.encoding)
