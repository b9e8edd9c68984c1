"""Fixtures of the report's tests: answers of planted models, without a run."""

from collections.abc import Callable

import numpy as np
import pytest

from data.tasks import TaskSpec
from kd.prediction_files import Answers
from kd.report.answers import TaskAnswers

CLASSES = ("none", "weak", "strong")


@pytest.fixture
def planted() -> Callable[..., TaskAnswers]:
    """A function that makes a task's answers from what gold and each model say."""

    def made(gold, *, name="reply", **models):
        spec = TaskSpec(name, classes=CLASSES)
        answers = {
            model: Answers(
                np.asarray(said), np.eye(3)[np.asarray(said)] * 0.8 + 0.2 / 3, None, None
            )
            for model, said in models.items()
        }
        ids = tuple(f"row{number}" for number in range(len(gold)))
        return TaskAnswers(spec, np.arange(len(gold)), ids, np.asarray(gold), answers)

    return made
