"""The columns of answers: names and a row's values, ours or those of the 2020 empathy code."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from data.errors import InputError
from data.readers.empathy_reddit import LEVELS
from data.readers.texts import TextRow
from data.tasks import TaskSpec
from student.predictions import Answer, Prediction, Rejection

Value = str | int | float | None

# The mechanisms of Sharma et al. (2020) and the tasks that answer them.
MECHANISMS = {"ER": "emotional_reactions", "IP": "interpretations", "EX": "explorations"}
# What their code reads of a text, special tokens and padding included.
LEGACY_TOKENS = 64


@dataclass(frozen=True)
class Columns:
    """The columns of a file of answers.

    `kinds` are their types; `values` gives those of one row, None where there is no answer, or
    rejects a row that has no place in the file.
    """

    names: tuple[str, ...]
    kinds: tuple[type, ...]
    values: Callable[[TextRow, Answer], list[Value] | Rejection]
    csv_line_end: str = "\n"


def own_columns(specs: Sequence[TaskSpec]) -> Columns:
    """The id, and for each task the class and its probability or the value, and the rationale.

    The rationale's parts are divided by `|`, their offsets by spaces: characters of the text as
    it was given. Raises InputError when two columns would have one name.
    """
    columns: dict[str, type] = {"id": str}
    for spec in specs:
        for name, kind in _own_columns(spec):
            if name in columns:
                raise InputError(
                    f"task {spec.name!r}: two columns of answers would be named {name!r}: "
                    f"give the task another name"
                )
            columns[name] = kind

    def values(row: TextRow, answer: Answer) -> list[Value]:
        parts = (_values(spec, answer.get(spec.name)) for spec in specs)
        return [row.id, *(value for part in parts for value in part)]

    return Columns(tuple(columns), tuple(columns.values()), values)


def _own_columns(spec: TaskSpec) -> list[tuple[str, type]]:
    """The names and types of one task's columns, in the order of its values."""
    columns: list[tuple[str, type]] = [(spec.name, float if spec.kind == "regression" else str)]
    if spec.kind == "classification":
        columns.append((f"{spec.name}_probability", float))
    if spec.has_rationale:
        columns += [(f"{spec.name}_rationale", str), (f"{spec.name}_offsets", str)]
    return columns


def _values(spec: TaskSpec, found: Prediction | None) -> list[Value]:
    if found is None:
        return [None] * len(_own_columns(spec))
    values: list[Value] = [found.label]
    if spec.kind == "classification":
        values.append(max(found.probabilities.values()))
    if spec.has_rationale:
        values.append("|".join(part.words for part in found.rationale))
        values.append(" ".join(f"{part.start}-{part.end}" for part in found.rationale))
    return values


def legacy_columns(specs: Sequence[TaskSpec]) -> Columns:
    """The columns that src/test.py of the code of Sharma et al. (2020) writes.

    Labels are the levels 0, 1 and 2; a rationale is the text of a list of 64 zeros and ones, one
    a token of our tokenizer, specials and padding included. Texts stand in the file as given.
    Raises InputError when the model does not answer the three tasks so.
    """
    known = {spec.name: spec for spec in specs}
    for name in MECHANISMS.values():
        spec = known.get(name)
        if spec is None:
            raise InputError(
                f"--legacy: the model has no task {name!r}: it answers {', '.join(sorted(known))}"
            )
        if len(spec.classes) != len(LEVELS) or not spec.has_rationale:
            raise InputError(
                f"--legacy: task {name!r} has {len(spec.classes)} classes and "
                f"{'a' if spec.has_rationale else 'no'} rationale: it needs {len(LEVELS)} and one"
            )
    names = ["id", "seeker_post", "response_post"]
    kinds: list[type] = [str, str, str]
    for ending, kind in (("label", int), ("rationale", str)):
        names += [f"{mechanism}_{ending}" for mechanism in MECHANISMS]
        kinds += [kind] * len(MECHANISMS)

    def values(row: TextRow, answer: Answer) -> list[Value] | Rejection:
        if any(name not in answer for name in MECHANISMS.values()):
            return Rejection("the context is empty")
        levels: list[Value] = []
        rationales: list[Value] = []
        for name in MECHANISMS.values():
            levels.append(known[name].classes.index(str(answer[name].label)))
            labels = answer[name].token_labels[:LEGACY_TOKENS]
            rationales.append(str(list(labels.ljust(LEGACY_TOKENS, b"\0"))))
        return [row.id, row.context, row.text, *levels, *rationales]

    return Columns(tuple(names), tuple(kinds), values, csv_line_end="\r\n")
