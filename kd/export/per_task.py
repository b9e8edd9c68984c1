"""The tasks of an export as folders that transformers.pipeline loads, where a class fits."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from data.batches import Batch
from data.encoding import EncodedTable, Floats
from data.tasks import TaskSpec
from kd.export.certificate import LARGEST_DIFFERENCE, largest_distance
from student.inference import Answer, Logits, collect_logits
from student.model import StudentModel
from student.transformers_classes import NoSuchClassError, as_classifier, as_tagger

Found = dict[str, Any]


def write_per_task(
    folder: Path,
    model: StudentModel,
    tokenizer: PreTrainedTokenizerBase,
    dev: EncodedTable,
    trained: Logits,
) -> dict[str, Found]:
    """Write tasks/NAME, and tasks/NAME-rationale where it quotes; what each is, or why it is not.

    Each answers the dev rows as the trained student does, or is not written.
    """
    report = {}
    for spec in model.specs:
        wanted: list[tuple[str, Callable[[StudentModel, TaskSpec], PreTrainedModel], Floats]] = [
            (spec.name, as_classifier, trained.labels[spec.name])
        ]
        if spec.has_rationale:
            name = f"{spec.name}-rationale"
            wanted.append((name, as_tagger, trained.tokens[spec.name]))
        for name, convert, expected in wanted:
            report[f"tasks/{name}"] = _write(
                folder / "tasks" / name, model, spec, convert, tokenizer, dev, expected
            )
    return report


def _write(
    place: Path,
    model: StudentModel,
    spec: TaskSpec,
    convert: Callable[[StudentModel, TaskSpec], PreTrainedModel],
    tokenizer: PreTrainedTokenizerBase,
    dev: EncodedTable,
    expected: Floats,
) -> Found:
    try:
        plain = convert(model, spec)
    except NoSuchClassError as reason:
        return {"left_out": str(reason)}
    found = _logits(plain, spec, dev, is_tagger=convert is as_tagger)
    difference = largest_distance(expected, found)
    if difference > LARGEST_DIFFERENCE:
        return {"left_out": f"{type(plain).__name__} differs by {difference:.1e} in a logit"}
    plain.save_pretrained(place)
    reader = copy.deepcopy(tokenizer)
    # What a pipeline hands on to the model, and where it cuts a text.
    reader.model_input_names = ["input_ids", "attention_mask"]
    reader.model_max_length = model.config.max_tokens
    reader.save_pretrained(place)
    return {"class": type(plain).__name__, "largest_difference": difference}


@torch.no_grad()
def _logits(plain: Any, spec: TaskSpec, dev: EncodedTable, *, is_tagger: bool) -> Floats:
    """A class's answers to the rows of a table, as the student's logits or log-odds of the task."""

    def answer(batch: Batch) -> Answer:
        logits = plain(input_ids=batch.input_ids, attention_mask=batch.attention_mask).logits
        if is_tagger:
            return {}, {spec.name: (logits[..., 1] - logits[..., 0]).numpy()}
        if spec.kind == "regression":
            logits = (logits - spec.low) / (spec.high - spec.low)
        return {spec.name: logits.numpy()}, {}

    found = collect_logits(answer, [spec], dev)
    return found.tokens[spec.name] if is_tagger else found.labels[spec.name]
