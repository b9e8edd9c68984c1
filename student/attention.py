"""Response-to-seeker attention: each response token looks at the seeker's tokens.

Letters: B = rows, L = response tokens, M = seeker tokens, H = hidden size, A = attention heads.
"""

import torch
from torch import nn


class CrossAttention(nn.Module):
    """softmax(Q K^T / sqrt(d)) V with the seeker's padding masked (Sharma et al. 2020, eq. 1).

    A row without any seeker token gets zeros.
    """

    def __init__(self, hidden_size: int, heads: int, dropout: float) -> None:
        super().__init__()
        if hidden_size % heads:
            raise ValueError(
                f"{heads} attention heads do not divide a hidden size of {hidden_size}"
            )
        self.heads = heads
        self.query = nn.Linear(hidden_size, hidden_size)
        self.key = nn.Linear(hidden_size, hidden_size)
        self.value = nn.Linear(hidden_size, hidden_size)
        self.output = nn.Linear(hidden_size, hidden_size)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, response: torch.Tensor, seeker: torch.Tensor, seeker_mask: torch.Tensor
    ) -> torch.Tensor:
        """(B, L, H), (B, M, H), (B, M) → (B, L, H)."""

        def split(states: torch.Tensor) -> torch.Tensor:  # (B, n, H) → (B, A, n, H / A)
            return states.unflatten(-1, (self.heads, -1)).transpose(1, 2)

        query, key = split(self.query(response)), split(self.key(seeker))
        value = split(self.value(seeker))
        scores = query @ key.transpose(-1, -2) / (query.shape[-1] ** 0.5)
        hidden = ~seeker_mask.bool()[:, None, None, :]
        # A finite minimum, not -inf: a row that masks everything must not become NaN.
        scores = scores.masked_fill(hidden, torch.finfo(scores.dtype).min)
        weights = self.dropout(scores.softmax(-1).masked_fill(hidden, 0.0))
        mixed = self.output((weights @ value).transpose(1, 2).flatten(-2))
        has_seeker = seeker_mask.bool().any(-1)[:, None, None]
        return mixed * has_seeker.to(mixed.dtype)
