"""The exported student against the models that it stands for, on one thread of this processor.

    python scripts/bench/inference.py --run runs/reddit --export runs/reddit/export

Systems that answer every task about a (text, context) pair take turns in one process: the
export's graphs in onnxruntime, the student in PyTorch, and two sets of teachers in PyTorch, one a
task, with fresh weights, which cost what trained ones do: of the student's width, with all layers
of the encoder that it was cut from, and of BERT-base's size. Tokenizing is left out. Of 32 pairs,
PyTorch, which leaves padding out, answers all in one batch; a graph answers them one by one, as
the export's predict.py does, and in one padded batch, too.
Then each is started in a process of its own: seconds to load it, tokenizer included, to its first
answer since the process began, and the peak of resident memory; the teachers are the run's own.
Prints one JSON line.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
import transformers
from datasets import Dataset
from timing import interleave, median, ratio, report, spread
from workload import ROOT

from data.batches import Batch, collate
from data.encoding import encode_table
from kd.config import Config
from kd.config_file import load_config
from kd.run_folder import RunFolder
from student.encoders import load_encoder_config, load_tokenizer, new_encoder
from student.model import StudentModel
from student.onnx_inference import open_graph
from teachers.building import new_teacher

BATCH = 32
Run = Callable[[Batch], object]

# Both are handed folders or a graph, and print the seconds of loading and the MiB at the peak.
# (What wait4 says of a child holds its parent's peak, too.)
PEAK = """
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
print(int(status["VmHWM"].split()[0]) / 1024)
"""
LOAD_TORCH = (
    """
import sys, time
import torch
from student.predictor import Predictor
torch.set_num_threads(1)
start = time.perf_counter()
models = [Predictor.load(folder) for folder in sys.argv[1:]]
print(time.perf_counter() - start)
for model in models:
    model(["I am so sorry, that must hurt."], ["I lost my job today."])
"""
    + PEAK
)
LOAD_GRAPH = (
    """
import sys, time
from pathlib import Path
import numpy as np, onnxruntime
from tokenizers import Tokenizer
graph = Path(sys.argv[1])
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
start = time.perf_counter()
session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
tokenizer = Tokenizer.from_file(str(graph.with_name("tokenizer.json")))
print(time.perf_counter() - start)
texts = tokenizer.encode("I am so sorry, that must hurt."), tokenizer.encode("I lost my job today.")
values = [np.array([part]) for text in texts for part in (text.ids, text.attention_mask)]
names = [node.name for node in session.get_inputs()]
session.run(None, dict(zip(names, values)))
"""
    + PEAK
)


def torch_run(models: Sequence[StudentModel]) -> Run:
    """The models' answers to a batch, one model after the other."""
    return lambda batch: [model.eval()(*batch.inputs()) for model in models]


def teachers_of(
    shape: transformers.PreTrainedConfig, config: Config, tokenizer_folder: Path
) -> list[StudentModel]:
    """A teacher a task, with an encoder of that shape and fresh weights."""
    with tempfile.TemporaryDirectory() as name:
        new_encoder(shape).save_pretrained(name)
        load_tokenizer(str(tokenizer_folder)).save_pretrained(name)
        return [
            new_teacher(
                spec,
                encoder=name,
                layers=None,
                seeker_is_frozen=True,
                pooling="mean",
                head="two_layer",
                attention_heads=1,
                dropout=0.1,
                max_tokens=config.data.max_tokens,
            )
            for spec in config.specs
        ]


def batches_of(rows: Dataset, student: Path, max_tokens: int) -> list[Batch]:
    """The first pairs of the rows one by one, and then together, in the student's tokens."""
    pairs = rows.select(np.flatnonzero([bool(context) for context in rows["context"]])[:BATCH])
    table = encode_table(pairs, load_tokenizer(str(student)), [], max_tokens=max_tokens)
    return [collate(table, np.array([row])) for row in range(len(table))] + [
        collate(table, np.arange(len(table)))
    ]


def start_up(code: str, paths: Sequence[Path], rounds: int) -> dict[str, float]:
    """Medians over processes: seconds of loading, seconds to the first answer, MiB at the peak."""
    found = []
    for _ in range(rounds):
        start = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-c", code, *map(str, paths)],
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
            check=False,
        )
        if done.returncode:
            raise SystemExit(f"a process that loads {paths[0]} failed: {done.stderr[-500:]}")
        loading, peak = map(float, done.stdout.split())
        found.append((loading, time.perf_counter() - start, peak))
    names = ("load_seconds", "first_answer_seconds", "peak_mib")
    return dict(zip(names, np.median(found, axis=0).tolist(), strict=True))


def main(arguments: list[str] | None = None) -> None:
    """Time every system on the same pairs, then start each anew, and print what it took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, required=True, help="a finished run with teachers")
    parser.add_argument("--export", type=Path, help="its export [default: RUN/export]")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    export: Path = options.export or options.run / "export"
    run, config = RunFolder(options.run), load_config(options.run / "config.yaml")
    folders = [
        run.teacher(name) for spec in config.specs for name in config.teachers.trained(spec.name)
    ]
    graphs = {
        precision: export / name
        for precision, name in (("int8", "model.int8.onnx"), ("fp32", "model.onnx"))
    }
    systems: dict[str, Run] = {f"student {p}": open_graph(path) for p, path in graphs.items()}
    systems["student torch"] = torch_run([StudentModel.from_pretrained(run.student)])
    shapes = {
        "teachers torch": load_encoder_config(config.student.encoder),
        "base-size teachers torch": transformers.BertConfig(
            vocab_size=len(load_tokenizer(str(run.student)))
        ),
    }
    for name, shape in shapes.items():
        systems[name] = torch_run(teachers_of(shape, config, run.student))
    *singles, together = batches_of(
        run.load_splits()[0]["dev"], run.student, config.data.max_tokens
    )
    values = _times(systems, singles, together, options.rounds)
    values["starting"] = {
        **{f"student {p}": start_up(LOAD_GRAPH, [path], 3) for p, path in graphs.items()},
        "student torch": start_up(LOAD_TORCH, [run.student], 3),
        "teachers torch": start_up(LOAD_TORCH, folders, 3),
    }
    values["megabytes"] = {p: path.stat().st_size / 1e6 for p, path in graphs.items()}
    report("inference", values, device=torch.device("cpu"))


def _times(
    systems: Mapping[str, Run], singles: Sequence[Batch], together: Batch, rounds: int
) -> dict[str, object]:
    """Milliseconds a pair, of single pairs and of 32, and the other systems over int8's."""

    def one_by_one(answer: Run) -> Callable[[], object]:
        return lambda: [answer(batch) for batch in singles]

    def at_once(answer: Run) -> Callable[[], object]:
        return lambda: answer(together)

    values: dict[str, object] = {"pairs": len(singles)}
    graphs = [name for name in systems if not name.endswith("torch")]
    of_32 = {name: (one_by_one if name in graphs else at_once)(a) for name, a in systems.items()}
    of_32 |= {f"{name}, padded": at_once(systems[name]) for name in graphs}
    asked = {"1": {name: one_by_one(a) for name, a in systems.items()}, "32": of_32}
    for size, actions in asked.items():
        with torch.inference_mode():
            seconds = interleave(actions, rounds=rounds, device=torch.device("cpu"))
        values[f"batch {size}"] = {
            "ms a pair": {n: median(seconds, n) * 1e3 / len(singles) for n in actions},
            "times int8": {n: ratio(seconds, n, "student int8") for n in actions},
            "spread": {n: spread(seconds, n, "student int8") for n in actions},
        }
    return values


if __name__ == "__main__":
    main()
