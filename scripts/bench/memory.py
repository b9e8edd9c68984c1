"""Measures the peak memory of each stage of a run over generated rows of text.

    python scripts/bench/memory.py --rows 1000000

Prints one JSON line: for each stage the peak resident memory, that of the same stage over a few
rows (the model's own, with the libraries), and the difference, in MiB, with the seconds it took.
"""

import argparse
import json
import os
import random
import string
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
STAGES = ("data", "teach", "label", "distill", "evaluate")
# task → (its share of the rows, its classes)
TASKS = {"mood": (0.6, ("sad", "glad")), "topic": (0.4, ("home", "work", "school"))}
SYLLABLES = [first + second for first in "bdfgklmnprstvz" for second in "aeiou"]
CONFIG = """
name: bench
data: {{root: {folder}}}
tasks:
  mood: {{classes: [sad, glad], sources: [{{files: mood.csv, columns: {{id: id}}}}]}}
  topic: {{classes: [home, work, school], sources: [{{files: topic.csv, columns: {{id: id}}}}]}}
teachers: {{encoder: {encoder}, training: {{epochs: {epochs}, precision: fp32}}}}
student: {{encoder: {encoder}}}
training: {{epochs: {epochs}, precision: fp32}}
"""


def write_rows(folder: Path, rows: int, seed: int) -> None:
    """Write a CSV a task: id, a text of 5 to 25 words of two syllables, a label."""
    draw = random.Random(seed)
    words = [first + second for first in SYLLABLES for second in SYLLABLES]
    for task, (share, classes) in TASKS.items():
        with (folder / f"{task}.csv").open("w", encoding="utf-8") as file:
            file.write("id,text,label\n")
            for number in range(round(rows * share)):
                text = " ".join(draw.choices(words, k=draw.randint(5, 25)))
                file.write(f"{task}-{number},{text},{draw.choice(classes)}\n")


def write_encoder(folder: Path) -> None:
    """Save a two-layer BERT of 32 hidden units whose tokenizer spells words in syllables."""
    import torch
    from transformers import BertConfig, BertModel, BertTokenizerFast  # type: ignore[attr-defined]

    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *string.ascii_lowercase]
    pieces += [*SYLLABLES, *(f"##{syllable}" for syllable in SYLLABLES)]
    BertTokenizerFast(vocab={piece: number for number, piece in enumerate(pieces)}).save_pretrained(
        folder
    )
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(pieces),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=128,
    )
    BertModel(config, add_pooling_layer=False).save_pretrained(folder)


def memory_of(pid: int) -> dict[str, float]:
    """MiB of a process: its peak so far, and what no file backs now; none when it has ended."""
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    except OSError:
        return {}
    values = dict(line.split(":", 1) for line in status.splitlines())
    names = {"peak_mib": "VmHWM", "anonymous_mib": "RssAnon"}
    return {
        name: int(values[key].split()[0]) / 1024 for name, key in names.items() if key in values
    }


def measure(command: list[str]) -> dict[str, float]:
    """Run a command to its end: peak resident and peak anonymous MiB, and seconds.

    Raises SystemExit when it fails.
    """
    start = time.perf_counter()
    found = {"peak_mib": 0.0, "anonymous_mib": 0.0}
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    # Not getrusage: a child's peak there begins with that of the process that started it.
    with subprocess.Popen(command, stdout=sys.stderr, cwd=ROOT, env=environment) as process:
        while process.poll() is None:
            for name, value in memory_of(process.pid).items():
                found[name] = max(found[name], value)
            time.sleep(0.02)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)}: failed with status {process.returncode}")
    return {**found, "seconds": time.perf_counter() - start}


def measure_stages(folder: Path, encoder: Path, rows: int, seed: int) -> dict[str, dict[str, Any]]:
    """stage → what it took over so many generated rows; a process of its own for each."""
    folder.mkdir()
    write_rows(folder, rows, seed)
    # About the same number of optimizer steps whatever the rows.
    config = CONFIG.format(folder=folder, encoder=encoder, epochs=min(1.0, 5000 / rows))
    (folder / "bench.yaml").write_text(config, encoding="utf-8")
    found = {}
    for stage in STAGES:
        command = [sys.executable, "-m", "kd", stage, str(folder / "bench.yaml")]
        found[stage] = measure([*command, "--runs", str(folder / "runs")])
        print(f"{rows} rows, {stage}: {found[stage]}", file=sys.stderr)
    return found


def main() -> None:
    """Measure a run over a few rows and one over many, and print what the rows cost."""
    parser = argparse.ArgumentParser(description=__doc__, add_help=True)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--baseline-rows", type=int, default=2_000)
    parser.add_argument("--seed", type=int, default=13)
    parser.add_argument("--folder", type=Path, help="where the rows and runs go; default: /tmp")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        write_encoder(folder / "encoder")
        few = measure_stages(
            folder / "few", folder / "encoder", options.baseline_rows, options.seed
        )
        many = measure_stages(folder / "many", folder / "encoder", options.rows, options.seed)
    stages = {
        stage: {
            "peak_mib": round(many[stage]["peak_mib"]),
            "baseline_mib": round(few[stage]["peak_mib"]),
            "difference_mib": round(many[stage]["peak_mib"] - few[stage]["peak_mib"]),
            "anonymous_difference_mib": round(
                many[stage]["anonymous_mib"] - few[stage]["anonymous_mib"]
            ),
            "seconds": round(many[stage]["seconds"], 1),
        }
        for stage in STAGES
    }
    print(
        json.dumps(
            {
                "rows": options.rows,
                "baseline_rows": options.baseline_rows,
                "largest_difference_mib": max(s["difference_mib"] for s in stages.values()),
                "stages": stages,
            }
        )
    )


if __name__ == "__main__":
    main()
