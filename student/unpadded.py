"""The unpadded forward: an encoder runs once on the flat list of all real tokens of a batch.

Linear layers, norms and activations never see padding. Only attention needs sequences: it pads
queries, keys and values in groups of similar length and gives the flat list back.

Letters: N = sequences, L = tokens, T = tokens of all sequences together, H = hidden size,
P = T with the padding of the groups, n = sequences of a group, A = attention heads, D = H / A.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from data.batches import to_device
from student.dropout import drop_out

# The name under which transformers finds `attend`.
UNPADDED = "unpadded"
# Architectures whose tokens meet in attention alone, reached by `attend`, and that take positions.
UNPADDED_TYPES = (
    *("albert", "bert", "camembert", "distilbert", "electra"),
    *("modernbert", "nomic_bert", "roberta", "xlm-roberta"),
)
# Sequences of similar length that are padded together: fewer pad more, more leave small matmuls.
GROUP_SIZE = 16
# A GPU waits for kernels to be launched rather than for padding: a few groups, whatever N.
GPU_GROUPS = 4


class Layout(NamedTuple):
    """Where the tokens of the flat list stand in the padded groups, which lie one after another."""

    shapes: list[tuple[int, int]]  # (n, tokens of the longest) of each group
    places: torch.Tensor  # (T,) among the P padded places
    is_real: torch.Tensor  # (P,)


def length_groups(lengths: Sequence[int], group_size: int = GROUP_SIZE) -> list[list[int]]:
    """Row numbers in groups of similar length, longest first; rows of length 0 are in none."""
    order = np.argsort(-np.asarray(lengths), kind="stable")[: np.count_nonzero(lengths)]
    return [order[i : i + group_size].tolist() for i in range(0, len(order), group_size)]


def padded_shapes(lengths: Sequence[int], group_size: int = GROUP_SIZE) -> list[tuple[int, int]]:
    """(sequences, tokens of the longest) of each length group: what attention pads to."""
    return [(len(group), lengths[group[0]]) for group in length_groups(lengths, group_size)]


def encode_unpadded(
    encoder: PreTrainedModel, ids: torch.Tensor, lengths: Sequence[int]
) -> torch.Tensor:
    """Hidden states (N, L, H) of ids (N, L), padded on the right; 0 on padding.

    For encoders that `student.encoders.is_unpadded` names. A sequence of length 0 costs nothing.
    """
    size = GROUP_SIZE if ids.device.type == "cpu" else max(1, -(-len(lengths) // GPU_GROUPS))
    shapes = padded_shapes(lengths, size)
    order = np.concatenate(length_groups(lengths, size))
    longest = np.repeat([width for _, width in shapes], [count for count, _ in shapes])
    place, position = np.nonzero(np.arange(ids.shape[1]) < np.asarray(lengths)[order][:, None])
    source = order[place] * ids.shape[1] + position
    places = (np.cumsum(longest) - longest)[place] + position
    host = torch.from_numpy(np.stack([source, places, position + first_position(encoder)]))
    flat_source, flat_places, position_ids = to_device(host, ids.device)
    is_real = torch.zeros(int(longest.sum()), dtype=torch.bool, device=ids.device)
    layout = Layout(shapes, flat_places, is_real.index_fill_(0, flat_places, True))
    lookup: nn.Module = encoder.get_input_embeddings()
    states = encoder(
        inputs_embeds=lookup(ids.flatten()[flat_source])[None],
        position_ids=position_ids[None],
        layout=layout,
    ).last_hidden_state[0]
    padded = states.new_zeros(ids.numel(), states.shape[-1])
    return padded.index_copy(0, flat_source, states).view(*ids.shape, -1)


def first_position(encoder: PreTrainedModel) -> int:
    """RoBERTa and its kin count positions from the padding id + 1 on, the others from 0."""
    table = getattr(encoder.embeddings, "position_embeddings", None)
    padding = getattr(table, "padding_idx", None)
    return 0 if padding is None else padding + 1


def attend(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    *,
    layout: Layout | None = None,
    dropout: float = 0.0,
    scaling: float = 1.0,
    sliding_window: int | None = None,
    bias: torch.Tensor | None = None,
    **others: Any,
) -> tuple[torch.Tensor, None]:
    """Queries, keys and values (1, A, T, D) → (1, T, A, D): each token sees its own sequence.

    bias: (1, A, L, L), added to the scores of a sequence's places; L = tokens of the longest.
    Without a layout it is transformers' own attention on padded sequences.
    """
    if layout is None:
        return sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **others
        )
    sizes = [count * longest for count, longest in layout.shapes]
    parts = (_pad(states, layout).split(sizes) for states in (query, key, value))
    pieces = []
    for shape, real, *padded in zip(
        layout.shapes, layout.is_real.split(sizes), *parts, strict=True
    ):
        keep = visible(real.view(shape), sliding_window)
        q, k, v = (states.unflatten(0, shape).transpose(1, 2) for states in padded)
        local = None if bias is None else bias[..., : shape[1], : shape[1]].to(q.dtype)
        mixed = _mix(q, k, v, keep, local, dropout, scaling, fused=query.is_cuda)
        pieces.append(mixed.transpose(1, 2).flatten(0, 1))  # (n * longest, A, D)
    return torch.cat(pieces).index_select(0, layout.places)[None], None


def visible(is_real: torch.Tensor, sliding_window: int | None) -> torch.Tensor:
    """(n, L), which tokens are no padding → (n, 1, 1 or L, L), which keys a token sees.

    sliding_window: how far away, and further, a layer's tokens see nothing.
    """
    keep = is_real[:, None, None]
    if sliding_window is None:
        return keep
    place = torch.arange(is_real.shape[1], device=is_real.device)
    near = (place[:, None] - place).abs() < sliding_window
    # Padding sees everything: a row of nothing has no softmax.
    return keep & near | ~keep.transpose(-1, -2)


def _mix(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    keep: torch.Tensor,
    bias: torch.Tensor | None,
    dropout: float,
    scaling: float,
    *,
    fused: bool,
) -> torch.Tensor:
    """Values (n, A, L, D) of a group, mixed where keep (n, 1, 1 or L, L) says so.

    fused: by sdpa, else operation by operation, which is faster in training on a CPU.
    """
    if fused:
        mask = keep if bias is None else torch.where(keep, bias, -torch.inf)
        return nn.functional.scaled_dot_product_attention(
            query, key, value, attn_mask=mask, dropout_p=dropout, scale=scaling
        )
    scores = (query * scaling) @ key.transpose(-1, -2)
    if bias is not None:
        scores = scores + bias
    weights = scores.masked_fill(~keep, torch.finfo(scores.dtype).min).softmax(-1)
    return drop_out(weights, dropout) @ value


def _pad(states: torch.Tensor, layout: Layout) -> torch.Tensor:
    """(1, A, T, D) → (P, A, D)."""
    flat = states[0].transpose(0, 1)
    padded = flat.new_zeros(len(layout.is_real), *flat.shape[1:])
    return padded.index_copy(0, layout.places, flat)


AttentionInterface.register(UNPADDED, attend)
AttentionMaskInterface.register(UNPADDED, sdpa_mask)
