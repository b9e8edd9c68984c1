"""The README of an export: the student's model card, and how to use the folder without kd."""

from collections.abc import Mapping, Sequence
from typing import Any

from data.tasks import TaskSpec
from student.onnx_export import INPUTS

USE = """
## This folder

`predict.py` answers texts with onnxruntime, tokenizers and numpy alone, a JSON line each:

```bash
pip install onnxruntime tokenizers numpy
echo "so glad to hear that" | python predict.py
python predict.py posts.csv --model {smallest} > answers.jsonl
```

| file | precision | MB | largest difference of a logit | least agreement of the labels |
| --- | --- | ---: | ---: | ---: |
{rows}

Differences are from the trained student, on {dev_rows:,} dev rows; `CERTIFICATE.json` has each \
task's, the scores, and the files' hashes.

A graph reads {inputs}, all int64 (rows, tokens) of any size{empty}. It answers `TASK` (rows, \
classes), logits, and for a task with rationales `TASK.rationale` (rows, tokens), log-odds. \
`tasks.json` says which, and how to read them.
{per_task}"""
PER_TASK = """
For `transformers.pipeline`, which takes the text as it is and cuts it with `truncation=True`:

| folder | class |
| --- | --- |
{rows}
"""
NO_CONTEXT = "; a row without context has a mask of zeros"


def readme(card: str | None, specs: Sequence[TaskSpec], certificate: Mapping[str, Any]) -> str:
    """The student's card, a short one where there is none, with what the certificate found."""
    precisions = certificate["precisions"]
    smallest = min(precisions.values(), key=lambda found: int(found["bytes"]))
    has_context = any(spec.has_context for spec in specs)
    use = USE.format(
        smallest=smallest["file"],
        rows="\n".join(_row(name, found) for name, found in precisions.items()),
        dev_rows=certificate["dev_rows"],
        inputs=", ".join(f"`{name}`" for name in (INPUTS if has_context else INPUTS[:2])),
        empty=NO_CONTEXT if has_context else "",
        per_task=_per_task(certificate.get("per_task", {})),
    )
    return f"{(card or _short_card(specs, certificate)).rstrip()}\n{use}"


def _per_task(found: Mapping[str, Any]) -> str:
    lines = [
        f"| `{place}` | `{task['class']}` |"
        if "class" in task
        else f"| {place} | left out: {task['left_out']} |"
        for place, task in found.items()
    ]
    return PER_TASK.format(rows="\n".join(lines)) if lines else ""


def _row(precision: str, found: Mapping[str, Any]) -> str:
    return (
        f"| `{found['file']}` | {precision} | {found['bytes'] / 1e6:.1f} "
        f"| {found['largest_difference']:.1e} | {least_agreement(found):.1%} |"
    )


def least_agreement(found: Mapping[str, Any]) -> float:
    """The least of a precision's label agreements over the tasks."""
    shares = [task["label_agreement"] for task in found["tasks"].values()]
    return float(min(share for share in shares if share is not None))


def _short_card(specs: Sequence[TaskSpec], certificate: Mapping[str, Any]) -> str:
    lines = [
        f"- {spec.name}: "
        + (", ".join(spec.classes) or f"a number from {spec.low:g} to {spec.high:g}")
        for spec in specs
    ]
    return "\n".join(
        [f"# {certificate['name']}", "", "One encoder with a head a task:", "", *lines]
    )
