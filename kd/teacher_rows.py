"""Teacher rows: what a teacher is taught and asked, in tokens if it reads and clips if it hears.

Letters: N = rows of train, dev and test.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt
from datasets import Dataset, DatasetDict, concatenate_datasets
from transformers import ASTFeatureExtractor, PreTrainedTokenizerBase

from data.encoding import EncodedTable
from data.errors import InputError
from data.ragged import RowNumbers
from data.sources import SPLITS
from data.tables import gold_of
from data.tasks import TaskSpec
from kd.clips import clip_features, clip_table, new_extractor, statistics
from kd.config import Config, SpeechTeacher, Teacher
from kd.run_folder import RunFolder
from kd.tokens import encoded_rows
from student.audio import AudioModel, Features, check_frames
from student.encoders import check_length, load_encoder_config, load_tokenizer
from student.model import StudentModel
from teachers.bark import check_bark
from teachers.building import heard, new_hearing_teacher, new_teacher
from teachers.speech import check_command

# Clips a forward pass of inference.
BATCH_CLIPS = 32


@dataclass(frozen=True)
class Taught:
    """What a teacher learns from: its task as it answers it, all rows as it sees them, a function
    that makes it, and what turns texts or clips into what it sees, which is saved beside it."""

    spec: TaskSpec
    table: EncodedTable
    new_model: Callable[[], StudentModel]
    reader: PreTrainedTokenizerBase | ASTFeatureExtractor
    batch_rows: int | None = None  # of inference, where rows are longer than their tokens say


@dataclass(frozen=True)
class Asked:
    """What a teacher is asked: the numbers of the rows, and how many at once if that is given."""

    spec: TaskSpec
    table: EncodedTable
    rows: RowNumbers
    model: StudentModel
    batch_rows: int | None = None


def rows_to_teach(
    config: Config,
    run: RunFolder,
    spec: TaskSpec,
    settings: Teacher,
    table: DatasetDict,
    table_hash: str,
) -> Taught:
    """What a new teacher learns from. Every process of the run must call it.

    Raises InputError when its encoder is not there or doesn't fit, or its texts can't be spoken.
    """
    if isinstance(settings, SpeechTeacher):
        return _clips_to_teach(config, run, spec, settings, table, table_hash)
    encoder = config.data.encoder(settings.encoder)
    check_length(encoder, config.data.max_tokens)
    tokenizer = load_tokenizer(encoder)
    new_model = partial(
        new_teacher,
        spec,
        encoder=encoder,
        layers=settings.layers,
        seeker_is_frozen=settings.seeker_encoder == "frozen",
        **settings.shape(config.data),
    )
    encoded = encoded_rows(config, run, table, table_hash, tokenizer, [spec])
    return Taught(spec, encoded, new_model, tokenizer)


def check_speaker(config: Config, settings: SpeechTeacher) -> None:
    """Raise InputError when a hearing teacher's encoder or speaker is not there, or don't fit."""
    about = load_encoder_config(config.data.encoder(settings.encoder))
    check_frames(about, settings.speech.frames)
    if settings.speech.bark is not None:
        check_bark(settings.speech.bark)
    else:
        check_command(settings.speech.command)


def _clips_to_teach(
    config: Config,
    run: RunFolder,
    spec: TaskSpec,
    settings: SpeechTeacher,
    table: DatasetDict,
    table_hash: str,
) -> Taught:
    encoder = config.data.encoder(settings.encoder)
    about = load_encoder_config(encoder)
    check_frames(about, settings.speech.frames)
    extractor = new_extractor(about.num_mel_bins, settings.speech.frames)
    _, clips = _clips(config, run, spec, settings, table, table_hash, extractor)
    is_known = np.isfinite(gold_of(table["train"], spec.name)).all(axis=1)
    first, *others = known = np.flatnonzero(is_known)
    if others and all(np.array_equal(clips[first], clips[other]) for other in others):
        raise InputError(
            f"speech: all clips of task {spec.name!r} are the same: give another command or voice"
        )
    mean, std = statistics(clips, known)

    def new_model() -> StudentModel:
        model = new_hearing_teacher(
            spec,
            encoder=encoder,
            layers=settings.layers,
            frames=settings.speech.frames,
            mean=mean,
            std=std,
            head=settings.head,
            dropout=settings.dropout,
            encoder_dropout=settings.encoder_dropout,
        )
        return _attached(model, clips)

    # As it is saved it normalises, so that the folder says all that the AST was trained with.
    saved = new_extractor(about.num_mel_bins, settings.speech.frames)
    saved.do_normalize, saved.mean, saved.std = True, mean, std
    return Taught(heard(spec), clip_table(table, [spec]), new_model, saved, BATCH_CLIPS)


def rows_to_label(
    config: Config,
    run: RunFolder,
    name: str,
    spec: TaskSpec,
    settings: Teacher,
    table: DatasetDict,
    table_hash: str,
) -> Asked:
    """What a trained teacher is asked: rows with gold of its task, or that no task labels.

    Every process of the run must call it. Raises InputError when its texts can't be spoken.
    """
    model = StudentModel.from_pretrained(run.teacher(name))
    if isinstance(settings, SpeechTeacher):
        about = model.config.encoder
        extractor = new_extractor(about.num_mel_bins, settings.speech.frames)
        rows, clips = _clips(config, run, spec, settings, table, table_hash, extractor)
        encoded = clip_table(table, config.specs)
        return Asked(heard(spec), encoded, rows, _attached(model, clips), BATCH_CLIPS)
    tokenizer = load_tokenizer(str(run.teacher(name)))
    encoded = encoded_rows(config, run, table, table_hash, tokenizer, config.specs)
    return Asked(spec, encoded, rows_of(encoded, spec), model)


def _clips(
    config: Config,
    run: RunFolder,
    spec: TaskSpec,
    settings: SpeechTeacher,
    table: DatasetDict,
    table_hash: str,
    extractor: ASTFeatureExtractor,
) -> tuple[RowNumbers, Features]:
    """The rows that the teacher is asked about, and the features of all."""
    rows = asked_of(config, spec, concatenate_datasets([table[split] for split in SPLITS]))
    return rows, clip_features(run, table, table_hash, settings.speech, extractor, rows)


def _attached(model: StudentModel, clips: Features) -> StudentModel:
    assert isinstance(model.encoder, AudioModel)
    model.encoder.attach(clips)
    return model


def asked_of(config: Config, spec: TaskSpec, rows: Dataset) -> RowNumbers:
    """The numbers of those of the rows that have gold of a task, or that no task labels."""
    known = {
        one.name: np.asarray(np.isfinite(gold_of(rows, one.name)).all(axis=1))
        for one in config.specs
    }
    contexts = rows["context"] if spec.has_context else ()
    return asked_rows(known, np.array([bool(context) for context in contexts]), spec)


def asked_rows(
    known: Mapping[str, npt.NDArray[np.bool_]], has_context: npt.NDArray[np.bool_], spec: TaskSpec
) -> RowNumbers:
    """The numbers of the rows with gold of a task, or of no task, but with what it needs.

    known: task → (N,) whether a row has gold of it; has_context: (N,), of a task with context.
    """
    unlabelled = ~np.any(list(known.values()), axis=0)
    if spec.has_context:
        unlabelled &= has_context
    return np.flatnonzero(known[spec.name] | unlabelled)


def rows_of(table: EncodedTable, spec: TaskSpec) -> RowNumbers:
    """The rows of a table of all tasks that have gold of this one, or that no task labels."""
    known = {name: table.known(name) for name in table.gold}
    return asked_rows(known, table.contexts.lengths > 0, spec)
