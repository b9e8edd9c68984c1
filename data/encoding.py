"""Encoded tables: the token ids, targets and token targets of a table, for one tokenizer.

Letters: N = rows, T = tokens of all texts together, C = classes.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt
from datasets import Dataset
from tqdm.auto import tqdm
from transformers import PreTrainedTokenizerBase

from data.ragged import Ragged, RowNumbers
from data.rationales import token_labels
from data.tables import gold_of
from data.tasks import TaskSpec

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int32]
# Rows whose tokens are Python objects at one time.
CHUNK = 4096


@dataclass(frozen=True)
class EncodedTable:
    """A table as a model's tokenizer sees it.

    gold and soft: task → (N, C), NaN unknown; soft targets are probabilities (or scaled values).
    gold_tokens and soft_tokens: task → (T,), aligned with `texts`, NaN unknown.
    """

    ids: tuple[str, ...]
    texts: Ragged  # token ids
    offsets: Ints  # (T, 2) characters of each token
    contexts: Ragged  # token ids; an empty row has no context
    pad_id: int
    gold: dict[str, Floats]
    gold_tokens: dict[str, Floats]
    soft: dict[str, Floats] = field(default_factory=dict)
    soft_tokens: dict[str, Floats] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.ids)

    def part(self, index: int) -> slice:
        """Where one row's tokens stand in the arrays over all tokens."""
        return slice(int(self.texts.starts[index]), int(self.texts.starts[index + 1]))

    def known(
        self, task: str, rows: npt.NDArray[np.int64] | slice = slice(None)
    ) -> npt.NDArray[np.bool_]:
        """(rows,) whether each of the rows, by default all, has a gold or a soft target."""
        found = np.all(np.isfinite(self.gold[task][rows]), axis=1)
        if task in self.soft:
            found = found | np.all(np.isfinite(self.soft[task][rows]), axis=1)
        return np.asarray(found)

    def between(self, start: int, stop: int) -> "EncodedTable":
        """The rows from start to stop, all arrays shared."""
        tokens = slice(int(self.texts.starts[start]), int(self.texts.starts[stop]))
        return replace(
            self,
            ids=self.ids[start:stop],
            texts=self.texts.between(start, stop),
            offsets=self.offsets[tokens],
            contexts=self.contexts.between(start, stop),
            gold={task: values[start:stop] for task, values in self.gold.items()},
            gold_tokens={task: values[tokens] for task, values in self.gold_tokens.items()},
            soft={task: values[start:stop] for task, values in self.soft.items()},
            soft_tokens={task: values[tokens] for task, values in self.soft_tokens.items()},
        )

    def take(self, rows: RowNumbers) -> "EncodedTable":
        """A copy of some rows."""
        tokens = self.texts.places(rows)
        return replace(
            self,
            ids=tuple(self.ids[row] for row in rows),
            texts=self.texts.take(rows),
            offsets=self.offsets[tokens],
            contexts=self.contexts.take(rows),
            gold={task: values[rows] for task, values in self.gold.items()},
            gold_tokens={task: values[tokens] for task, values in self.gold_tokens.items()},
            soft={task: values[rows] for task, values in self.soft.items()},
            soft_tokens={task: values[tokens] for task, values in self.soft_tokens.items()},
        )

    def keep_tokens(self, is_kept: npt.NDArray[np.bool_]) -> "EncodedTable":
        """The same rows without the tokens of their texts that are not kept; is_kept: (T,)."""
        return replace(
            self,
            texts=self.texts.keep(is_kept),
            offsets=self.offsets[is_kept],
            gold_tokens={task: values[is_kept] for task, values in self.gold_tokens.items()},
            soft_tokens={task: values[is_kept] for task, values in self.soft_tokens.items()},
        )

    def with_soft(self, soft: dict[str, Floats], soft_tokens: dict[str, Floats]) -> "EncodedTable":
        """The same table with soft targets."""
        return replace(self, soft=soft, soft_tokens=soft_tokens)

    def without_gold(self) -> "EncodedTable":
        """The same table with every gold target unknown."""
        return replace(
            self,
            gold={task: np.full_like(rows, np.nan) for task, rows in self.gold.items()},
            gold_tokens={task: np.full_like(t, np.nan) for task, t in self.gold_tokens.items()},
        )


def encode_table(
    table: Dataset,
    tokenizer: PreTrainedTokenizerBase,
    tasks: Sequence[TaskSpec],
    *,
    max_tokens: int,
) -> EncodedTable:
    """Tokenize texts and contexts, each cut at `max_tokens` tokens, and label the tokens.

    The tokenizer must give offsets (a fast one). All is held in memory; data.token_files keeps
    it on disk.
    """
    chunks = list(encoded_chunks(table, tokenizer, tasks, max_tokens=max_tokens))
    arrays = {name: np.concatenate([chunk[name] for chunk in chunks]) for name in chunks[0]}
    return assembled(arrays, table, tokenizer, tasks)


