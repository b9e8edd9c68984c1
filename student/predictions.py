"""What a student answers: for each task a class or number, its probabilities and rationale."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Rationale:
    """A part of the given text: text[start:end] == the words."""

    start: int
    end: int
    words: str


@dataclass(frozen=True)
class Prediction:
    """One task's answer for one text.

    `label` is a class name, or a number on its scale for a regression task; `probabilities` is
    class → chance, empty for regression; `rationale` is empty where the task has none or the model
    quotes none.
    `token_labels` is 1 for each token that the model quotes, 0 for each other that it read,
    special ones included; empty where the task has no rationale.
    """

    label: str | float
    probabilities: dict[str, float]
    rationale: tuple[Rationale, ...] = ()
    token_labels: bytes = b""


Answer = dict[str, Prediction]  # by task


@dataclass(frozen=True)
class Rejection:
    """Why a text has no answer."""

    reason: str
