"""A whole distillation against TextBrewer's MultiTaskDistiller, with the same finished teachers.

    python scripts/bench/against_textbrewer.py --run runs/reddit --epochs 4

TextBrewer (textbrewer==0.2.1.post1) comes with the extra dev alone; without
it the line says that this was skipped. Ours labels the train rows once with every teacher, reads
the soft targets, and anneals; TextBrewer asks the live teachers. Both start from the same student
and end at the last step, see each task's rows `epochs` times (TextBrewer in expectation: it draws a
task a step), in batches of the same number of rows, with the same optimizer, rates, clipping, gold
losses and linear annealing at temperature 1. Tokenizing and evaluation are left out of both.

TextBrewer gets what its users have: a loader a task that pads to the longest row, one plain padded
forward pass with the attention that transformers chooses, float32 at torch's own matmul precision
(its fp16 is apex's). `--their-precision bf16` wraps its models in autocast. Its loss on soft
rationales counts 1 and not rationale_weight: it has one weight for all soft losses.
"""

import argparse
import importlib
import json
import sys
import tempfile
import warnings
from collections import Counter
from pathlib import Path

import numpy as np
import torch
from cached_vs_live import label
from kd_loop import with_kd
from textbrewer_loop import with_textbrewer
from timing import interleave, median, report
from workload import Workload, matmul_precision, quiet

from data.encoding import EncodedTable, encode_table
from data.errors import InputError
from data.tables import gold_of
from kd.config_file import load_config
from kd.evaluation import score
from kd.hardware import new_accelerator, resolve_precision
from kd.run_folder import RunFolder, check_model
from kd.stages.teach import task_loss
from student.encoders import load_tokenizer
from student.inference import compute_logits
from student.model import StudentModel


def read_run(options: argparse.Namespace) -> tuple[Workload, EncodedTable, dict[str, StudentModel]]:
    """The run's train rows, dev rows and teachers.

    Raises InputError when the folder holds no run, or its teachers use another tokenizer.
    """
    run = RunFolder(options.run)
    config = load_config(run.config)
    if options.tasks:
        unknown = sorted(set(options.tasks) - set(config.tasks))
        if unknown:
            raise InputError(f"--tasks: {unknown}: choose from {list(config.tasks)}")
        chosen = {name: task for name, task in config.tasks.items() if name in options.tasks}
        config = config.model_copy(update={"tasks": chosen})
    splits, _ = run.load_splits()
    if config.teachers.encoder != config.student.encoder:
        raise InputError(f"{run.config}: TextBrewer needs teachers with the student's tokenizer")
    tokenizer = load_tokenizer(config.student.encoder)
    train = splits["train"]
    known = [np.isfinite(gold_of(train, name)).all(axis=1) for name in config.tasks]
    rows = train.select(np.flatnonzero(np.any(known, axis=0))).shuffle(seed=config.seed)
    if options.rows is not None:
        rows = rows.select(range(min(options.rows, len(rows))))
    train_rows, dev_rows = (
        encode_table(part, tokenizer, config.specs, max_tokens=config.data.max_tokens)
        for part in (rows, splits["dev"])
    )
    device = new_accelerator("fp32").device
    teachers = {}
    for spec in config.specs:
        check_model(run.teacher(spec.name), "kd teach")
        teacher = StudentModel.from_pretrained(run.teacher(spec.name))
        teachers[spec.name] = teacher.to(device).eval()
    losses = {
        spec.name: task_loss(config, spec, config.training, train_rows) for spec in config.specs
    }
    precision = resolve_precision(config.training.precision)
    return Workload(config, train_rows, losses, device, precision), dev_rows, teachers


def dev_scores(model: StudentModel, dev: EncodedTable) -> dict[str, float]:
    """task → macro-F1 on dev, and task/rationale → token-F1 of rows above the lowest level."""
    logits = compute_logits(model, dev)
    found = {}
    for spec in model.specs:
        scores = score(spec, dev, logits)
        found[spec.name] = scores["macro_f1"]
        if spec.has_rationale:
            rationale = scores["rationale"]["level>0"]["model"]
            found[f"{spec.name}/rationale"] = rationale["token_f1"]
    return found


def has_textbrewer() -> bool:
    """Whether TextBrewer can be imported; its source makes today's Python warn."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            importlib.import_module("textbrewer")
        except ImportError:
            return False
    return True


def main(arguments: list[str] | None = None) -> None:
    """Distil both ways and print the ratio, or say why not."""
    flags = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    flags.add_argument("--run", type=Path, help="folder of a run with its teachers")
    flags.add_argument("--tasks", nargs="+", help="some of the run's tasks; default: all")
    flags.add_argument("--rows", type=int, help="train rows, drawn at random; default: all")
    flags.add_argument("--epochs", type=float, default=4)
    flags.add_argument("--rounds", type=int, default=1)
    flags.add_argument("--threads", type=int, default=1)
    flags.add_argument("--their-precision", choices=("fp32", "bf16"), default="fp32")
    flags.add_argument("--quick", action="store_true", help="64 rows, one epoch")
    options = flags.parse_args(arguments)
    if options.quick:
        options.rows, options.epochs = 64, 1
    if not has_textbrewer():
        message = "textbrewer can't be imported: pip install textbrewer==0.2.1.post1"
        print(json.dumps({"benchmark": "against_textbrewer", "skipped": message}))
        return
    if options.run is None:
        flags.error("give --run, a folder with a run's teachers")
    quiet(options.threads)
    try:
        work, dev, teachers = read_run(options)
    except InputError as error:
        print(error, file=sys.stderr)
        raise SystemExit(2) from None
    students: dict[str, StudentModel] = {}
    seen: dict[str, Counter[str]] = {"kd": Counter(), "textbrewer": Counter()}
    theirs = options.their_precision
    theirs_matmul = "highest" if theirs == "fp32" else torch.get_float32_matmul_precision()

    def textbrewer_way(folder: Path) -> None:
        with matmul_precision(theirs_matmul):
            students["textbrewer"] = with_textbrewer(
                work, teachers, options.epochs, theirs, seen["textbrewer"], folder
            )

    def kd_way(folder: Path) -> None:
        students["kd"] = with_kd(work, options.epochs, seen["kd"], folder)

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        seconds = interleave(
            {
                "label": lambda: label(work, teachers, folder),
                "distil": lambda: kd_way(folder),
                "textbrewer": lambda: textbrewer_way(folder),
            },
            rounds=options.rounds,
            device=work.device,
            warm_up=False,
        )
    ours = median(seconds, "label") + median(seconds, "distil")
    time = median(seconds, "textbrewer") / ours
    examples = {name: sum(counts.values()) for name, counts in seen.items()}
    report(
        "against_textbrewer",
        {
            "time": time,
            "time_per_example": time * examples["kd"] / examples["textbrewer"],
            "label_share_of_ours": median(seconds, "label") / ours,
            "seconds": {"kd": ours, "textbrewer": median(seconds, "textbrewer")},
            "epochs": options.epochs,
            "rows": len(work.table),
            "examples_seen": {name: dict(counts) for name, counts in seen.items()},
            "dev": {name: dev_scores(model, dev) for name, model in students.items()},
            "precision": {"kd": work.precision, "textbrewer": f"{theirs} {theirs_matmul}"},
        },
        device=work.device,
    )


if __name__ == "__main__":
    main()
