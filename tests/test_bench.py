"""Tests of the benchmarks: each runs, prints one JSON line, and compares equal work."""

import importlib
import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from data.batches import collate
from kd.cli import main as kd

BENCH = Path(__file__).resolve().parents[1] / "scripts" / "bench"

KEYS = {
    "step": {
        "with_dropout", "without_dropout", "ours_without_naive_with_dropout", "same_precision",
        "flops_utilisation", "flops_utilisation_without_dropout", "gemm_gflops",
    },
    "cached_vs_live": {
        "live_over_cached_4_epochs", "live_over_cached_epoch", "label_over_cached_epoch",
    },
    "merged_vs_rows": {"tokens", "time", "time_same_batch_size"},
    "scaling": {"cost_per_row", "cost_per_token_by_length", "sixth_task_without_rows"},
}  # fmt: skip
RUN = """
name: tiny
data: {{root: embedded, max_tokens: 48}}
tasks:
  sentiment:
    sources:
      - reader: sst2
        files: {{train: sst2/train.tsv, dev: sst2/dev.tsv, test: sst2/test.tsv}}
    limit: 48
  reactions:
    sources: [{{reader: empathy_reddit, files: empathy/emotional-reactions.csv}}]
    limit: 48
teachers: {{encoder: {encoder}, training: {{epochs: 1}}}}
student: {{encoder: {encoder}}}
training: {{batch_size: 16}}
"""
EVERYWHERE = {"benchmark", "device", "clock", "threads", "torch", "precision"}


@pytest.fixture(autouse=True)
def bench(monkeypatch):
    """The benchmarks as modules, and torch's settings as they were."""
    monkeypatch.syspath_prepend(str(BENCH))
    before = torch.get_float32_matmul_precision()
    yield importlib.import_module
    torch.set_float32_matmul_precision(before)
    for path in BENCH.glob("*.py"):
        sys.modules.pop(path.stem, None)


@pytest.fixture
def arguments(tiny_encoder):
    """The command line of a run that takes seconds."""
    return ["--data", "embedded", "--encoder", str(tiny_encoder), "--quick"]


@pytest.mark.parametrize("name", KEYS)
def test_a_benchmark_prints_one_json_line(bench, arguments, capsys, name):
    bench(name).main(arguments)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1
    values = json.loads(lines[0])
    assert KEYS[name] | EVERYWHERE <= values.keys()
    assert values["benchmark"] == name


def test_the_naive_loop_and_the_student_step_come_to_the_same_weights(bench, arguments):
    """A naive loop with other examples, padding errors or another loss would compare other work."""
    workload, step = bench("workload"), bench("step")
    work = workload.load(workload.parser(None).parse_args(arguments))
    work = replace(work, precision="fp32")
    # Wider than any row: the padding of the naive loop must count nothing.
    wide = work.config.model_copy(
        update={"data": work.config.data.model_copy(update={"max_tokens": 80})}
    )
    rows = work.plan.batch(0)
    models = [workload.new_model(work), workload.new_model(work, plain=True)]
    start = [value.clone() for value in models[0].state_dict().values()]
    for model in models:
        workload.use_dropout(model, 0.0)
    # Not AdamW: its first step is the gradient's sign, which the least rounding turns.
    ours, naive = (torch.optim.SGD(model.parameters(), lr=1.0) for model in models)
    workload.student_step(work, models[0], ours, rows)
    step.naive_step(
        work, models[1], naive, step.naive_batches(replace(work, config=wide), rows), "fp32"
    )
    moved = 0.0
    for first, second, before in zip(
        *(m.state_dict().values() for m in models), start, strict=True
    ):
        torch.testing.assert_close(first, second, rtol=1e-4, atol=1e-5)
        moved = max(moved, (first - before).abs().max().item())
    assert moved > 1e-2


def test_asking_the_teachers_now_gives_the_soft_targets_that_labelling_writes(
    bench, arguments, tmp_path
):
    """Otherwise the live variant would do other work than the cached one."""
    workload, live = bench("workload"), bench("cached_vs_live")
    work = workload.load(workload.parser(None).parse_args(arguments), rows=32)
    work = replace(work, precision="fp32")
    teachers = {spec.name: live.teacher_of(work, spec) for spec in work.config.specs}
    live.label(work, teachers, tmp_path)
    cached = replace(work, table=live.with_read_targets(work, tmp_path))
    rows = work.plan.batch(0)
    expected = collate(cached.table, rows)
    found = live.ask(work, teachers, collate(work.table, rows), rows)
    for name in ("soft", "soft_tokens"):
        assert getattr(found, name).keys() == getattr(expected, name).keys()
        for task, values in getattr(expected, name).items():
            torch.testing.assert_close(
                getattr(found, name)[task], values, rtol=1e-3, atol=1e-4, equal_nan=True
            )


def test_interleaved_variants_take_turns_and_reverse(bench):
    order = []
    variants = {name: (lambda name=name: order.append(name)) for name in "ab"}
    seconds = bench("timing").interleave(variants, rounds=3, device=torch.device("cpu"))
    assert "".join(order) == "ab" + "ab" + "ba" + "ab"  # the first two are not timed
    assert [len(values) for values in seconds.values()] == [3, 3]


def test_without_textbrewer_the_comparison_says_that_it_was_skipped(bench, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "textbrewer", None)
    bench("against_textbrewer").main([])
    assert "textbrewer" in json.loads(capsys.readouterr().out)["skipped"]


def test_both_engines_see_each_task_and_score_on_dev(bench, capsys, tiny_encoder, tmp_path):
    against = bench("against_textbrewer")
    if not against.has_textbrewer():
        pytest.skip("textbrewer is absent: its comparison is left out")
    config = tmp_path / "tiny.yaml"
    config.write_text(RUN.format(encoder=tiny_encoder))
    with pytest.raises(SystemExit, match=r"^0$"):
        kd(["teach", str(config), "--runs", str(tmp_path)])
    capsys.readouterr()
    against.main(["--run", str(tmp_path / "tiny"), "--quick"])
    values = json.loads(capsys.readouterr().out)
    assert values["time"] > 0
    assert values["examples_seen"].keys() == values["dev"].keys() == {"kd", "textbrewer"}
    assert values["dev"]["kd"].keys() == values["dev"]["textbrewer"].keys()
    assert all(set(seen) <= {"sentiment", "reactions"} for seen in values["examples_seen"].values())
