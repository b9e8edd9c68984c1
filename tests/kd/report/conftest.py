"""Fixtures of the report's tests: answers of planted models, and runs made of them untrained."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from datasets import Dataset

from data.tasks import TaskSpec
from kd.config import Config
from kd.metrics import classification_scores, regression_scores
from kd.prediction_files import Answers
from kd.report.answers import FinishedRun, TaskAnswers
from kd.report.section import Table
from kd.run_folder import RunFolder

CLASSES = ("none", "weak", "strong")


@pytest.fixture
def planted() -> Callable[..., TaskAnswers]:
    """A function that makes a task's answers from what gold and each model say.

    chances, token_f1, spans: model → its own. Regressions go from 1 to 7.
    """

    def made(
        gold, *, name="reply", kind="classification", chances=None, token_f1=None, spans=None,
        **models,
    ):  # fmt: skip
        is_class = kind == "classification"
        spec = TaskSpec(
            name,
            kind,
            classes=CLASSES if is_class else (),
            has_rationale=token_f1 is not None or spans is not None,
            low=0.0 if is_class else 1.0,
            high=1.0 if is_class else 7.0,
        )
        answers = {}
        for model, said in models.items():
            predicted = np.asarray(said)
            sure = np.eye(3)[predicted] * 0.8 + 0.2 / 3 if is_class else np.empty((len(gold), 0))
            answers[model] = Answers(
                predicted,
                np.array(chances[model]) if chances and model in chances else sure,
                spans[model] if spans else None,
                np.array(token_f1[model], dtype=float) if token_f1 else None,
            )
        ids = tuple(f"row{number}" for number in range(len(gold)))
        return TaskAnswers(spec, np.arange(len(gold)), ids, np.asarray(gold), answers)

    return made


@pytest.fixture
def finished(tmp_path) -> Callable[..., FinishedRun]:
    """A function that makes a run of tasks' answers; settings: those of its config.

    Its folder is new, rows is the hash of its splits. The constant answer scores 0.1, TF-IDF 0.2,
    and quoting every token 0.25.
    """

    def made(
        *tasks: TaskAnswers,
        folder: str = "mine",
        rows: str = "hash",
        texts: Sequence[str] | None = None,
        contexts: Sequence[str] | None = None,
        **settings: Any,
    ) -> FinishedRun:
        config = Config.model_validate(
            {"name": "mine", "tasks": {t.spec.name: settings_of(t.spec) for t in tasks}, **settings}
        )
        count = max(len(task.ids) for task in tasks)
        test = Dataset.from_dict(
            {
                "id": [f"row{number}" for number in range(count)],
                "text": list(texts or ["a text"] * count),
                "context": list(contexts or [""] * count),
            }
        )
        metrics = {
            "inputs": "inputs", "tasks": {t.spec.name: {"test": scores_of(t)} for t in tasks}
        }  # fmt: skip
        profile = {"hash": rows, "rows": {"train": 1200, "dev": 5, "test": count}, "tasks": {}}
        place = tmp_path / folder
        place.mkdir(parents=True)
        by_name = {task.spec.name: task for task in tasks}
        return FinishedRun(RunFolder(place), config, metrics, profile, test, by_name)

    return made


def settings_of(spec: TaskSpec) -> dict[str, Any]:
    columns = {"rationale": "quotes"} if spec.has_rationale else {}
    shape = (
        {"classes": spec.classes}
        if spec.kind == "classification"
        else {"kind": spec.kind, "low": spec.low, "high": spec.high}
    )
    return {"sources": [{"files": "mine.csv", "columns": columns}], **shape}


def scores_of(task: TaskAnswers) -> dict[str, Any]:
    """As metrics.json has them."""
    found: dict[str, Any] = {
        "constant": {task.spec.selection_metric: 0.1}, "tfidf": {task.spec.selection_metric: 0.2}
    }  # fmt: skip
    for model, answers in task.models.items():
        found[model] = (
            classification_scores(task.gold, answers.predicted, task.spec.classes)
            if task.spec.kind == "classification"
            else regression_scores(task.gold, answers.predicted)
        )
    if task.spec.has_rationale:
        found["student"]["rationale"] = {"level>0": {"all_tokens": {"token_f1": 0.25}}}
    return found


@pytest.fixture
def cells() -> Callable[[Table], list[Mapping[str, str]]]:
    """A function that gives a table's rows, each column → text."""
    return lambda table: [
        dict(zip(table.columns, map(str, row), strict=True)) for row in table.rows
    ]
