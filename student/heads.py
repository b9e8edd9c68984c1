"""Heads: pooled label logits and token-level rationale logits of one task.

Letters: B = rows, L = tokens, H = hidden size, C = classes.
"""

from typing import Literal

import torch
from torch import nn

Pooling = Literal["cls", "mean", "attention"]
HeadKind = Literal["linear", "two_layer"]


class TaskHead(nn.Module):
    """Label logits (B, C) from pooled states, and rationale logits (B, L) where the task has them.

    A rationale logit z is the log-odds that its token belongs to the rationale.
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
    ) -> None:
        super().__init__()
        self.pooling = pooling
        self.dropout = nn.Dropout(dropout)
        self.token_weight = nn.Linear(hidden_size, 1) if pooling == "attention" else None
        self.dense = nn.Linear(hidden_size, hidden_size) if kind == "two_layer" else None
        self.label = nn.Linear(hidden_size, width)
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
        if self.pooling == "cls":
            return states[:, 0]
        if self.token_weight is None:
            weights = mask.to(states.dtype)
            weights = weights / weights.sum(-1, keepdim=True).clamp(min=1.0)
        else:
            scores = self.token_weight(states).squeeze(-1).float()
            scores = scores.masked_fill(~mask.bool(), torch.finfo(scores.dtype).min)
            weights = scores.softmax(-1).to(states.dtype)
        return (weights[:, None] @ states).squeeze(1)
