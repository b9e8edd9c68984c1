"""Predictor: texts in, classes, probabilities and rationales in words out."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from datasets import Dataset
from transformers import PreTrainedTokenizerBase

from data.cleaning import clean
from data.encoding import encode_table
from data.errors import InputError
from data.rationales import spans_of_tokens
from data.tasks import load_tasks
from student.encoders import load_tokenizer
from student.inference import RATIONALE_THRESHOLD, compute_logits
from student.model import StudentModel


@dataclass(frozen=True)
class Rationale:
    """A part of the given text: text[start:end] == the words."""

    start: int
    end: int
    words: str


@dataclass(frozen=True)
class Prediction:
    """One task's answer for one text.

    `label` is a class name, or a number for a regression task; `probabilities` is class → chance,
    empty for regression; `rationale` is empty where the task has none or the model quotes none.
    """

    label: str | float
    probabilities: dict[str, float]
    rationale: tuple[Rationale, ...] = ()


class Predictor:
    """A loaded model with its tokenizer."""

    def __init__(self, model: StudentModel, tokenizer: PreTrainedTokenizerBase) -> None:
        self.model = model.eval()
        self.tokenizer = tokenizer

    @classmethod
    def load(cls, folder: str | Path) -> "Predictor":
        """Load a model folder, or the student of a run's folder.

        Raises InputError when there is no model.
        """
        path = Path(folder)
        if (path / "student" / "model.safetensors").is_file():
            path = path / "student"
        if not (path / "model.safetensors").is_file():
            raise InputError(f"{path}: holds no model: give a run's folder or a model's folder")
        load_tasks(path)
        device = "cuda" if torch.cuda.is_available() else "cpu"
        model = StudentModel.from_pretrained(path)
        model.to(torch.device(device))  # type: ignore[arg-type]
        return cls(model, load_tokenizer(str(path)))

    def __call__(
        self, texts: Sequence[str], contexts: Sequence[str] | None = None
    ) -> list[dict[str, Prediction]]:
        """task → answer for each text; contexts are the posts that the texts answer.

        Tasks that need a context are answered only for texts that have one. Rationale offsets are
        characters of the text as it was given. Raises InputError for a single string, an empty
        text, or another number of contexts.
        """
        if isinstance(texts, str) or isinstance(contexts, str):
            raise InputError("texts and contexts are lists: write predictor([text], [context])")
        if contexts is not None and len(contexts) != len(texts):
            raise InputError(f"{len(contexts)} contexts for {len(texts)} texts: give one each")
        cleaned = [clean(text) for text in texts]
        for number, text in enumerate(cleaned):
            if not text.text:
                raise InputError(f"text {number}: is empty: leave it out")
        given = [clean(context).text for context in contexts] if contexts else [""] * len(texts)
        table = Dataset.from_dict(
            {
                "id": [str(number) for number in range(len(texts))],
                "text": [text.text for text in cleaned],
                "context": given,
            }
        )
        encoded = encode_table(table, self.tokenizer, [], max_tokens=self.model.config.max_tokens)
        logits = compute_logits(self.model, encoded)
        answers: list[dict[str, Prediction]] = []
        for row, text in enumerate(cleaned):
            part = encoded.part(row)
            answer = {}
            for spec in self.model.specs:
                if spec.has_context and not given[row]:
                    continue
                values = logits.labels[spec.name][row]
                chances = np.exp(values - values.max())
                chances = chances / chances.sum()
                rationale: list[Rationale] = []
                if spec.has_rationale:
                    chosen = (
                        np.nan_to_num(logits.tokens[spec.name][part], nan=-np.inf)
                        > RATIONALE_THRESHOLD
                    )
                    for start, end in spans_of_tokens(chosen, encoded.offsets[part]):
                        start, end = text.raw_span(start, end)
                        rationale.append(Rationale(start, end, texts[row][start:end]))
                answer[spec.name] = Prediction(
                    label=spec.decode(values),
                    probabilities={
                        name: float(chance)
                        for name, chance in zip(spec.classes, chances, strict=False)
                    },
                    rationale=tuple(rationale),
                )
            answers.append(answer)
        return answers
