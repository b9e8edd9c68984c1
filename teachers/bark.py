"""Bark: texts spoken by Suno's model, sentence by sentence, as in 3M-Health."""

import math
import re
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import torch
from transformers import BarkConfig, BarkModel, BarkProcessor

from data.errors import InputError
from teachers.speech import RATE, Clip, resampled

# Bark's voices wander after about 14 seconds.
WORDS = 45
PAUSE = 0.25
# Bark draws its tokens; each text is drawn from here, so a clip does not depend on those before.
SEED = 13


def sentences(text: str) -> list[str]:
    """A text's sentences, longer ones in parts of at most 45 words."""
    found = []
    for sentence in re.split(r"(?<=[.!?])\s+", text.strip()):
        words = sentence.split()
        found += [" ".join(words[at : at + WORDS]) for at in range(0, len(words), WORDS)]
    return found


def joined(clips: Sequence[Clip], rate: int) -> Clip:
    """Clips (samples,) one after another, a quarter of a second of silence between two."""
    silence = np.zeros(round(PAUSE * rate), dtype=np.float32)
    parts = [part for clip in clips for part in (silence, clip)][1:]
    return np.concatenate(parts) if parts else np.zeros(0, dtype=np.float32)


def check_bark(name: str) -> None:
    """Raise InputError when there is no Bark by a folder or hub id."""
    try:
        BarkConfig.from_pretrained(name)
    except (OSError, ValueError) as error:
        raise _missing(name, error) from None


def _missing(name: str, error: Exception) -> InputError:
    return InputError(
        f"speech.bark: {name!r} can't be loaded: {str(error).splitlines()[0]}: give a folder of "
        f"it, or a hub id and a network"
    )


def load_bark(name: str) -> tuple[BarkProcessor, BarkModel]:
    """Bark's processor and model by a folder or hub id, on a GPU where there is one.

    Raises InputError when it is not there.
    """
    try:
        processor = BarkProcessor.from_pretrained(name)
        model = BarkModel.from_pretrained(name)
    except (OSError, ValueError) as error:
        raise _missing(name, error) from None
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return processor, model.to(device).eval()  # type: ignore[arg-type]


def spoken_by_bark(texts: Iterable[str], name: str, voice: str, *, samples: int) -> Iterator[Clip]:
    """The clip (samples,) of each text, in order; the rest of a text is left out once there are
    `samples` samples. Raises InputError as `load_bark` does, or when Bark has no such voice.
    """
    processor, model = load_bark(name)
    rate = int(model.generation_config.to_dict()["sample_rate"])
    enough = math.ceil(samples * rate / RATE)
    for text in texts:
        parts: list[Clip] = []
        clip = joined(parts, rate)
        with torch.random.fork_rng():
            torch.manual_seed(SEED)
            for sentence in sentences(text):
                parts.append(_say(processor, model, sentence, voice))
                clip = joined(parts, rate)
                if len(clip) >= enough:
                    break
        yield resampled(clip, rate)


@torch.inference_mode()
def _say(processor: BarkProcessor, model: BarkModel, sentence: str, voice: str) -> Clip:
    try:
        inputs = processor(sentence, voice_preset=voice)
    except (KeyError, ValueError, OSError):
        raise InputError(
            f"speech.voice: {voice!r} is no voice of this Bark: give one such as v2/en_speaker_6"
        ) from None
    inputs = {key: value.to(model.device) for key, value in inputs.items()}
    clip: Clip = model.generate(**inputs)[0].float().cpu().numpy()
    return clip
