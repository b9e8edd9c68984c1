"""Building an export: a finished run's student as one folder, written whole or not at all."""

import hashlib
import json
import platform
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset
from tokenizers import Tokenizer

from data.encoding import EncodedTable, encode_table
from data.errors import InputError
from data.tasks import TASKS_FILE, TaskSpec, load_tasks
from kd.atomic import new_folder
from kd.environment import versions
from kd.evaluation import score
from kd.export.certificate import (
    CERTIFICATE,
    LARGEST_DIFFERENCE,
    check,
    precision_report,
    read_certificate,
)
from kd.export.per_task import write_per_task
from kd.export.readme import readme
from kd.report.answers import read_run
from kd.run_folder import RunFolder, content_key, model_files
from student.encoders import load_tokenizer
from student.inference import RATIONALE_THRESHOLD, compute_logits
from student.model import StudentModel
from student.onnx_export import PACKAGES, check_packages, write_graph, write_half
from student.onnx_inference import compute_onnx_logits
from student.onnx_int8 import write_int8
from student.predictor import model_folder

# precision → the function that makes its file of the float32 one: of the source and the target,
# the student, and rows that it was trained on
CONVERSIONS: dict[str, Callable[[Path, Path, StudentModel, EncodedTable], None]] = {
    "fp16": lambda source, target, _model, _rows: write_half(source, target),
    "int8": write_int8,
}
# Training rows with a context, and as many without, on which int8 measures its steps.
MEASURED_ROWS = 300
SCRIPT = Path(__file__).with_name("predict.py")


def graph_file(precision: str) -> str:
    """The name of a precision's file: model.onnx is the float32 one."""
    return "model.onnx" if precision == "fp32" else f"model.{precision}.onnx"


def export_run(
    run: Path,
    target: Path,
    precisions: Sequence[str],
    *,
    smaller: Path | None = None,
    per_task: bool = False,
) -> dict[str, Any]:
    """Write the student of a finished run to a folder, with its certificate, which is returned.

    smaller: the folder of a student to write in its place, such as kd shrink made of it.
    per_task: also its tasks as models of transformers' own classes, where one computes the same.
    Raises InputError when the run is not finished, its texts are normalised, a package is missing,
    the target is a folder of something else, the smaller student is another run's, or a graph is
    too far from the student; the target stays as it was.
    """
    check_packages()
    check_target(target, "precisions")
    finished = read_run(run)
    student = model_folder(smaller or finished.run.student)
    agreement = finished.config.export.agreement
    check_student(student, finished.run, finished.config.specs)
    model = StudentModel.from_pretrained(student).eval()
    if model.config.normalize:
        raise InputError(
            f"{run}: its student reads normalised texts (data.normalize), an export's predict.py "
            f"does not: answer with kd predict, or train with data.normalize=false"
        )
    splits = finished.run.load_splits()[0]
    rows, tokenizer = splits["dev"], load_tokenizer(str(student))
    dev, measured = (
        encode_table(each, tokenizer, model.specs, max_tokens=model.config.max_tokens)
        for each in (rows, measured_rows(splits["train"]))
    )
    trained = compute_logits(model, dev, progress="student on dev")
    with new_folder(target.resolve()) as folder:
        for path in model_files(student):
            shutil.copyfile(path, folder / path.name)
        (folder / TASKS_FILE).write_text(json.dumps(task_rows(model), indent=2) + "\n", "utf-8")
        shutil.copyfile(SCRIPT, folder / SCRIPT.name)
        write_tokenizer(folder / "tokenizer.json", model.config.max_tokens)
        check_tokens(folder / "tokenizer.json", rows, dev)
        certificate: dict[str, Any] = {
            "name": finished.config.name,
            "student_hash": content_key(files=model_files(student)),
            "splits_hash": finished.profile["hash"],
            "dev_rows": len(dev),
            "limits": {"fp32_difference": LARGEST_DIFFERENCE, "agreement": agreement},
            "trained": {
                "file": "model.safetensors",
                "bytes": (folder / "model.safetensors").stat().st_size,
                "scores": {spec.name: score(spec, dev, trained) for spec in model.specs},
            },
            "precisions": {},
        }
        for precision in precisions:
            path = folder / graph_file(precision)
            if precision == "fp32":
                write_graph(model, path)
            else:
                CONVERSIONS[precision](folder / graph_file("fp32"), path, model, measured)
            answers = compute_onnx_logits(path, model.specs, dev, progress=f"{precision} on dev")
            report = precision_report(model.specs, dev, trained, answers)
            check(precision, report, agreement)
            size = path.stat().st_size
            about = {
                "file": path.name,
                "bytes": size,
                "bytes_share": size / (folder / graph_file("fp32")).stat().st_size,
            }
            certificate["precisions"][precision] = about | report
        if per_task:
            certificate["per_task"] = write_per_task(folder, model, tokenizer, dev, trained)
        card = student / "README.md"
        own = card.read_text(encoding="utf-8") if card.is_file() else None
        # Only of our own samples is the language known.
        language = "en" if finished.config.data.root == "embedded" else None
        (folder / "README.md").write_text(
            readme(own, model.specs, certificate, language=language), "utf-8"
        )
        certificate["versions"] = {
            "python": platform.python_version(),
            **versions(),
            **{name: version(name) for name in PACKAGES},
        }
        certificate["files"] = hashes(folder)
        text = json.dumps(certificate, indent=2, ensure_ascii=False, allow_nan=False)
        (folder / CERTIFICATE).write_text(text + "\n", "utf-8")
    return certificate


