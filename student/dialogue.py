"""The dialogue encoder: sentences of turns, then the turns among each other, then one vector.

After the self-attentive emotion recognition models: a sentence encoder on each turn, a recurrence
over the turns, multi-head self-attention with positions, attention pooling. A text is a window of
turns, each of which begins with its speaker's mark (data/readers/dialogues.py).

Letters: B = rows, L = tokens, T = turns of the longest window, W = tokens of the longest turn,
N = turns of all rows, E = values of an embedding, S = of a sentence, H = hidden size.
"""

import math
from typing import Any

import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence
from transformers import AutoConfig, AutoModel, PreTrainedConfig, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutput

DIALOGUE_TYPE = "kd_dialogue"
# Hidden size of the recurrence, in each direction, and heads of the attention among turns.
UNITS = 128
HEADS = 4


class DialogueConfig(PreTrainedConfig):
    """Configuration of a DialogueModel.

    encoder: that of its sentence encoder. first_mark: the id of the first of `speakers` marks,
    which follow the sentence encoder's own pieces.
    """

    model_type = DIALOGUE_TYPE

    def __init__(
        self,
        encoder: dict[str, Any] | None = None,
        first_mark: int = 0,
        speakers: int = 9,
        dropout: float = 0.1,
        **kwargs: Any,
    ) -> None:
        self.encoder = encoder or {}
        self.first_mark = first_mark
        self.speakers = speakers
        self.dropout = dropout
        kwargs.setdefault("tie_word_embeddings", False)
        super().__init__(**kwargs)

    @property
    def hidden_size(self) -> int:
        """Values of the vector of a window."""
        return 2 * UNITS

    @property
    def sentence_config(self) -> PreTrainedConfig:
        """The sentence encoder's configuration."""
        about = {key: value for key, value in self.encoder.items() if key != "model_type"}
        return AutoConfig.for_model(self.encoder["model_type"], **about)


class MarkedEmbedding(nn.Module):
    """A table of pieces beside one of speakers' marks; says of each token whether it is a mark."""

    def __init__(self, pieces: nn.Module, first_mark: int, speakers: int) -> None:
        super().__init__()
        self._pieces = (pieces,)  # no child: its weights are the sentence encoder's
        self.first_mark = first_mark
        self.marks = nn.Embedding(speakers, pieces.get_parameter("weight").shape[1])

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """(B, L) → (B, L, E + 1); the last value is 1 for a mark, else 0."""
        is_mark = ids >= self.first_mark
        pieces = self._pieces[0](ids.masked_fill(is_mark, 0))
        marks = self.marks((ids - self.first_mark).clamp(min=0))
        states = torch.where(is_mark[..., None], marks.to(pieces.dtype), pieces)
        return torch.cat([states, is_mark[..., None].to(states.dtype)], dim=-1)


