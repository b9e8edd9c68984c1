"""Predictor: texts in, classes, probabilities and rationales in words out.

Letters: N = texts, C = classes, T = tokens of all texts together.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from threading import Lock
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import torch
from transformers import PreTrainedTokenizerBase

from data.cleaning import CleanText, clean, fault_of
from data.encoding import EncodedTable, Floats, Ints
from data.errors import InputError
from data.normalization import read_text
from data.rationales import merge, spans_of_tokens
from data.tasks import TaskSpec, load_tasks
from data.text_encoding import encode_texts
from student.encoders import load_tokenizer
from student.inference import RATIONALE_THRESHOLD, compute_logits
from student.model import StudentModel
from student.predictions import Answer, Prediction, Rationale, Rejection

# What is held in memory at one time, whichever is reached first.
WINDOW_ROWS = 4096
WINDOW_CHARACTERS = 2_000_000

Row = TypeVar("Row")


class Predictor:
    """A loaded model with its tokenizer; several threads may ask it."""

    def __init__(self, model: StudentModel, tokenizer: PreTrainedTokenizerBase) -> None:
        self.model = model.eval()
        self.tokenizer = tokenizer
        # A fast tokenizer refuses a second thread while it cuts texts for the first.
        self._lock = Lock()

    @classmethod
    def load(cls, folder: str | Path) -> "Predictor":
        """Load a model folder, or the student of a run's folder.

        Raises InputError when there is no model.
        """
        path = model_folder(Path(folder))
        load_tasks(path)
        device = "cuda" if torch.cuda.is_available() else "cpu"
        model = StudentModel.from_pretrained(path)
        model.to(torch.device(device))  # type: ignore[arg-type]
        return cls(model, load_tokenizer(str(path)))

    def __call__(self, texts: Sequence[str], contexts: Sequence[str] | None = None) -> list[Answer]:
        """task → answer for each text; contexts are the posts that the texts answer.

        Tasks that need a context are answered only for texts that have one. Rationale offsets are
        characters of the text as it was given. A long list is answered a window at a time, so
        that memory holds the answers and one window. Raises InputError for a single string,
        another number of contexts, and a text that `answer_each` rejects.
        """
        if isinstance(texts, str) or isinstance(contexts, str):
            raise InputError("texts and contexts are lists: write predictor([text], [context])")
        if contexts is not None and len(contexts) != len(texts):
            raise InputError(f"{len(contexts)} contexts for {len(texts)} texts: give one each")
        given = [""] * len(texts) if contexts is None else contexts
        pairs = list(zip(texts, given, strict=True))
        # All are looked at before the first is answered: that may take hours.
        for number, (text, context) in enumerate(pairs):
            _check(f"text {number}", fault_of(text) or (None if clean(text).text else "is empty"))
            _check(f"context {number}", fault_of(context))
        answers: list[Answer] = []
        for window in in_windows(pairs, lambda pair: len(pair[0]) + len(pair[1])):
            for answer in self.answer_each(*zip(*window, strict=True)):
                if isinstance(answer, Rejection):
                    raise InputError(f"text {len(answers)}: {answer.reason}: leave it out")
                answers.append(answer)
        return answers

    def answer_each(
        self, texts: Sequence[str], contexts: Sequence[str]
    ) -> list[Answer | Rejection]:
        """As a call, all at once, but a text that can't be answered is rejected without an error.

        Rejected are texts that are empty, that have more than a million characters, or that hold
        a NUL character, half a surrogate pair, or nothing that the tokenizer knows; and those
        whose context has such a fault, but for an empty one.
        """
        normalized = self.model.config.normalize
        pairs_given = zip(texts, contexts, strict=True)
        read = [_read(text, context, normalized=normalized) for text, context in pairs_given]
        found: list[Answer | Rejection] = [
            pair if isinstance(pair, Rejection) else Rejection("the text holds no word")
            for pair in read
        ]
        rows = [row for row, pair in enumerate(read) if not isinstance(pair, Rejection)]
        pairs = [pair for pair in read if not isinstance(pair, Rejection)]
        with self._lock:
            encoded = encode_texts(
                [text.text for text, _ in pairs],
                [context for _, context in pairs],
                self.tokenizer,
                max_tokens=self.model.config.max_tokens,
            )
            with_words = np.flatnonzero(_has_words(encoded))
            encoded = encoded.take(with_words)
            logits = compute_logits(self.model, encoded)
        chances = {spec.name: _softmax(logits.labels[spec.name]) for spec in self.model.specs}
        for place, number in enumerate(with_words.tolist()):
            text, context = pairs[number]
            found[rows[number]] = {
                spec.name: _prediction(
                    spec,
                    texts[rows[number]],
                    text,
                    logits=logits.labels[spec.name][place],
                    chances=chances[spec.name][place],
                    log_odds=logits.tokens[spec.name][encoded.part(place)]
                    if spec.has_rationale
                    else None,
                    offsets=encoded.offsets[encoded.part(place)],
                )
                for spec in self.model.specs
                if context or not spec.has_context
            }
        return found


def model_folder(folder: Path) -> Path:
    """The folder of a model: the given one, or that of the student of a run.

    Raises InputError when there is no model.
    """
    path = folder / "student" if (folder / "student" / "model.safetensors").is_file() else folder
    if not (path / "model.safetensors").is_file():
        raise InputError(f"{path}: holds no model: give a run's folder or a model's folder")
    return path


def in_windows(rows: Iterable[Row], characters: Callable[[Row], int]) -> Iterator[list[Row]]:
    """The rows in lists of WINDOW_ROWS, or fewer whose texts have WINDOW_CHARACTERS together.

    From the end of a window on, the windows are those of the rows that are left alone.
    """
    window: list[Row] = []
    held = 0
    for row in rows:
        window.append(row)
        held += characters(row)
        if len(window) >= WINDOW_ROWS or held >= WINDOW_CHARACTERS:
            yield window
            window, held = [], 0
    if window:
        yield window


def _check(where: str, fault: str | None) -> None:
    if fault is not None:
        raise InputError(f"{where}: {fault}: leave it out")


def _read(text: str, context: str, *, normalized: bool) -> tuple[CleanText, str] | Rejection:
    """A text and its context, as the model reads them."""
    for name, given in (("text", text), ("context", context)):
        fault = fault_of(given)
        if fault is not None:
            return Rejection(f"the {name} {fault}")
    cleaned = read_text(text, normalized=normalized)
    if not cleaned.text:
        return Rejection("the text is empty")
    return cleaned, read_text(context, normalized=normalized).text


def _has_words(table: EncodedTable) -> npt.NDArray[np.bool_]:
    """(N,) whether a text has a token that is not special."""
    is_real = table.offsets[:, 1] > table.offsets[:, 0]
    before = np.append(0, np.cumsum(is_real))[table.texts.starts]
    return np.diff(before) > 0


def _softmax(logits: Floats) -> Floats:
    """(N, C) → (N, C)."""
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def _prediction(
    spec: TaskSpec,
    raw: str,
    text: CleanText,
    *,
    logits: Floats,
    chances: Floats,
    log_odds: Floats | None,
    offsets: Ints,
) -> Prediction:
    """One task's answer, of (C,) logits and chances, (tokens,) log-odds and (tokens, 2) offsets."""
    names = spec.classes if spec.kind == "classification" else ()
    probabilities = dict(zip(names, chances.tolist(), strict=False))
    label = spec.decode(logits)
    if not isinstance(label, str):  # a head's value is not bound to the scale
        label = min(max(label, spec.low), spec.high)
    if log_odds is None:
        return Prediction(label, probabilities)
    chosen = log_odds > RATIONALE_THRESHOLD
    found = (text.raw_span(start, end) for start, end in spans_of_tokens(chosen, offsets))
    # Two parts of one placeholder stand for the same raw characters.
    spans = merge(list(found))
    return Prediction(
        label,
        probabilities,
        tuple(Rationale(start, end, raw[start:end]) for start, end in spans),
        chosen.tobytes(),
    )
