"""Building a teacher: a single-text classifier, or for empathy a bi-encoder."""

from collections.abc import Sequence
from dataclasses import replace

from data.tasks import TaskSpec
from student.audio import on_clips
from student.encoders import load_encoder, set_dropout
from student.head_names import HeadKind, Pooling
from student.model import StudentModel, new_student


def new_teacher(
    spec: TaskSpec,
    *,
    encoder: str,
    layers: Sequence[int] | None,
    seeker_is_frozen: bool,
    pooling: Pooling,
    head: HeadKind,
    attention_heads: int,
    attention_talking: float = 0.0,
    attention_dense: float = 0.0,
    dropout: float,
    encoder_dropout: float | None = None,
    max_tokens: int,
    normalize: bool = False,
) -> StudentModel:
    """A model of one task on a pretrained encoder.

    A task with context gets the bi-encoder of Sharma et al. (2020): a second copy of the encoder
    reads the seeker, and each response token attends to it. Raises InputError when the encoder is
    not there.
    """
    start = load_encoder(encoder, layers)
    model = new_student(
        start,
        [spec],
        context_encoder=start if spec.has_context else None,
        pooling=pooling,
        head=head,
        attention_heads=attention_heads,
        attention_talking=attention_talking,
        attention_dense=attention_dense,
        dropout=dropout,
        encoder_dropout=encoder_dropout,
        max_tokens=max_tokens,
        normalize=normalize,
    )
    if seeker_is_frozen:
        model.freeze_context_encoder()
    return model


def heard(spec: TaskSpec) -> TaskSpec:
    """A task as a teacher answers it that hears the text alone: no context, nothing to quote."""
    return replace(spec, has_context=False, has_rationale=False)


def new_hearing_teacher(
    spec: TaskSpec,
    *,
    encoder: str,
    layers: Sequence[int] | None,
    frames: int,
    mean: float,
    std: float,
    head: HeadKind,
    dropout: float,
    encoder_dropout: float | None = None,
) -> StudentModel:
    """A model of one task on a pretrained Audio Spectrogram Transformer.

    mean, std: of the features of the clips it learns from. Its clips are still to be attached
    (student/audio.py). Raises InputError when the encoder is not there, or is no AST that hears
    `frames` frames.
    """
    ast = load_encoder(encoder, layers)
    if encoder_dropout is not None:
        set_dropout(ast.config, encoder_dropout)
    return new_student(
        on_clips(ast, frames=frames, mean=mean, std=std),
        [heard(spec)],
        # A clip is one token, which any pooling gives.
        pooling="cls",
        head=head,
        attention_heads=1,
        dropout=dropout,
        max_tokens=1,
    )
