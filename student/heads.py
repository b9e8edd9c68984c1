"""Heads: pooled label logits and token-level rationale logits of one task.

Letters: B = rows, L = tokens, H = hidden size, C = classes.
"""

from collections.abc import Callable

import torch
from torch import nn

from student.head_names import HeadKind, Pooling


class TaskHead(nn.Module):
    """Label logits (B, C) from pooled states, and rationale logits (B, L) where the task has them.

    A rationale logit z is the log-odds that its token belongs to the rationale. backward_size: the
    last values of a state, where those were computed from the text's end on; its `last` state is
    the first token's. max_tokens: the places of `flat`, all states side by side, 0 beyond the text.
    """

    def __init__(
        self,
        hidden_size: int,
        width: int,
        *,
        pooling: Pooling,
        kind: HeadKind,
        dropout: float,
        has_rationale: bool,
        backward_size: int = 0,
        max_tokens: int = 0,
    ) -> None:
        super().__init__()
        self.pooling = pooling
        self.backward_size = backward_size
        self.max_tokens = max_tokens
        self.dropout = nn.Dropout(dropout)
        self.token_weight = nn.Linear(hidden_size, 1) if pooling == "attention" else None
        pooled_size = hidden_size * max_tokens if pooling == "flat" else hidden_size
        self.dense = nn.Linear(pooled_size, hidden_size) if kind == "two_layer" else None
        self.label = nn.Linear(hidden_size if kind == "two_layer" else pooled_size, width)
        self.rationale = nn.Linear(hidden_size, 1) if has_rationale else None

    def forward(
        self, states: torch.Tensor, mask: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """(B, L, H), (B, L) → (B, C) and (B, L) or None."""
        pooled = self.dropout(self._pool(states, mask))
        if self.dense is not None:
            pooled = self.dropout(torch.relu(self.dense(pooled)))
        tokens = None
        if self.rationale is not None:
            tokens = self.rationale(self.dropout(states)).squeeze(-1)
        return self.label(pooled), tokens

    def _pool(self, states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        if self.pooling in POOLED:
            return POOLED[self.pooling](self, states, mask.bool())
        if self.token_weight is None:
            weights = mask.to(states.dtype)
            weights = weights / weights.sum(-1, keepdim=True).clamp(min=1.0)
        else:
            scores = self.token_weight(states).squeeze(-1).float()
            scores = scores.masked_fill(~mask.bool(), torch.finfo(scores.dtype).min)
            weights = scores.softmax(-1).to(states.dtype)
        return (weights[:, None] @ states).squeeze(1)


def _first(head: TaskHead, states: torch.Tensor, is_real: torch.Tensor) -> torch.Tensor:
    """The first token's state."""
    return states[:, 0]


def _largest(head: TaskHead, states: torch.Tensor, is_real: torch.Tensor) -> torch.Tensor:
    """The largest of each value over the real tokens, 0 where there is none (Kim 2014)."""
    lowest = torch.finfo(states.dtype).min
    found = states.masked_fill(~is_real[..., None], lowest).amax(1)
    return found.masked_fill(~is_real.any(1, keepdim=True), 0.0)


def _last(head: TaskHead, states: torch.Tensor, is_real: torch.Tensor) -> torch.Tensor:
    """Where an LSTM ends: at the last real token; in values computed backwards, at the first."""
    place = (is_real.sum(1) - 1).clamp(min=0)[:, None, None].expand(-1, 1, states.shape[2])
    last = states.gather(1, place)[:, 0]
    ahead = states.shape[2] - head.backward_size
    return torch.cat([last[:, :ahead], states[:, 0, ahead:]], dim=1)


def _flat(head: TaskHead, states: torch.Tensor, is_real: torch.Tensor) -> torch.Tensor:
    """(B, L, H) → (B, max_tokens * H)."""
    states = states.masked_fill(~is_real[..., None], 0.0)
    beyond = head.max_tokens - states.shape[1]
    return nn.functional.pad(states, (0, 0, 0, beyond)).flatten(1)


# The poolings that are not a weighted mean: of a head, states (B, L, H), and a mask (B, L).
POOLED: dict[str, Callable[[TaskHead, torch.Tensor, torch.Tensor], torch.Tensor]] = {
    "cls": _first,
    "max": _largest,
    "last": _last,
    "flat": _flat,
}
