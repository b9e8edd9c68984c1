"""Tests of training by two processes: it walks the path that one process walks."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from kd.cli import main

# The reduction of gradients is tested between processors, of which every machine has some.
pytestmark = pytest.mark.skipif(torch.cuda.is_available(), reason="two processes share one GPU")
ROOT = Path(__file__).resolve().parents[1]
SAMPLES = ROOT / "data" / "samples"


@pytest.fixture(scope="module")
def sure_encoder(tiny_encoder, tmp_path_factory):
    """The tiny encoder without dropout: what is dropped would differ between the processes."""
    folder = tmp_path_factory.mktemp("sure") / "encoder"
    shutil.copytree(tiny_encoder, folder)
    config = json.loads((folder / "config.json").read_text())
    config |= {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


@pytest.fixture(scope="module")
def place(sure_encoder, tmp_path_factory):
    """A folder with the config of a student that learns from gold alone.

    Batches of 9 rows mix a task with rationales and one without, so the two halves differ in size
    and in what they know.
    """
    folder = tmp_path_factory.mktemp("two_processes")
    (folder / "gold.yaml").write_text(
        f"name: gold\n"
        f"data: {{root: {SAMPLES}, max_tokens: 32}}\n"
        f"tasks:\n"
        f"  sentiment:\n"
        f"    sources:\n"
        f"      - reader: sst2\n"
        f"        files: {{train: sst2/train.tsv, dev: sst2/dev.tsv, test: sst2/test.tsv}}\n"
        f"    limit: 40\n"
        f"  reactions:\n"
        f"    sources: [{{reader: empathy_reddit, files: empathy/emotional-reactions.csv}}]\n"
        f"    limit: 40\n"
        f"teachers: {{encoder: {sure_encoder}, training: {{epochs: 1, precision: fp32}}}}\n"
        f"student: {{encoder: {sure_encoder}, dropout: 0.0}}\n"
        f"training: {{objective: gold, epochs: 1, batch_size: 9, precision: fp32}}\n"
    )
    return folder


@pytest.fixture(scope="module")
def one(place):
    """The run of this process alone."""
    torch.set_num_threads(1)
    with pytest.raises(SystemExit, match=r"^0$"):
        main(["distill", str(place / "gold.yaml"), "--runs", str(place / "one")])
    return place / "one" / "gold"


@pytest.fixture(scope="module")
def launched(place):
    """What two processes of torchrun came to."""
    return launch("distill", str(place / "gold.yaml"), "--runs", str(place / "two"))


def launch(*arguments, program=("-m", "kd")):
    """A command of kd in two processes."""
    options = ["--standalone", "--nproc_per_node", "2", *program]
    return subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", *options, *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture(scope="module")
def two(place, launched):
    """The run of two processes."""
    assert launched.returncode == 0, launched.stderr[-3000:]
    return place / "two" / "gold"


def test_two_processes_end_with_the_weights_of_one(one, two):
    """Means of each process's own rows would weigh the smaller half too much."""
    first, second = (load_file(run / "student" / "model.safetensors") for run in (one, two))
    torch.testing.assert_close(second, first, atol=1e-5, rtol=0.0)


def test_two_processes_log_the_losses_of_one(one, two):
    rows, rows_of_two = (
        [json.loads(line) for line in (run / "logs" / "distill.jsonl").read_text().splitlines()]
        for run in (one, two)
    )
    assert len(rows) >= 2
    for row, row_of_two in zip(rows, rows_of_two, strict=True):
        assert row_of_two == pytest.approx(row, abs=1e-4)


@pytest.mark.usefixtures("two")
def test_two_processes_say_each_stage_once(launched):
    said, *lines = [line.split() for line in launched.stdout.splitlines()]
    assert said == ["2", "processes", "on", "CPU,", "1", "thread", "each"]
    assert lines == [["data", "done"], ["distill", "done"]]


def test_metrics_are_the_same_to_the_last_digit_at_any_batch_size_and_in_two_processes(place, one):
    arguments = ["evaluate", str(place / "gold.yaml"), "--runs", str(place / "one")]
    for command in ("teach", "label"):  # then they are scored too
        with pytest.raises(SystemExit, match=r"^0$"):
            main([command, *arguments[1:]])
    found = {}
    for size in ("1", "7", "64"):
        with pytest.raises(SystemExit, match=r"^0$"):
            main([*arguments, "--batch-size", size])
        found[size] = json.loads((one / "metrics.json").read_text())
    (one / "metrics.json").unlink()
    ended = launch(*arguments)
    assert ended.returncode == 0, ended.stderr[-3000:]
    found["two processes"] = json.loads((one / "metrics.json").read_text())
    assert all(scores == found["64"] for scores in found.values())
    for model in ("student", "teacher"):
        rationale = found["64"]["tasks"]["reactions"]["test"][model]["rationale"]
        assert rationale["faithfulness"]["rows"] > 0


def test_a_study_in_two_processes_trains_the_student_of_one(place, one):
    arguments = [str(place / "gold.yaml"), "--runs", str(place / "study"), "--seeds", "1"]
    program = [str(ROOT / "scripts" / "study.py")]
    ended = launch(*arguments, "--arms", "multi", program=program)
    assert ended.returncode == 0, ended.stderr[-3000:]
    said = [line.split() for line in ended.stdout.splitlines()]
    assert said[1:3] == [["data", "done"], ["study", "multi", "seed", "13", "done"]]
    place = place / "study" / "gold" / "study" / "multi" / "seed-13"
    first, second = (load_file(run / "student" / "model.safetensors") for run in (one, place))
    torch.testing.assert_close(second, first, atol=1e-5, rtol=0.0)


def test_sharded_weights_end_as_those_of_one_process(place, one):
    """FSDP2 needs as many passes in every process, and whole weights only when they are saved."""
    arguments = ["distill", str(place / "gold.yaml"), "--runs", str(place / "fsdp")]
    program = [str(ROOT / "tests" / "fsdp_on_processors.py")]
    ended = launch(*arguments, "checkpoints.every=4", program=program)
    assert ended.returncode == 0, ended.stderr[-3000:]
    first, second = (
        load_file(run / "student" / "model.safetensors") for run in (one, place / "fsdp" / "gold")
    )
    torch.testing.assert_close(second, first, atol=1e-5, rtol=0.0)


def test_a_mistake_is_told_once_and_without_a_traceback_of_ours(place, one):
    ended = launch("distill", str(place / "gold.yaml"), "seed=7", "--runs", str(place / "one"))
    assert ended.returncode != 0
    ours = ended.stderr.partition("torch/distributed/elastic")[0]
    assert ours.count("was made with another config") == 1
    assert "Traceback" not in ours
