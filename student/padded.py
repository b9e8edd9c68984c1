"""A student's forward on padded rows in operations that can be traced, for the ONNX graph.

Where texts and contexts have one encoder, they go through it side by side, a row's context behind
its text: half as many operations, each on twice the tokens. Attention alone takes them apart.

Letters: B = rows, L = text tokens, M = context tokens, N = tokens of either, T = L + M,
H = hidden size, A = attention heads, D = H / A.
"""

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from transformers import AttentionInterface, PreTrainedModel

from student.model import StudentModel
from student.unpadded import UNPADDED, first_position, visible

# The name under which transformers finds `attend_apart`.
SIDE_BY_SIDE = "side_by_side"
# ids (B, N) and mask (B, N)
Text = tuple[torch.Tensor, torch.Tensor]


class PaddedStudent(nn.Module):
    """A student's forward on padded rows: the student's own gathers the real tokens in Python.

    Its attention and heads are the student's, its encoders copies.
    """

    def __init__(self, model: StudentModel) -> None:
        super().__init__()
        self.specs = model.specs
        self.encoder = traceable(model.encoder)
        separate = model.context_encoder
        self.context_encoder = traceable(separate) if separate is not None else None
        self.attention = model.attention
        self.heads = model.heads
        self.eval()

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        context_ids: torch.Tensor | None = None,
        context_mask: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, ...]:
        """(B, L), (B, L), (B, M), (B, M) → each task's logits (B, C) and then, where it has a
        rationale, its log-odds (B, L)."""
        text = (input_ids, attention_mask)
        if self.attention is None:
            (states,) = encode_padded(self.encoder, [text])
            attended = states
        else:
            assert context_ids is not None
            assert context_mask is not None
            context = (context_ids, context_mask)
            if self.context_encoder is None:
                states, seeker = encode_padded(self.encoder, [text, context])
            else:
                (states,) = encode_padded(self.encoder, [text])
                (seeker,) = encode_padded(self.context_encoder, [context])
            attended = states + self.attention(states, seeker, context_mask)
        answers = []
        for spec in self.specs:
            label, tokens = self.heads[spec.name](
                attended if spec.has_context else states, attention_mask
            )
            answers.append(label.float())
            if tokens is not None:
                answers.append(tokens.float())
        return tuple(answers)


def traceable(encoder: PreTrainedModel) -> PreTrainedModel:
    """A copy of an encoder that attends on padded rows: by `attend_apart` where the student's own
    is `unpadded`, else by transformers' eager.

    Both hide by a finite minimum, so a row of padding alone does not become NaN.
    """
    twin = copy.deepcopy(encoder)
    is_reached = encoder.config._attn_implementation == UNPADDED
    twin.set_attn_implementation(SIDE_BY_SIDE if is_reached else "eager")
    return twin


def encode_padded(encoder: PreTrainedModel, texts: Sequence[Text]) -> list[torch.Tensor]:
    """The states (B, N, H) of each of a row's texts, by a copy that `traceable` made."""
    # By embeddings, as in `encode`: some encoders count positions by the ids that are no padding.
    lookup: nn.Module = encoder.get_input_embeddings()
    if encoder.config._attn_implementation != SIDE_BY_SIDE:
        return [
            encoder(inputs_embeds=lookup(ids), attention_mask=mask).last_hidden_state
            for ids, mask in texts
        ]
    widths = [ids.shape[1] for ids, _ in texts]
    states: torch.Tensor = encoder(
        inputs_embeds=lookup(torch.cat([ids for ids, _ in texts], dim=1)),
        position_ids=torch.cat([torch.arange(n) for n in widths])[None] + first_position(encoder),
        is_real=[mask.bool() for _, mask in texts],
    ).last_hidden_state
    return list(states.split(widths, dim=1))


def attend_apart(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    *,
    is_real: Sequence[torch.Tensor],
    scaling: float,
    sliding_window: int | None = None,
    **others: Any,
) -> tuple[torch.Tensor, None]:
    """Queries, keys and values (B, A, T, D) → (B, T, A, D): a token sees its own text alone.

    is_real: (B, N) of each text, which tokens are no padding.
    """
    widths = [real.shape[1] for real in is_real]
    parts = (states.split(widths, dim=2) for states in (query, key, value))
    found = []
    for real, q, k, v in zip(is_real, *parts, strict=True):
        # Added: a graph is slower to choose between the scores and a constant.
        keep = visible(real, sliding_window)
        hidden = q.new_zeros(()).masked_fill(~keep, torch.finfo(q.dtype).min)
        found.append((q @ k.transpose(-1, -2) * scaling + hidden).softmax(-1) @ v)
    return torch.cat(found, dim=2).transpose(1, 2), None


AttentionInterface.register(SIDE_BY_SIDE, attend_apart)
