"""The audio encoder: an Audio Spectrogram Transformer that fetches the clips it is asked about.

After the audio teacher of 3M-Health: AST (Gong et al. 2021, "AST: Audio Spectrogram Transformer").
The clip of a row is its only token, and the clip's number is the token's id, so such a model is
trained, saved and asked like any other.

Letters: N = clips, B = rows, F = frames of a clip, M = mel bins of a frame, H = hidden size.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from transformers import ASTConfig, ASTModel, AutoConfig, AutoModel, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutput

from data.batches import to_device
from data.errors import InputError

AUDIO_TYPE = "kd_audio"
AST_TYPE = ASTConfig.model_type
# CLS and distillation token, before the patches.
SPECIAL = 2
# Of an AST's configuration, what a copy of it with fewer frames does not share or need.
NOT_COPIED = {"model_type", "max_length", "architectures", "id2label", "label2id"}

Features = npt.NDArray[np.floating[Any]]


class AudioConfig(ASTConfig):
    """An AST's configuration, with the mean and standard deviation of the features it learnt on."""

    model_type = AUDIO_TYPE
    mean: float = 0.0
    std: float = 0.5
    tie_word_embeddings: bool = False


class AudioModel(PreTrainedModel):
    """An AST on clips by number; its state is the mean of its two special tokens' (AST's pooling).

    The clips are no part of the model: `attach` says where they are.
    """

    config_class = AudioConfig
    base_model_prefix = "audio"
    main_input_name = "inputs_embeds"
    _supports_sdpa = True

    def __init__(self, config: AudioConfig) -> None:
        super().__init__(config)
        self.ast = ASTModel._from_config(config, attn_implementation="sdpa")
        # A clip's number stands for it up to the forward pass: only those at hand are fetched.
        self.numbers = nn.Identity()
        self._clips: Features | None = None
        self.post_init()

    def attach(self, clips: Features) -> None:
        """Set the features (N, F, M) that the numbers are of; they may lie on disk."""
        assert clips.shape[1:] == (self.config.max_length, self.config.num_mel_bins)
        self._clips = clips

    def get_input_embeddings(self) -> nn.Module:
        """What gives a clip's number for its number."""
        return self.numbers

    def _init_weights(self, module: nn.Module) -> None:
        """The AST has initialised itself."""

    def forward(
        self, inputs_embeds: torch.Tensor, attention_mask: torch.Tensor | None = None
    ) -> BaseModelOutput:
        """(B, 1) numbers of clips → states (B, 1, H)."""
        if self._clips is None:
            raise ValueError("this model hears clips: attach them first")
        rows = inputs_embeds[:, 0].cpu().numpy()
        found = torch.from_numpy(np.asarray(self._clips[rows], dtype=np.float32))
        # By twice the deviation, as AST's feature extractor does.
        values = (found - self.config.mean) / (2 * self.config.std)
        pooled = self.ast(to_device(values, inputs_embeds.device)).pooler_output
        return BaseModelOutput(last_hidden_state=pooled[:, None])


def on_clips(ast: PreTrainedModel, *, frames: int, mean: float, std: float) -> AudioModel:
    """An audio encoder of an AST's weights for clips of `frames` frames.

    Its table of positions is cut to the patches that those have (Gong et al. 2021, section 2.2).
    Raises InputError when there are more frames than the AST has positions for, or none.
    """
    about = ast.config
    check_frames(about, frames)
    kept = {key: value for key, value in about.to_dict().items() if key not in NOT_COPIED}
    model = AudioModel(AudioConfig(**kept, max_length=frames, mean=mean, std=std))
    state = ast.state_dict()
    places = state["embeddings.position_embeddings"]
    bands, _ = model.ast.embeddings.get_shape(about)
    _, columns = model.ast.embeddings.get_shape(model.config)
    grid = places[:, SPECIAL:].unflatten(1, (bands, -1))[:, :, :columns]
    state["embeddings.position_embeddings"] = torch.cat(
        [places[:, :SPECIAL], grid.flatten(1, 2)], dim=1
    )
    model.ast.load_state_dict(state)
    return model.eval()


def check_frames(ast: Any, frames: int) -> None:
    """Raise InputError unless a configuration is an AST's that can hear clips of that length."""
    if ast.model_type != AST_TYPE:
        raise InputError(
            f"encoder: one of type {ast.model_type!r} hears no speech: give an Audio Spectrogram "
            f"Transformer, its folder or a hub id such as MIT/ast-finetuned-audioset-10-10-0.4593"
        )
    if not ast.patch_size <= frames <= ast.max_length:
        raise InputError(
            f"speech.frames: {frames}: the encoder hears {ast.patch_size} to {ast.max_length}"
        )


AutoConfig.register(AUDIO_TYPE, AudioConfig)
AutoModel.register(AudioConfig, AudioModel)
