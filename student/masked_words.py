"""MaskedWordModel: an encoder under its masked-language-model head, to be trained on plain text.

Letters: B = texts, L = tokens, K = chosen tokens, H = hidden size, V = vocabulary.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import (
    MODEL_FOR_MASKED_LM_MAPPING,
    AutoConfig,
    AutoModelForMaskedLM,
    PreTrainedModel,
)
from transformers.modeling_outputs import BaseModelOutput

from data.errors import InputError
from student.dropout import replace_dropout
from student.encoders import (
    STUDENT_TYPE,
    attention_implementation,
    encode,
    load_encoder,
    locate,
    new_encoder,
)


class _Passed(nn.Module):
    """Stands for the encoder inside a masked language model: its states are given."""

    def forward(self, *_: Any, inputs_embeds: torch.Tensor, **__: Any) -> BaseModelOutput:
        """Hidden states (1, K, H) as they come."""
        return BaseModelOutput(last_hidden_state=inputs_embeds)


class MaskedWordModel(nn.Module):
    """A masked language model of transformers, taken apart: its encoder, and what stands above.

    The encoder then runs as a student's does, and the head, whose matrix is as tall as the
    vocabulary, reads the chosen tokens alone, a seventh of all.
    """

    def __init__(self, whole: PreTrainedModel) -> None:
        super().__init__()
        self.encoder: PreTrainedModel = _as_of_students(whole)
        setattr(whole, whole.base_model_prefix, _Passed())
        self.head = whole
        replace_dropout(self)
        every, once = (dict(self.named_parameters(remove_duplicate=d)) for d in (False, True))
        self.tied = every.keys() - once.keys()
        # A tied matrix is saved once, under its first name, and is there when that is loaded.
        self.register_state_dict_post_hook(_without_tied)
        self.register_load_state_dict_post_hook(_forgive_tied)

    def forward(
        self, input_ids: torch.Tensor, lengths: Sequence[int], places: torch.Tensor
    ) -> torch.Tensor:
        """Logits (K, V) of the tokens at `places` (K,) among the B * L of input_ids (B, L).

        lengths: (B,) real tokens of each text, which is padded on the right.
        """
        states = encode(self.encoder, input_ids, lengths).flatten(0, 1)[places]
        logits: torch.Tensor = self.head(inputs_embeds=states[None]).logits
        return logits[0]

    def save(self, folder: Path, weights: Mapping[str, torch.Tensor]) -> None:
        """Write config.json and model.safetensors of the whole model, with such weights."""
        config = self.encoder.config
        config._name_or_path = ""  # the folder it was loaded from is this machine's business
        whole = AutoModelForMaskedLM.from_config(config)
        model = MaskedWordModel(whole)
        model.load_state_dict(weights)
        setattr(whole, whole.base_model_prefix, model.encoder)
        whole.save_pretrained(folder)


def _as_of_students(whole: PreTrainedModel) -> PreTrainedModel:
    """The encoder inside a masked language model, of the class that students have."""
    inside: PreTrainedModel = getattr(whole, whole.base_model_prefix)
    encoder = new_encoder(inside.config)
    if type(encoder) is type(inside):
        return inside
    encoder.load_state_dict(inside.state_dict())
    setattr(whole, whole.base_model_prefix, encoder)
    whole.tie_weights()
    return encoder


def _without_tied(model: MaskedWordModel, state: dict[str, Any], prefix: str, _: object) -> None:
    for name in model.tied:
        del state[prefix + name]


def _forgive_tied(model: MaskedWordModel, keys: Any) -> None:
    keys.missing_keys[:] = [
        key for key in keys.missing_keys if key.removeprefix("module.") not in model.tied
    ]


def load_masked_word_model(name: str) -> tuple[MaskedWordModel, bool]:
    """A pretrained encoder in float32 under its head, and whether the head is pretrained too.

    name: as of `student.encoders.load_encoder`. A head that is not pretrained, as that of a
    sentence encoder or a student, is drawn from torch's generator; what it reads words off is the
    encoder's own table of embeddings, where the architecture ties the two.
    Raises InputError where `load_encoder` does, and for an architecture without such a head.
    """
    encoder = load_encoder(name)  # and says what is wrong with its files
    config = encoder.config
    if type(config) not in MODEL_FOR_MASKED_LM_MAPPING:
        raise InputError(
            f"encoder {name!r}: type {config.model_type!r} guesses no masked words in "
            f"transformers: give one that does, such as BERT, RoBERTa or ModernBERT"
        )
    place, attention = locate(name), attention_implementation(config)
    if AutoConfig.from_pretrained(place).model_type == STUDENT_TYPE:
        whole = AutoModelForMaskedLM.from_config(config, attn_implementation=attention)
        getattr(whole, whole.base_model_prefix).load_state_dict(encoder.state_dict())
        return MaskedWordModel(whole), False
    whole, report = AutoModelForMaskedLM.from_pretrained(
        place, dtype=torch.float32, attn_implementation=attention, output_loading_info=True
    )
    return MaskedWordModel(whole), not report["missing_keys"]
