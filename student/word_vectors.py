"""Encoders on word vectors: a table of vectors, and a small network that reads them in order.

The baselines of Hosseini & Caragea (2021): a CNN (Kim 2014, "Convolutional Neural Networks for
Sentence Classification"), LSTMs, and a convolution below an LSTM (as in C-LSTM, Zhou et al. 2015).
As encoders of transformers they are trained, saved, loaded and asked like any other.

Letters: B = rows, L = tokens, E = values of a vector, H = hidden size.
"""

from typing import Any

import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence
from transformers import AutoConfig, AutoModel, PreTrainedConfig, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutput

from student.word_names import Kind

WORD_VECTORS_TYPE = "kd_word_vectors"
RECURRENT: tuple[Kind, ...] = ("lstm", "bilstm", "conv_lstm")
# Hidden size of an LSTM, in each direction (Hosseini & Caragea 2021).
UNITS = 128
# Of each width of a convolution (Kim 2014).
MAPS = 100
# Tokens that a convolution sees: of the CNN, and of the one below an LSTM.
WIDTHS, LSTM_WIDTHS = (3, 4, 5), (3,)
# Random vectors are drawn from -RANGE to RANGE, which gives about the variance of trained ones.
RANGE = 0.25


class WordVectorConfig(PreTrainedConfig):
    """Configuration of a WordVectorModel."""

    model_type = WORD_VECTORS_TYPE

    def __init__(
        self,
        kind: Kind = "bilstm",
        vocab_size: int = 2,
        vector_size: int = 100,
        frozen: bool = False,
        dropout: float = 0.0,
        pad_token_id: int = 0,
        **kwargs: Any,
    ) -> None:
        self.kind = kind
        self.vocab_size = vocab_size
        self.vector_size = vector_size
        self.frozen = frozen
        self.dropout = dropout
        self.pad_token_id = pad_token_id
        kwargs.setdefault("tie_word_embeddings", False)
        super().__init__(**kwargs)

    @property
    def hidden_size(self) -> int:
        """Values of a token's state."""
        sizes = {
            "cnn": MAPS * len(WIDTHS),
            "lstm": UNITS,
            "bilstm": 2 * UNITS,
            "conv_lstm": UNITS,
            "mlp": self.vector_size,
        }
        return sizes[self.kind]

    @property
    def backward_size(self) -> int:
        """How many of them, the last ones, were computed from the text's end on."""
        return UNITS if self.kind == "bilstm" else 0


class Convolution(nn.Module):
    """ReLU of convolutions of some widths, side by side, each token in the middle of its window."""

    def __init__(self, size: int, widths: tuple[int, ...]) -> None:
        super().__init__()
        self.of_width = nn.ModuleDict({str(w): nn.Conv1d(size, MAPS, w) for w in widths})

    def forward(self, states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """(B, L, E), (B, L) → (B, L, maps of all widths); padding reads as zeros."""
        columns = (states * mask[..., None].to(states.dtype)).transpose(1, 2)
        found = []
        for width, convolution in self.of_width.items():
            around = int(width) - 1
            padded = nn.functional.pad(columns, (around // 2, around - around // 2))
            found.append(convolution(padded))
        return torch.relu(torch.cat(found, dim=1)).transpose(1, 2)


class Recurrence(nn.Module):
    """An LSTM over the real tokens of each row, in one direction or in both."""

    def __init__(self, size: int, *, both_ways: bool) -> None:
        super().__init__()
        self.cells = nn.LSTM(size, UNITS, batch_first=True, bidirectional=both_ways)

    def forward(self, states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """(B, L, E), (B, L), padded on the right → (B, L, H), 0 on padding."""
        lengths = mask.sum(-1).clamp(min=1).cpu()
        packed = pack_padded_sequence(states, lengths, batch_first=True, enforce_sorted=False)
        found, _ = pad_packed_sequence(
            self.cells(packed)[0], batch_first=True, total_length=states.shape[1]
        )
        return found


class WordVectorModel(PreTrainedModel):
    """The table and its network. `mlp` has no network: the two layers of a head are the MLP."""

    config_class = WordVectorConfig
    base_model_prefix = "word_vectors"
    main_input_name = "input_ids"
    # It has no attention: whichever is asked for is right.
    _supports_sdpa = True

    def __init__(self, config: WordVectorConfig) -> None:
        super().__init__(config)
        size = config.vector_size
        self.words = nn.Embedding(config.vocab_size, size, padding_idx=config.pad_token_id)
        self.words.weight.requires_grad_(not config.frozen)
        self.dropout = nn.Dropout(config.dropout)
        layers: list[nn.Module] = []
        if config.kind in ("cnn", "conv_lstm"):
            layers.append(Convolution(size, WIDTHS if config.kind == "cnn" else LSTM_WIDTHS))
            size = MAPS
        if config.kind in RECURRENT:
            layers.append(Recurrence(size, both_ways=config.kind == "bilstm"))
        self.layers = nn.ModuleList(layers)
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        """Uniform vectors, 0 for padding (Kim 2014); torch has initialised the rest."""
        if module is self.words:
            with torch.no_grad():
                nn.init.uniform_(self.words.weight, -RANGE, RANGE)
                self.words.weight[self.config.pad_token_id] = 0.0

    def get_input_embeddings(self) -> nn.Module:
        """The table of vectors."""
        return self.words

    def forward(
        self,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        inputs_embeds: torch.Tensor | None = None,
    ) -> BaseModelOutput:
        """(B, L) or (B, L, E), and a mask (B, L), padded on the right → states (B, L, H)."""
        states = self.words(input_ids) if inputs_embeds is None else inputs_embeds
        if attention_mask is None:
            attention_mask = states.new_ones(states.shape[:2], dtype=torch.long)
        states = self.dropout(states)
        for layer in self.layers:
            states = layer(states, attention_mask)
        return BaseModelOutput(
            last_hidden_state=states * attention_mask[..., None].to(states.dtype)
        )


AutoConfig.register(WORD_VECTORS_TYPE, WordVectorConfig)
AutoModel.register(WordVectorConfig, WordVectorModel)
