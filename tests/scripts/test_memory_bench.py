"""Tests of scripts/bench/memory.py: the rows follow from the seed, the peak is the command's."""

import csv
import importlib.util
import sys
from pathlib import Path

import pytest

PATH = Path(__file__).resolve().parents[2] / "scripts" / "bench" / "memory.py"


@pytest.fixture(scope="module")
def bench():
    spec = importlib.util.spec_from_file_location("memory_bench", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_rows_follow_from_the_seed_and_are_shared_among_the_tasks(bench, tmp_path):
    for name, seed in (("one", 1), ("same", 1), ("other", 2)):
        (tmp_path / name).mkdir()
        bench.write_rows(tmp_path / name, 50, seed)
    files = {name: (tmp_path / name / "mood.csv").read_text() for name in ("one", "same", "other")}
    assert files["one"] == files["same"] != files["other"]
    rows = list(csv.DictReader(files["one"].splitlines()))
    assert len(rows) == 30
    assert len((tmp_path / "one" / "topic.csv").read_text().splitlines()) == 1 + 20
    assert {row["label"] for row in rows} == {"sad", "glad"}
    assert all(5 <= len(row["text"].split()) <= 25 for row in rows)


def test_the_peak_of_a_command_holds_what_it_took_and_gave_back(bench):
    code = "import time; held = bytearray({} << 20); time.sleep(0.3)"
    little, much = (bench.measure([sys.executable, "-c", code.format(n)]) for n in (0, 150))
    for kind in ("peak_mib", "anonymous_mib"):
        assert 140 < much[kind] - little[kind] < 170
    assert little["peak_mib"] < 100


def test_a_command_that_fails_ends_the_measurement(bench):
    with pytest.raises(SystemExit, match="failed with status 3"):
        bench.measure([sys.executable, "-c", "raise SystemExit(3)"])