def check_target(target: Path, part: str) -> None:
    """Raise InputError when a folder, known by that part of its certificate, would take the place
    of something else, or of a file that was put into it."""
    if target.exists() and not target.is_dir():
        raise InputError(f"{target}: is a file: give a folder with --to")
    if not target.is_dir() or not any(target.iterdir()):
        return
    certificate = read_certificate(target)
    if part not in certificate:
        raise InputError(f"{target}: is a folder of something else: give a new one with --to")
    own = {CERTIFICATE, *certificate.get("files", ())}
    paths = [path for path in sorted(target.rglob("*")) if path.is_file()]
    strays = [path for path in paths if path.relative_to(target).as_posix() not in own]
    if strays:
        raise InputError(
            f"{strays[0]}: would be lost, as {target} is written anew: move it, or give another "
            f"folder with --to"
        )


def check_student(student: Path, run: RunFolder, tasks: Sequence[TaskSpec]) -> None:
    """Raise InputError when a student is neither the run's own nor what kd shrink made of it."""
    if student == run.student:
        return
    made_of = read_certificate(student).get("student_hash")
    is_its = made_of == content_key(files=model_files(run.student))
    if not is_its or set(load_tasks(student)) != set(tasks):
        raise InputError(
            f"{student}: was not made of the student of {run.path}: give a folder that kd shrink "
            f"made of it, or export the run that it belongs to"
        )


def measured_rows(train: Dataset) -> Dataset:
    """At most MEASURED_ROWS training rows with a context, and as many without, evenly chosen."""
    has_context = np.array([bool(text) for text in train["context"]])
    chosen = [
        places[np.linspace(0, len(places) - 1, min(len(places), MEASURED_ROWS)).astype(np.int64)]
        for places in (np.flatnonzero(has_context), np.flatnonzero(~has_context))
    ]
    return train.select(np.concatenate(chosen).tolist())


def task_rows(model: StudentModel) -> list[dict[str, Any]]:
    """Each task as `load_tasks` reads it, and how the graph is to be fed and read.

    rationale_threshold: a token belongs to the rationale when its probability is above it.
    """
    threshold = 1 / (1 + float(np.exp(-RATIONALE_THRESHOLD)))
    return [
        asdict(spec)
        | {
            "inputs": ["text", "context"] if spec.has_context else ["text"],
            "rationale_threshold": threshold,
            "max_tokens": model.config.max_tokens,
        }
        for spec in model.specs
    ]


def write_tokenizer(path: Path, max_tokens: int) -> None:
    """Have a tokenizer's file alone cut a text as the student does, and pad none."""
    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.no_padding()
    tokenizer.enable_truncation(max_tokens)
    tokenizer.save(str(path))


def check_tokens(path: Path, rows: Dataset, encoded: EncodedTable) -> None:
    """Raise InputError when tokenizer.json alone, as predict.py reads it, gives other tokens."""
    tokenizer = Tokenizer.from_file(str(path))
    for number, text in enumerate(rows["text"]):
        if tokenizer.encode(text).ids != encoded.texts.row(number).tolist():
            raise InputError(
                f"{path.name}: read alone it gives other tokens than the student's tokenizer, as "
                f"in dev row {rows[number]['id']!r}: an encoder of this kind can't be exported"
            )


def hashes(folder: Path) -> dict[str, dict[str, Any]]:
    """Name → bytes and SHA-256 of every file of a folder."""
    return {
        path.relative_to(folder).as_posix(): {
            "bytes": path.stat().st_size,
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        }
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