def encoded_chunks(
    table: Dataset,
    tokenizer: PreTrainedTokenizerBase,
    tasks: Sequence[TaskSpec],
    *,
    max_tokens: int,
) -> Iterator[dict[str, npt.NDArray[Any]]]:
    """The arrays of an encoded table by name, a few thousand rows at a time, at least once."""
    with_rationale = [task.name for task in tasks if task.has_rationale]
    names = ["text", "context", *(f"rationale/{name}" for name in with_rationale)]
    columns = table.select_columns(names)
    bar = tqdm(total=len(table), desc="tokenize", unit=" rows", disable=None, leave=False, delay=2)
    with bar:
        for start in range(0, max(1, len(table)), CHUNK):
            rows = columns[start : start + CHUNK]
            found = encoded_pairs(rows["text"], rows["context"], tokenizer, max_tokens=max_tokens)
            rows_offsets = np.split(found["offsets"], np.cumsum(found["text_lengths"])[:-1])
            for name in with_rationale:
                found[f"gold_tokens.{name}"] = _token_targets(
                    rows[f"rationale/{name}"], rows_offsets
                )
            yield found
            bar.update(len(rows["text"]))


def assembled(
    arrays: Mapping[str, npt.NDArray[Any]],
    table: Dataset,
    tokenizer: PreTrainedTokenizerBase,
    tasks: Sequence[TaskSpec],
) -> EncodedTable:
    """The encoded table whose arrays `encoded_chunks` gave."""
    return EncodedTable(
        ids=tuple(table["id"]),
        texts=Ragged.from_lengths(arrays["text_ids"], arrays["text_lengths"]),
        offsets=arrays["offsets"],
        contexts=Ragged.from_lengths(arrays["context_ids"], arrays["context_lengths"]),
        pad_id=int(tokenizer.pad_token_id or 0),
        gold={task.name: gold_of(table, task.name) for task in tasks},
        gold_tokens={
            task.name: arrays[f"gold_tokens.{task.name}"] for task in tasks if task.has_rationale
        },
    )


def encoded_pairs(
    texts: Sequence[str],
    contexts: Sequence[str],
    tokenizer: PreTrainedTokenizerBase,
    *,
    max_tokens: int,
) -> dict[str, npt.NDArray[Any]]:
    """The arrays of texts and their contexts by name; an empty context has no tokens."""
    of_texts = _tokens(tokenizer, texts, max_tokens, return_offsets_mapping=True)
    with_context = [place for place, text in enumerate(contexts) if text]
    of_contexts = _tokens(tokenizer, [contexts[place] for place in with_context], max_tokens)
    context_lengths = np.zeros(len(contexts), dtype=np.int32)
    context_lengths[with_context] = _lengths(of_contexts["input_ids"])
    return {
        "text_ids": _flat(of_texts["input_ids"]),
        "text_lengths": _lengths(of_texts["input_ids"]),
        "offsets": _flat(chain.from_iterable(of_texts["offset_mapping"])).reshape(-1, 2),
        "context_ids": _flat(of_contexts["input_ids"]),
        "context_lengths": context_lengths,
    }


def _tokens(
    tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], max_tokens: int, **wanted: bool
) -> Mapping[str, list[Any]]:
    if not texts:  # a tokenizer given no texts raises IndexError
        return {"input_ids": [], "offset_mapping": []}
    return tokenizer(
        list(texts),
        truncation=True,
        max_length=max_tokens,
        return_attention_mask=False,
        return_token_type_ids=False,
        **wanted,
    )


def _lengths(rows: Sequence[Sequence[int]]) -> Ints:
    return np.array([len(row) for row in rows], dtype=np.int32)


def _flat(rows: Iterable[Sequence[int]]) -> Ints:
    return np.array(list(chain.from_iterable(rows)), dtype=np.int32)


def _token_targets(
    rationales: Sequence[Sequence[Sequence[int]] | None], offsets: Sequence[Ints]
) -> Floats:
    """(T,) of rows' spans and their tokens' characters, each (K, 2)."""
    targets = [np.empty(0, dtype=np.float32)]
    for spans, of_row in zip(rationales, offsets, strict=False):
        if spans is None:
            targets.append(np.full(len(of_row), np.nan, dtype=np.float32))
        else:
            targets.append(token_labels([(start, end) for start, end in spans], of_row))
    return np.concatenate(targets)
