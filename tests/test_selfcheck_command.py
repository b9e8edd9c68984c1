"""The self-check on the embedded samples: processes, micro-steps and a SIGKILL change nothing."""

import re
from pathlib import Path

import pytest

from kd.cli import main

ROOT = Path(__file__).resolve().parents[1]
EXACT = [
    r"soft targets, 1 and 2 processes: bytes that differ",
    r"losses, 1 process, killed at step \d+",
    r"weights, 1 process, killed at step \d+",
    r"steps with other rows, 1 process, killed at step \d+",
    r"losses, 2 processes, killed at step \d+",
    r"weights, 2 processes, killed at step \d+",
    r"steps with other rows, 2 processes, killed at step \d+",
    r"steps with other rows, 1 and 2 processes",
    r"steps with other rows, 2 processes killed at step \d+, 1 goes on",
]
CLOSE = [
    r"losses, 1 and 2 processes",
    r"weights, 1 and 2 processes",
    r"losses, 1 and 4 micro-steps",
    r"weights, 1 and 4 micro-steps",
    r"losses, 2 processes killed at step \d+, 1 goes on",
    r"weights, 2 processes killed at step \d+, 1 goes on",
]


def test_the_demo_is_the_same_run_however_it_is_divided_or_killed(
    tiny_encoder, capsys, monkeypatch, tmp_path
):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.chdir(tmp_path)
    encoders = [f"{part}.encoder={tiny_encoder}" for part in ("teachers", "student")]
    settings = [*encoders, "student.layers=null", "--steps", "60"]
    with pytest.raises(SystemExit) as end:
        main(["selfcheck", str(ROOT / "configs" / "demo.yaml"), *settings])
    said = capsys.readouterr()
    lines = said.out.splitlines()
    assert end.value.code == 0, (lines, said.err)
    for name in EXACT:
        assert any(re.fullmatch(rf"same +0 +of 0 +{name}", line) for line in lines), (name, lines)
    for name in CLOSE:
        assert any(re.fullmatch(rf"same .* of 1e-05 +{name}", line) for line in lines), (
            name,
            lines,
        )
    assert lines[-1] == "15 of 15 comparisons within their tolerance"
