"""Measures the memory and the speed of kd predict over generated rows, and that it loses none.

    python scripts/bench/predict.py --rows 100000

Prints one JSON line: the peak resident memory in MiB when 10,000 rows were done and at the end,
the difference, and the rows a second between the first window of rows and the last; the rows
answered and rejected, of which every hundredth is empty; and whether a second run, killed half-way
and resumed, wrote the same bytes. The model is a two-layer BERT of 32 hidden units that answers
four tasks, three of them with rationales.
"""

import argparse
import csv
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from memory import ROOT, SYLLABLES, memory_of, write_encoder

FIRST_ROWS = 10_000
# A row in so many has no text.
EMPTY = 100


def write_rows(path: Path, rows: int, seed: int) -> None:
    """Write a CSV of id, text and context, each of 5 to 25 words of two syllables, or no text."""
    draw = random.Random(seed)
    words = [first + second for first in SYLLABLES for second in SYLLABLES]
    with path.open("w", encoding="utf-8") as file:
        file.write("id,text,context\n")
        for number in range(rows):
            text, context = (" ".join(draw.choices(words, k=draw.randint(5, 25))) for _ in range(2))
            file.write(f"row-{number},{text if (number + 1) % EMPTY else ''},{context}\n")


def write_model(folder: Path, encoder: Path) -> None:
    """Save a student of that encoder with fresh heads."""
    import torch

    from data.tasks import TaskSpec
    from student.encoders import load_encoder, load_tokenizer
    from student.model import new_student

    levels = ("none", "weak", "strong")
    mechanisms = ("emotional_reactions", "interpretations", "explorations")
    torch.manual_seed(0)
    model = new_student(
        load_encoder(str(encoder)),
        [
            *(
                TaskSpec(n, classes=levels, has_context=True, has_rationale=True)
                for n in mechanisms
            ),
            TaskSpec("sentiment", classes=("negative", "positive")),
        ],
        pooling="mean",
        head="two_layer",
        attention_heads=1,
        dropout=0.1,
        max_tokens=64,
    )
    model.save_pretrained(folder)
    load_tokenizer(str(encoder)).save_pretrained(folder)


def measure(command: list[str], journal: Path) -> dict[str, float]:
    """Run kd predict to its end, looking at its journal and its memory.

    Raises SystemExit when it fails.
    """
    found = {"peak_mib": 0.0, "first_peak_mib": 0.0, "first_rows": 0}
    seen: list[tuple[int, float]] = []  # rows done, and when
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, stdout=sys.stderr, cwd=ROOT, env=environment) as process:
        while process.poll() is None:
            memory = memory_of(process.pid)
            rows = _rows(journal)
            if rows and (not seen or rows > seen[-1][0]):
                seen.append((rows, time.perf_counter()))
            if memory:
                found["peak_mib"] = max(found["peak_mib"], memory["peak_mib"])
                if rows >= FIRST_ROWS and not found["first_rows"]:
                    found |= {"first_peak_mib": memory["peak_mib"], "first_rows": rows}
            time.sleep(0.02)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)}: failed with status {process.returncode}")
    (first, start), (last, end) = seen[0], seen[-1]
    return {**found, "rows_per_second": (last - first) / (end - start) if last > first else 0.0}


def _rows(journal: Path) -> int:
    """The rows in a journal, 0 while there is none."""
    try:
        return int(json.loads(journal.read_text(encoding="utf-8"))["rows"])
    except OSError:
        return 0


def kill_half_way(command: list[str], journal: Path, rows: int) -> int:
    """Run kd predict and kill it once half of the rows are done; how many were."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, stdout=sys.stderr, cwd=ROOT, env=environment) as process:
        while process.poll() is None and _rows(journal) < rows / 2:
            time.sleep(0.02)
        process.kill()
    return _rows(journal)


def files_of(target: Path) -> list[Path]:
    """The file of answers, and that of rejected rows beside it."""
    return [target, target.with_name(f"{target.name}.rejected.csv")]


def main(arguments: list[str] | None = None) -> None:
    """Generate a model and rows, predict them in a process of its own, and print what it took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=13)
    parser.add_argument(
        "--ending", default="csv", help="of the answers: csv, tsv, jsonl or parquet"
    )
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_encoder(folder / "encoder")
        write_model(folder / "model", folder / "encoder")
        write_rows(folder / "in.csv", options.rows, options.seed)
        targets = [folder / f"{name}.{options.ending}" for name in ("out", "again")]
        journals = [folder / f"{target.name}.part" / "journal.json" for target in targets]
        commands = [
            [
                *(sys.executable, "-m", "kd", "predict", str(folder / "model")),
                *(str(folder / "in.csv"), str(target)),
            ]
            for target in targets
        ]
        found = measure(commands[0], journals[0])
        size = targets[0].stat().st_size
        answers, rejected = files_of(targets[0])
        killed_at = kill_half_way(commands[1], journals[1], options.rows)
        measure([*commands[1], "--resume"], journals[1])
        is_same = all(
            one.read_bytes() == other.read_bytes()
            for one, other in zip(files_of(targets[0]), files_of(targets[1]), strict=True)
        )
        with rejected.open(encoding="utf-8", newline="") as file:
            rejected_rows = sum(1 for _ in csv.reader(file)) - 1
        answered_rows = None
        if options.ending == "csv":
            with answers.open(encoding="utf-8", newline="") as file:
                answered_rows = sum(1 for _ in csv.reader(file)) - 1
    print(
        json.dumps(
            {
                "benchmark": "predict",
                "rows": options.rows,
                "first_rows": found["first_rows"],
                "peak_mib_at_first_rows": round(found["first_peak_mib"], 1),
                "peak_mib": round(found["peak_mib"], 1),
                "difference_mib": round(found["peak_mib"] - found["first_peak_mib"], 1),
                "rows_per_second": round(found["rows_per_second"]),
                "answers_bytes": size,
                "rows_answered": answered_rows,
                "rows_rejected": rejected_rows,
                "killed_at_rows": killed_at,
                "same_bytes_after_resume": is_same,
            }
        )
    )


if __name__ == "__main__":
    main()
