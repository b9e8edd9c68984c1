"""Masked words: which pieces of a text a model is to guess, a pure function of seed, step and row.

Letters: N = rows of a table, B = rows of a batch, L = tokens, K = chosen tokens of all rows
together, V = vocabulary.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import torch
from transformers import PreTrainedTokenizerBase

from data.batches import collate, to_device
from data.encoding import EncodedTable

Ints = npt.NDArray[np.int64]
# Of the chosen pieces, those that become the mask, and those that become another piece; the rest
# stay as they are (Devlin et al. 2019, section 3.1).
MASKED, REPLACED = 0.8, 0.1


@dataclass(frozen=True)
class Masking:
    """How pieces are chosen and hidden.

    share: of a text's pieces, at least one. is_piece: (V,) whether an id is a piece of text and no
    special token; these alone are chosen, and may stand in the place of a chosen one.
    """

    share: float
    mask_id: int
    is_piece: npt.NDArray[np.bool_]
    seed: int

    @cached_property
    def pieces(self) -> Ints:
        """The ids of the pieces of text."""
        return np.flatnonzero(self.is_piece)

    def hidden(self, ids: Ints, row: int, step: int) -> tuple[Ints, Ints]:
        """A text's ids (L,) with some hidden, and the places of the chosen ones in order.

        They follow from (seed, step, row) alone, so they differ from step to step, and with it
        from epoch to epoch, and do not depend on the other rows of the batch.
        """
        random = np.random.default_rng((self.seed, step, row))
        places = np.flatnonzero(self.is_piece[ids])
        chosen = np.sort(random.permutation(places)[: chosen_of(len(places), self.share)])
        draws = random.random(len(chosen))
        others = random.choice(self.pieces, len(chosen))
        changed = ids.copy()
        changed[chosen] = np.where(
            draws < MASKED,
            self.mask_id,
            np.where(draws < MASKED + REPLACED, others, ids[chosen]),
        )
        return changed, chosen


@dataclass(frozen=True)
class MaskedBatch:
    """Texts with hidden pieces, padded on the right, and what stood there."""

    input_ids: torch.Tensor  # (B, L)
    lengths: list[int]  # (B,) tokens of each text
    places: torch.Tensor  # (K,) of the chosen tokens in the B * L of all rows
    words: torch.Tensor  # (K,) their ids

    def to(self, device: torch.device) -> "MaskedBatch":
        """The same batch on a device."""
        moved = (to_device(t, device) for t in (self.input_ids, self.places, self.words))
        input_ids, places, words = moved
        return MaskedBatch(input_ids, self.lengths, places, words)


def new_masking(tokenizer: PreTrainedTokenizerBase, *, share: float, seed: int) -> Masking:
    """The masking for a tokenizer's vocabulary.

    Raises ValueError when it has no token that hides another.
    """
    if tokenizer.mask_token_id is None:
        raise ValueError("the tokenizer has no mask token")
    is_piece = np.ones(len(tokenizer), dtype=bool)
    is_piece[tokenizer.all_special_ids] = False
    return Masking(share, int(tokenizer.mask_token_id), is_piece, seed)


def pieces_of(table: EncodedTable, masking: Masking) -> Ints:
    """(N,) the pieces of each row's text that are no special tokens."""
    before = np.append(0, np.cumsum(masking.is_piece[table.texts.values]))
    return np.diff(before[table.texts.starts])


def chosen_of(pieces: int, share: float) -> int:
    """How many of a text's pieces are chosen: their share, at least one, if there are any."""
    return min(pieces, max(1, round(share * pieces)))


def mask_rows(table: EncodedTable, rows: Ints, step: int, masking: Masking) -> MaskedBatch:
    """The batch of some rows of a table as a step hides their pieces; contexts are left out."""
    batch = collate(table, rows)
    ids = batch.input_ids.numpy().copy()
    places = []
    for number, row in enumerate(rows.tolist()):
        length = batch.text_lengths[number]
        ids[number, :length], chosen = masking.hidden(ids[number, :length], row, step)
        places.append(number * ids.shape[1] + chosen)
    flat = torch.from_numpy(np.concatenate(places))
    words = batch.input_ids.flatten()[flat]
    return MaskedBatch(torch.from_numpy(ids), batch.text_lengths, flat, words)