class TurnPooling(nn.Module):
    """The sum of turns weighted by softmax(v · tanh(W m)), padding masked (Bahdanau 2015)."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.dense = nn.Linear(size, size)
        self.score = nn.Linear(size, 1, bias=False)

    def weights(self, turns: torch.Tensor, is_turn: torch.Tensor) -> torch.Tensor:
        """(B, T, H), (B, T) → (B, T), which sum to 1 over the turns that are there."""
        scores = self.score(torch.tanh(self.dense(turns))).squeeze(-1).float()
        return scores.masked_fill(~is_turn, torch.finfo(scores.dtype).min).softmax(-1)

    def forward(self, turns: torch.Tensor, is_turn: torch.Tensor) -> torch.Tensor:
        """(B, T, H), (B, T) → (B, H)."""
        weights = self.weights(turns, is_turn).to(turns.dtype)
        return (weights[:, None] @ turns).squeeze(1)


class TurnLayers(nn.Module):
    """Turns among each other: a bidirectional GRU, self-attention with positions, pooling.

    Position 0 is the turn that is asked about.
    """

    def __init__(self, sentence_size: int, dropout: float) -> None:
        super().__init__()
        self.recurrence = nn.GRU(sentence_size, UNITS, batch_first=True, bidirectional=True)
        self.attention = nn.MultiheadAttention(2 * UNITS, HEADS, dropout, batch_first=True)
        self.norm = nn.LayerNorm(2 * UNITS)
        self.pooling = TurnPooling(2 * UNITS)
        self.dropout = nn.Dropout(dropout)

    def forward(self, sentences: torch.Tensor, is_turn: torch.Tensor) -> torch.Tensor:
        """(B, T, S), (B, T), each row with a turn at least → (B, H)."""
        packed = pack_padded_sequence(
            sentences, is_turn.sum(1).cpu(), batch_first=True, enforce_sorted=False
        )
        states, _ = pad_packed_sequence(
            self.recurrence(packed)[0], batch_first=True, total_length=sentences.shape[1]
        )
        placed = states + positions(states.shape[1], states.shape[2]).to(states)
        attended, _ = self.attention(
            placed, placed, placed, key_padding_mask=~is_turn, need_weights=False
        )
        pooled: torch.Tensor = self.pooling(self.norm(states + self.dropout(attended)), is_turn)
        return pooled


class DialogueModel(PreTrainedModel):
    """A sentence encoder with the layers among turns on it.

    Every token's state is the vector of its window, so any pooling of a head gives that vector.
    """

    config_class = DialogueConfig
    base_model_prefix = "dialogue"
    main_input_name = "input_ids"
    _supports_sdpa = True
    # Modules without pretrained weights learn at the rate of the heads.
    fresh = ("turns", "embedding.marks")

    def __init__(self, config: DialogueConfig) -> None:
        super().__init__(config)
        about = config.sentence_config
        self.sentences = AutoModel.from_config(about, attn_implementation="eager")
        if getattr(self.sentences, "pooler", None) is not None:
            self.sentences.pooler = None  # it is never asked, and DDP minds
        self.embedding = MarkedEmbedding(
            self.sentences.get_input_embeddings(), config.first_mark, config.speakers
        )
        self.turns = TurnLayers(about.hidden_size, config.dropout)
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        """The table of pieces and marks."""
        return self.embedding

    def _init_weights(self, module: nn.Module) -> None:
        """torch has initialised the new layers, and the sentence encoder itself."""

    def forward(
        self,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        inputs_embeds: torch.Tensor | None = None,
    ) -> BaseModelOutput:
        """(B, L) or (B, L, E + 1), and a mask (B, L), padded on the right → states (B, L, H)."""
        states = self.embedding(input_ids) if inputs_embeds is None else inputs_embeds
        if attention_mask is None:
            attention_mask = states.new_ones(states.shape[:2], dtype=torch.long)
        is_real = attention_mask.bool()
        grid, is_word = split_turns(states[..., :-1], (states[..., -1] > 0.5) & is_real, is_real)
        is_turn = is_word.any(-1)
        sentences = grid.new_zeros(*is_turn.shape, self.turns.recurrence.input_size)
        words = is_word[is_turn].to(grid.dtype)
        read = self.sentences(
            inputs_embeds=grid[is_turn], attention_mask=is_word[is_turn].long()
        ).last_hidden_state  # (N, W, S)
        mean = (words[:, None] @ read).squeeze(1) / words.sum(-1, keepdim=True)
        sentences = sentences.masked_scatter(is_turn[..., None], mean.to(sentences.dtype))
        window = self.turns(sentences, is_turn)
        return BaseModelOutput(
            last_hidden_state=window[:, None] * attention_mask[..., None].to(window.dtype)
        )


def split_turns(
    states: torch.Tensor, begins: torch.Tensor, is_real: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """(B, L, E), (B, L) where a turn begins, (B, L) → (B, T, W, E), and (B, T, W) which are real.

    What stands before the first mark, such as [CLS], belongs to the first turn; a text without
    any mark is one turn.
    """
    rows, length = is_real.shape
    place = torch.arange(length, device=states.device).expand(rows, -1)
    turn = (begins.cumsum(1) - 1).clamp(min=0)
    is_later = begins & (turn > 0)
    start = torch.where(is_later, place, 0).cummax(1).values
    within = place - start
    turns, width = int(turn.max()) + 1, int(within[is_real].max()) + 1
    row = torch.arange(rows, device=states.device)[:, None].expand(-1, length)[is_real]
    where = (row, turn[is_real], within[is_real])
    grid = states.new_zeros(rows, turns, width, states.shape[2]).index_put(where, states[is_real])
    is_word = is_real.new_zeros(rows, turns, width)
    is_word[where] = True
    return grid, is_word


def positions(count: int, size: int) -> torch.Tensor:
    """Sinusoidal positions (count, size) (Vaswani et al. 2017, section 3.5)."""
    rates = torch.exp(torch.arange(0, size, 2) * (-math.log(10000.0) / size))
    angles = torch.arange(count)[:, None] * rates
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)


def on_sentences(sentences: PreTrainedModel, first_mark: int, speakers: int) -> DialogueModel:
    """A dialogue encoder with fresh layers on a sentence encoder, whose weights are copied."""
    config = DialogueConfig(sentences.config.to_dict(), first_mark, speakers)
    model = DialogueModel(config)
    model.sentences.load_state_dict(sentences.state_dict())
    pieces = sentences.get_input_embeddings().get_parameter("weight").detach()
    nn.init.normal_(model.embedding.marks.weight, std=float(pieces.std()))
    return model.eval()


AutoConfig.register(DIALOGUE_TYPE, DialogueConfig)
AutoModel.register(DialogueConfig, DialogueModel)
