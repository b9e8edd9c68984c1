"""Encoded tables: the token ids, targets and token targets of a table, for one tokenizer.

Letters: N = rows, T = tokens of all texts together, C = classes.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from datasets import Dataset
from transformers import PreTrainedTokenizerBase

from data.rationales import token_labels
from data.tasks import TaskSpec

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int32]


@dataclass(frozen=True)
class Ragged:
    """Rows of different lengths in one flat array; `starts` is (N + 1,)."""

    values: npt.NDArray[np.generic]
    starts: npt.NDArray[np.int64]

    @classmethod
    def of(cls, rows: Iterable[Sequence[int]]) -> "Ragged":
        """Rows of token ids in one array."""
        listed = list(rows)
        starts = np.zeros(len(listed) + 1, dtype=np.int64)
        np.cumsum([len(row) for row in listed], out=starts[1:])
        flat = np.fromiter((v for row in listed for v in row), np.int32, count=int(starts[-1]))
        return cls(flat, starts)

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """(N,) values in each row."""
        return np.diff(self.starts)

    def row(self, index: int) -> npt.NDArray[np.generic]:
        """The values of one row."""
        return self.values[self.starts[index] : self.starts[index + 1]]


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

    The tokenizer must give offsets (a fast one).
    """
    texts: Mapping[str, list[Any]] = {"input_ids": [], "offset_mapping": []}
    if len(table):  # a tokenizer given no texts raises IndexError
        texts = tokenizer(
            list(table["text"]),
            truncation=True,
            max_length=max_tokens,
            return_offsets_mapping=True,
            return_attention_mask=False,
            return_token_type_ids=False,
        )
    contexts = list(table["context"])
    with_context = [index for index, context in enumerate(contexts) if context]
    context_ids: list[list[int]] = [[] for _ in contexts]
    if with_context:
        encoded = tokenizer(
            [contexts[index] for index in with_context],
            truncation=True,
            max_length=max_tokens,
            return_attention_mask=False,
            return_token_type_ids=False,
        )
        for index, ids in zip(with_context, encoded["input_ids"], strict=True):
            context_ids[index] = ids
    ragged = Ragged.of(texts["input_ids"])
    offsets = np.array(
        [pair for row in texts["offset_mapping"] for pair in row], dtype=np.int32
    ).reshape(-1, 2)
    encoded_table = EncodedTable(
        ids=tuple(table["id"]),
        texts=ragged,
        offsets=offsets,
        contexts=Ragged.of(context_ids),
        pad_id=int(tokenizer.pad_token_id or 0),
        gold={
            task.name: np.asarray(list(table[f"gold/{task.name}"]), dtype=np.float32).reshape(
                -1, task.width
            )
            for task in tasks
        },
        gold_tokens={},
    )
    for task in tasks:
        if task.has_rationale:
            encoded_table.gold_tokens[task.name] = _token_targets(
                list(table[f"rationale/{task.name}"]), encoded_table
            )
    return encoded_table


def _token_targets(rationales: Sequence[list[list[int]] | None], table: EncodedTable) -> Floats:
    targets = np.full(len(table.offsets), np.nan, dtype=np.float32)
    for index, spans in enumerate(rationales):
        if spans is not None:
            row = table.part(index)
            targets[row] = token_labels([(start, end) for start, end in spans], table.offsets[row])
    return targets
