"""Unlabelled texts to adapt an encoder to: read, each once, a part of them held out."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from datasets import Dataset
from tqdm.auto import tqdm
from transformers import PreTrainedTokenizerBase

from data.cleaning import clean
from data.encoding import EncodedTable, encode_table
from data.errors import InputError
from data.masking import Masking, pieces_of
from data.readers.texts import TEXT_COLUMNS, RejectedRow, TextRow, fault_in, form_of, read_texts
from data.sources import PLAIN_READERS

HELD_OUT = 0.05
# With fewer, not even one could be held out.
FEWEST = 20


@dataclass
class Texts:
    """The clean texts of some files in their order, each once, and what was left out.

    first_rejected: the place of the first rejected row and its reason, without its text.
    """

    texts: list[str]
    read: int = 0
    rejected: int = 0
    empty: int = 0
    repeated: int = 0
    first_rejected: str | None = None


def read_corpus(
    paths: Sequence[Path], column: str | None = None, reader: str | None = None
) -> Texts:
    """The texts of .csv, .tsv, .jsonl or .parquet files, or of files in a public format.

    column: where they stand, in place of those that `read_texts` knows. reader: of the format, a
    name in PLAIN_READERS. Texts that are equal once cleaned count as one: else one could be held
    out and learnt.
    Raises InputError as `read_texts`, `form_of` and the reader do, for a reader that there is not
    or that is given with a column, and for fewer texts than `FEWEST`.
    """
    found = Texts([])
    seen: set[str] = set()
    if reader is not None and reader not in PLAIN_READERS:
        raise InputError(
            f"--reader: {reader!r} is no reader: choose from {', '.join(sorted(PLAIN_READERS))}"
        )
    if reader is not None and column is not None:
        raise InputError(
            f"--column {column!r}: reader {reader} knows its columns: leave one of them out"
        )
    columns = TEXT_COLUMNS if column is None else (column,)
    for path in paths:
        rows = _records(path, reader) if reader else read_texts(path, form_of(path), columns)
        for row in tqdm(rows, desc=path.name, unit=" rows", disable=None, delay=2, leave=False):
            found.read += 1
            fault = fault_in(path, row)
            if isinstance(row, RejectedRow) or fault is not None:
                found.rejected += 1
                found.first_rejected = found.first_rejected or fault
                continue
            text = clean(row.text).text
            if not text:
                found.empty += 1
            elif text in seen:
                found.repeated += 1
            else:
                seen.add(text)
                found.texts.append(text)
    if len(found.texts) < FEWEST:
        raise InputError(
            f"{', '.join(map(str, paths))}: {len(found.texts)} texts that differ: give at least "
            f"{FEWEST}"
        )
    return found


def _records(path: Path, reader: str) -> Iterator[TextRow | RejectedRow]:
    for number, record in enumerate(PLAIN_READERS[reader](path), start=1):
        yield TextRow(number, None, str(number), record.text, "")


def divide(
    texts: Sequence[str],
    tokenizer: PreTrainedTokenizerBase,
    masking: Masking,
    *,
    max_tokens: int,
    seed: int,
) -> tuple[EncodedTable, EncodedTable]:
    """The texts to train on and those held out, each cut at `max_tokens`, drawn by the seed.

    A text without a piece to be guessed is in neither. Raises InputError where none is left.
    """
    columns = {
        "id": [str(n) for n in range(len(texts))],
        "text": texts,
        "context": [""] * len(texts),
    }
    table = encode_table(Dataset.from_dict(columns), tokenizer, [], max_tokens=max_tokens)
    useful = np.flatnonzero(pieces_of(table, masking))
    order = np.random.default_rng(seed).permutation(useful)
    count = max(1, round(HELD_OUT * len(useful)))
    if len(useful) <= count:
        raise InputError(
            f"{len(useful)} of {len(texts)} texts hold a piece of the tokenizer's vocabulary: give "
            f"texts in the encoder's language"
        )
    return table.take(np.sort(order[count:])), table.take(np.sort(order[:count]))
