"""Speech: texts spoken by a command, as clips of 16,000 samples a second."""

import math
import shutil
import subprocess
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import numpy.typing as npt

from data.errors import InputError

ESPEAK = ("espeak-ng", "-w", "{wav}", "--stdin")
# In a command, the place of the file that it is to write.
WAV = "{wav}"
# Samples a second of every clip, as AST was trained.
RATE = 16_000
# Commands that run at one time, and seconds after which one is taken to hang.
WORKERS = 4
PATIENCE = 600

Clip = npt.NDArray[np.float32]


def check_command(command: Sequence[str]) -> None:
    """Raise InputError when a command's program is not there."""
    if shutil.which(command[0]) is None:
        hint = "install Debian's package espeak-ng, or " if command[0] == ESPEAK[0] else ""
        raise InputError(
            f"speech.command: {command[0]!r} is not there: {hint}give a program that is"
        )


def spoken(
    texts: Sequence[str], ids: Sequence[str], command: Sequence[str], folder: Path
) -> Iterator[Clip]:
    """The clip (samples,) of each text, in order, from -1 to 1.

    The command reads a text on its standard input and writes the WAV file named by {wav}, below
    `folder`, which is deleted once it was read. Raises InputError naming the id of a row for which
    the command fails, hangs, or writes nothing that can be read.
    """
    check_command(command)
    paths = [folder / f"{number}.wav" for number in range(len(texts))]
    with ThreadPoolExecutor(WORKERS) as pool:
        failures = pool.map(_run, [command] * len(texts), texts, paths)
        try:
            for name, path, failure in zip(ids, paths, failures, strict=True):
                if failure is not None:
                    # What it said itself may hold the text.
                    raise InputError(f"row {name!r}: speech.command {command[0]!r} {failure}")
                yield _read(path, name)
                path.unlink()
        finally:  # a command that hangs would hang for each text that still waits
            pool.shutdown(cancel_futures=True)


def _run(command: Sequence[str], text: str, path: Path) -> str | None:
    """Run the command for one text; what went wrong, in words."""
    try:
        done = subprocess.run(
            [part.replace(WAV, str(path)) for part in command],
            input=text.encode(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=PATIENCE,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"did not end within {PATIENCE} seconds: try it on this row's text by hand"
    except OSError as error:
        return f"can't be started: {error.strerror}: give a program that can"
    if done.returncode:
        return f"ended with status {done.returncode}: try it on this row's text by hand"
    return None


def _read(path: Path, name: str) -> Clip:
    from scipy.io import wavfile  # a config, which names a speaker, need not wait for it

    try:
        with warnings.catch_warnings():
            # A header written before the length was known, or chunks that hold no sound.
            warnings.simplefilter("ignore", wavfile.WavFileWarning)
            rate, samples = wavfile.read(path)
    except (OSError, ValueError):
        raise InputError(
            f"row {name!r}: speech.command wrote no WAV file that can be read: it must write one "
            f"to {WAV}"
        ) from None
    return resampled(to_float(samples), rate)


def to_float(samples: npt.NDArray[np.generic]) -> Clip:
    """Samples (n,) or (n, channels) as numbers from -1 to 1, channels averaged."""
    values = samples.astype(np.float32)
    if samples.dtype == np.uint8:  # WAV's one format without a sign
        values = (values - 128.0) / 128.0
    elif samples.dtype.kind == "i":
        values /= float(2 ** (8 * samples.dtype.itemsize - 1))
    return np.asarray(values if values.ndim == 1 else values.mean(axis=1), dtype=np.float32)


def resampled(clip: Clip, rate: int) -> Clip:
    """A clip (n,) of `rate` samples a second as one of 16,000."""
    if rate == RATE or not len(clip):
        return clip
    shared = math.gcd(rate, RATE)
    from scipy.signal import resample_poly  # which takes seconds to import

    return np.asarray(resample_poly(clip, RATE // shared, rate // shared), dtype=np.float32)
