"""Response-to-seeker attention: each response token looks at the seeker's tokens.

Multi-head attention, talking heads, a dense synthesizer, or a weighted sum of them. All hide the
seeker's padding and give zeros to a row without any seeker token.

Letters: B = rows, L = response tokens, M = seeker tokens, H = hidden size, A = attention heads,
N = most seeker tokens that a synthesizer reads.
"""

import torch
from torch import nn

from data.errors import InputError


class CrossAttention(nn.Module):
    """softmax(Q K^T / sqrt(d)) V with the seeker's padding masked (Sharma et al. 2020, eq. 1).

    talking: the heads' scores are mixed linearly before softmax, and their weights after it
    (Shazeer et al. 2020, "Talking-Heads Attention"), without a bias: a hidden token keeps the
    weight 0. Raises InputError when the heads do not divide the hidden size.
    """

    def __init__(
        self, hidden_size: int, heads: int, dropout: float, *, talking: bool = False
    ) -> None:
        super().__init__()
        if hidden_size % heads:
            raise InputError(
                f"attention_heads: {heads} attention heads do not divide a hidden size of "
                f"{hidden_size}: choose a number that does"
            )
        self.heads = heads
        self.query = nn.Linear(hidden_size, hidden_size)
        self.key = nn.Linear(hidden_size, hidden_size)
        self.value = nn.Linear(hidden_size, hidden_size)
        self.output = nn.Linear(hidden_size, hidden_size)
        self.dropout = nn.Dropout(dropout)
        # The identity: they start as multi-head attention.
        self.mix_scores = nn.Parameter(torch.eye(heads)) if talking else None
        self.mix_weights = nn.Parameter(torch.eye(heads)) if talking else None

    def forward(
        self, response: torch.Tensor, seeker: torch.Tensor, seeker_mask: torch.Tensor
    ) -> torch.Tensor:
        """(B, L, H), (B, M, H), (B, M) → (B, L, H)."""

        def split(states: torch.Tensor) -> torch.Tensor:  # (B, n, H) → (B, A, n, H / A)
            return states.unflatten(-1, (self.heads, -1)).transpose(1, 2)

        query, key = split(self.query(response)), split(self.key(seeker))
        value = split(self.value(seeker))
        scores = _mixed(query @ key.transpose(-1, -2) / (query.shape[-1] ** 0.5), self.mix_scores)
        weights = self.dropout(_masked_softmax(scores, seeker_mask[:, None, None]))
        weights = _mixed(weights, self.mix_weights)
        found = self.output((weights @ value).transpose(1, 2).flatten(-2))
        return _without_seeker_zero(found, seeker_mask)


class DenseSynthesizer(nn.Module):
    """B V, where B = softmax(W_s ReLU(W_d response)): weights that depend on the response alone
    (Tay et al. 2021, "Synthesizer: Rethinking Self-Attention for Transformer Models", sec. 3.2).

    max_tokens: N, a score each; a shorter seeker has the first of them, and what stands beyond N
    in a longer one is not read.
    """

    def __init__(self, hidden_size: int, max_tokens: int, dropout: float) -> None:
        super().__init__()
        self.max_tokens = max_tokens
        self.dense = nn.Linear(hidden_size, hidden_size)
        self.score = nn.Linear(hidden_size, max_tokens)
        self.value = nn.Linear(hidden_size, hidden_size)
        self.output = nn.Linear(hidden_size, hidden_size)
        self.dropout = nn.Dropout(dropout)

    def weights(self, response: torch.Tensor, seeker_mask: torch.Tensor) -> torch.Tensor:
        """(B, L, H), (B, M) → (B, L, M), where M is at most N."""
        scores = self.score(torch.relu(self.dense(response)))[..., : seeker_mask.shape[1]]
        return _masked_softmax(scores, seeker_mask[:, None])

    def forward(
        self, response: torch.Tensor, seeker: torch.Tensor, seeker_mask: torch.Tensor
    ) -> torch.Tensor:
        """(B, L, H), (B, M, H), (B, M) → (B, L, H)."""
        value = self.value(seeker[:, : self.max_tokens])
        weights = self.dropout(self.weights(response, seeker_mask[:, : self.max_tokens]))
        return _without_seeker_zero(self.output(weights @ value), seeker_mask)


class WeightedSum(nn.Module):
    """(1 - weight) * one attention + weight * another."""

    def __init__(self, base: nn.Module, other: nn.Module, weight: float) -> None:
        super().__init__()
        self.base = base
        self.other = other
        self.weight = weight

    def forward(
        self, response: torch.Tensor, seeker: torch.Tensor, seeker_mask: torch.Tensor
    ) -> torch.Tensor:
        """(B, L, H), (B, M, H), (B, M) → (B, L, H)."""
        base: torch.Tensor = self.base(response, seeker, seeker_mask)
        other: torch.Tensor = self.other(response, seeker, seeker_mask)
        return (1.0 - self.weight) * base + self.weight * other


def new_attention(
    hidden_size: int, *, heads: int, talking: float, dense: float, dropout: float, max_tokens: int
) -> nn.Module:
    """(1 - dense) * ((1 - talking) * multi-head + talking * talking heads) + dense * synthesizer.

    What has no weight is not built: DDP stops at a parameter without a gradient.
    Raises InputError when the heads do not divide the hidden size.
    """
    if dense == 1.0:
        return DenseSynthesizer(hidden_size, max_tokens, dropout)
    attention: nn.Module = CrossAttention(hidden_size, heads, dropout, talking=talking == 1.0)
    if 0.0 < talking < 1.0:
        other = CrossAttention(hidden_size, heads, dropout, talking=True)
        attention = WeightedSum(attention, other, talking)
    if dense > 0.0:
        synthesizer = DenseSynthesizer(hidden_size, max_tokens, dropout)
        attention = WeightedSum(attention, synthesizer, dense)
    return attention


def _mixed(each: torch.Tensor, matrix: torch.Tensor | None) -> torch.Tensor:
    """(B, A, L, M) → the same, head c as the sum over heads a of matrix[c, a] times head a."""
    return each if matrix is None else torch.einsum("ca,balm->bclm", matrix, each)


def _masked_softmax(scores: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """(…, L, M) and a mask that broadcasts to it → weights, 0 for hidden tokens."""
    hidden = ~mask.bool()
    # A finite minimum, not -inf: a row that masks everything must not become NaN.
    scores = scores.masked_fill(hidden, torch.finfo(scores.dtype).min)
    return scores.softmax(-1).masked_fill(hidden, 0.0)


def _without_seeker_zero(found: torch.Tensor, seeker_mask: torch.Tensor) -> torch.Tensor:
    """(B, L, H), (B, M) → (B, L, H), zeros for a row without a seeker token."""
    has_seeker = seeker_mask.bool().any(-1)[:, None, None]
    return found * has_seeker.to(found.dtype)
