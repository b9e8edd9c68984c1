"""The README of an export: the student's model card, and how to use the folder without kd."""

from collections.abc import Mapping, Sequence
from typing import Any

from huggingface_hub import ModelCard

from data.tasks import TaskSpec
from kd.report.template_files import TEMPLATES
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

A graph reads {inputs}, all int64 (rows, tokens), neither of which may be 0{empty}. It answers \
`TASK` (rows, classes), logits, and for a task with rationales `TASK.rationale` (rows, tokens), \
log-odds. `tasks.json` says which, and how to read them.

`transformers.AutoModel.from_pretrained` of this folder needs the package kd-empathy and \
`import student.model`; the graphs and `predict.py` need no code of it{nor}.
{per_task}"""
PER_TASK = """
For `transformers.pipeline`, which takes the text as it is and cuts it with `truncation=True`:

| folder | class |
| --- | --- |
{rows}
"""
NO_CONTEXT = "; a text without context is given with `context_ids` [[0]] and `context_mask` [[0]]"
TAGS = ["knowledge-distillation", "multi-task", "text-classification", "empathy"]


def readme(
    card: str | None,
    specs: Sequence[TaskSpec],
    certificate: Mapping[str, Any],
    *,
    language: str | None = None,
) -> str:
    """The student's card, a short one where there is none, with what the certificate found.

    language: of the texts, where it is known. A licence is not: the data sets have their own.
    """
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
        nor=", nor do the folders below" if "per_task" in certificate else "",
    )
    whole = ModelCard(f"{(card or _short_card(specs, certificate)).rstrip()}\n{use}")
    # No pipeline of transformers takes a text and its context.
    about = {"pipeline_tag": None, "library_name": "onnx", "language": language, "tags": TAGS}
    for name, value in about.items():
        whole.data[name] = value
    return str(whole)


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
        f"| {found['largest_difference']:.1e} | {least_agreement(found)} |"
    )


def least_agreement(found: Mapping[str, Any]) -> str:
    """The least of a precision's label agreements over the tasks that were asked about a row."""
    shares = [task["label_agreement"] for task in found["tasks"].values()]
    least = min((share for share in shares if share is not None), default=None)
    return "no rows" if least is None else f"{least:.1%}"


def _short_card(specs: Sequence[TaskSpec], certificate: Mapping[str, Any]) -> str:
    lines = [
        f"- {spec.name}: "
        + (", ".join(spec.classes) or f"a number from {spec.low:g} to {spec.high:g}")
        for spec in specs
    ]
    return "\n".join(
        [
            "---",
            "{}",
            "---",
            "",
            f"# {certificate['name']}",
            "",
            "One encoder with a head a task:",
            "",
            *lines,
            "",
            TEMPLATES.get_template("limits.md").render(),
        ]
    )
