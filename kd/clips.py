"""Clips of a run: its texts are spoken once, and kept as the features that an AST hears.

What lies on disk can be made audible again, so it is to be treated like the texts.

Letters: N = rows of train, dev and test, F = frames, M = mel bins.
"""

import shutil
import tempfile
import warnings
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
from datasets import Dataset, DatasetDict, concatenate_datasets
from tqdm.auto import tqdm
from transformers import ASTFeatureExtractor

from data.encoding import EncodedTable
from data.ragged import Ragged, RowNumbers
from data.sources import SPLITS
from data.tables import gold_of
from data.tasks import TaskSpec
from kd.atomic import new_file, sync
from kd.config import Speech
from kd.hardware import by_main_process
from kd.run_folder import RunFolder, content_key, settings_key
from student.audio import Features
from teachers.bark import spoken_by_bark
from teachers.speech import RATE, Clip, spoken

# Clips between two marks of what is done: what a kill costs at most.
CHUNK = 64
# Samples of a frame, and from one frame to the next (ASTFeatureExtractor at 16 kHz).
WINDOW, STEP = 400, 160


def new_extractor(bins: int, frames: int) -> ASTFeatureExtractor:
    """What gives the features (F, M) of a clip, not normalised."""
    with warnings.catch_warnings():
        # That the lowest of AST's 128 mel filters are empty, as they were when it was trained.
        warnings.simplefilter("ignore", UserWarning)
        return ASTFeatureExtractor(num_mel_bins=bins, max_length=frames, do_normalize=False)


def clip_features(
    run: RunFolder,
    table: DatasetDict,
    table_hash: str,
    speech: Speech,
    extractor: ASTFeatureExtractor,
    rows: RowNumbers,
) -> Features:
    """(N, F, M) log mel features, memory-mapped; those of the given rows are there, others may be.

    Every process of the run must call it: the main one has what is missing spoken, all wait for
    it. Raises InputError as the speaker does.
    """
    bins, frames = extractor.num_mel_bins, extractor.max_length
    folder = run.speech(content_key(table_hash, settings_key(speech), bins))
    texts = concatenate_datasets([table[split] for split in SPLITS]).select_columns(["id", "text"])
    shape = (len(texts), frames, bins)
    by_main_process(lambda: speak_missing(folder, texts, shape, speech, extractor, rows))
    return np.load(folder / "features.npy", mmap_mode="r")  # type: ignore[no-any-return]


def speak_missing(
    folder: Path,
    texts: Dataset,
    shape: tuple[int, int, int],
    speech: Speech,
    extractor: ASTFeatureExtractor,
    rows: RowNumbers,
) -> None:
    """Have those of the rows spoken whose features, of all (N, F, M), a folder does not hold yet.

    A kill costs the clips of one chunk. Raises InputError as the speaker does.
    """
    place, mark = folder / "features.npy", folder / "done.npy"
    is_begun = mark.is_file() and place.is_file()
    done = np.load(mark) if is_begun else np.zeros(len(texts), dtype=bool)
    missing = rows[~done[rows]]
    if not len(missing):
        return
    folder.mkdir(parents=True, exist_ok=True)
    for left in folder.glob("wav-*"):  # by a kill
        shutil.rmtree(left, ignore_errors=True)
    # A row that was not asked for is a hole in the file and takes no room.
    mode: Literal["r+", "w+"] = "r+" if is_begun else "w+"
    features = np.lib.format.open_memmap(place, mode=mode, dtype=np.float16, shape=shape)
    bar = tqdm(total=len(missing), desc="speak", unit=" texts", disable=None, leave=False, delay=2)
    with bar, tempfile.TemporaryDirectory(prefix="wav-", dir=folder) as waves:
        chunks = [missing[at : at + CHUNK] for at in range(0, len(missing), CHUNK)]
        asked = (texts[numbers.tolist()] for numbers in chunks)
        clips = _clips(asked, speech, shape[1], Path(waves))
        for numbers in chunks:
            for number in numbers:
                features[number] = _heard(next(clips), extractor)
                bar.update()
            features.flush()
            sync(place)
            done[numbers] = True
            with new_file(mark) as temporary, temporary.open("wb") as file:
                np.save(file, done)


def _clips(
    chunks: Iterable[dict[str, list[str]]], speech: Speech, frames: int, folder: Path
) -> Iterator[Clip]:
    """The clip of each text, chunk after chunk."""
    if speech.bark is not None:
        texts = (text for chunk in chunks for text in chunk["text"])
        samples = _samples(frames)
        yield from spoken_by_bark(texts, speech.bark, speech.voice, samples=samples)
        return
    for chunk in chunks:
        yield from spoken(chunk["text"], chunk["id"], speech.command, folder)


def _heard(clip: Clip, extractor: ASTFeatureExtractor) -> Features:
    """(F, M) of a clip; frames after its end are 0, as AST's feature extractor leaves them."""
    clip = clip[: _samples(extractor.max_length)]
    clip = np.pad(clip, (0, max(0, WINDOW - len(clip))))  # a silent frame, where nothing was said
    found = extractor(clip, sampling_rate=RATE, return_tensors="np")
    values: Features = found["input_values"][0]
    return values


def _samples(frames: int) -> int:
    """How much of a clip makes that many frames."""
    return WINDOW + (frames - 1) * STEP


def statistics(features: Features, rows: RowNumbers) -> tuple[float, float]:
    """Mean and standard deviation of all values of some rows' clips."""
    total = squares = 0.0
    for row in rows:
        values = features[row].astype(np.float64)
        total += float(values.sum())
        squares += float((values**2).sum())
    count = len(rows) * features[0].size
    mean = total / count
    return mean, float(np.sqrt(max(squares / count - mean**2, 0.0)))


def clip_table(table: DatasetDict, tasks: Sequence[TaskSpec]) -> EncodedTable:
    """The rows of train, dev and test as a model of clips sees them: each a token, its number.

    The token is none of the text's, so it has no characters and no rationale.
    """
    rows = concatenate_datasets([table[split] for split in SPLITS])
    count = len(rows)
    return EncodedTable(
        ids=tuple(rows["id"]),
        texts=Ragged.from_lengths(np.arange(count, dtype=np.int32), _ones(count)),
        offsets=np.zeros((count, 2), dtype=np.int32),
        contexts=Ragged.from_lengths(np.empty(0, dtype=np.int32), _ones(count) - 1),
        pad_id=0,
        gold={task.name: gold_of(rows, task.name) for task in tasks},
        gold_tokens={},
    )


def _ones(count: int) -> npt.NDArray[np.int32]:
    return np.ones(count, dtype=np.int32)
