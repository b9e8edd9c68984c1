"""MPNet for the unpadded forward: its attention has a bias by distance, and calls no function.

transformers lets other encoders' attention be replaced by name; MPNet's is written into its
modules, so two of them are derived here. On padded sequences they do what transformers' do.

Letters: T = tokens of all sequences together, L = tokens of the longest, H = hidden size,
A = attention heads, D = H / A.
"""

from typing import Any

import torch
from transformers import AutoModel, MPNetConfig
from transformers.modeling_outputs import BaseModelOutput
from transformers.models.mpnet import modeling_mpnet

from student.unpadded import Layout, attend


class MPNetSelfAttention(modeling_mpnet.MPNetSelfAttention):
    """Attention that takes a layout where its layer passes the mask on."""

    def forward(  # type: ignore[override]
        self,
        hidden_states: torch.Tensor,
        attention_mask: torch.Tensor | Layout | None = None,
        position_bias: torch.Tensor | None = None,
        **others: Any,
    ) -> tuple[torch.Tensor, ...]:
        """With a layout: (1, T, H) and a bias (1, A, L, L) → (1, T, H)."""
        if not isinstance(attention_mask, Layout):
            return super().forward(  # type: ignore[no-any-return]
                hidden_states, attention_mask, position_bias, **others
            )
        query, key, value = (
            part(hidden_states).unflatten(-1, (self.num_attention_heads, -1)).transpose(1, 2)
            for part in (self.q, self.k, self.v)
        )
        mixed, _ = attend(
            self,
            query,
            key,
            value,
            None,
            layout=attention_mask,
            dropout=self.dropout.p if self.training else 0.0,
            scaling=self.attention_head_size**-0.5,
            bias=position_bias,
        )
        return (self.o(mixed.flatten(2)),)


class MPNetModel(modeling_mpnet.MPNetModel):
    """MPNet that can be given a layout; named as transformers' own, which its config.json says."""

    def __init__(self, config: MPNetConfig, add_pooling_layer: bool = True) -> None:
        super().__init__(config, add_pooling_layer)
        for layer in self.encoder.layer:
            layer.attention.attn = MPNetSelfAttention(config)  # type: ignore[union-attr]
        self.post_init()

    def forward(self, *arguments: Any, layout: Layout | None = None, **inputs: Any) -> Any:
        """With a layout: inputs_embeds (1, T, H) and position_ids (1, T) of a flat list."""
        if layout is None:
            return super().forward(*arguments, **inputs)
        states = self.embeddings(**inputs)
        longest = max(width for _, width in layout.shapes)
        bias = self.encoder.compute_position_bias(states.new_empty(1, longest))
        for layer in self.encoder.layer:
            states = layer(states, layout, bias)[0]
        return BaseModelOutput(last_hidden_state=states)


AutoModel.register(MPNetConfig, MPNetModel, exist_ok=True)
