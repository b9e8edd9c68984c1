"""Tests of kd.run_log: rows of one training for programs and for TensorBoard."""

import json
from types import SimpleNamespace

import pytest

from kd.run_log import RunLog


def test_rows_are_json_lines_with_their_step_and_can_be_read_before_the_end(tmp_path):
    log = RunLog(tmp_path / "logs", "distill", SimpleNamespace(is_main_process=True))
    log.write(0, {"gold_weight": 0.0, "loss/mood": 0.7})
    log.write(10, {"dev_score": 0.5})
    lines = (tmp_path / "logs" / "distill.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [
        {"step": 0, "gold_weight": 0.0, "loss/mood": 0.7},
        {"step": 10, "dev_score": 0.5},
    ]
    log.close()


def test_the_same_rows_stand_in_tensorboard_files(tmp_path):
    pytest.importorskip("tensorboard", reason="tensorboard is not installed")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    log = RunLog(tmp_path, "distill", SimpleNamespace(is_main_process=True))
    log.write(3, {"loss/mood": 0.75})
    log.close()
    events = EventAccumulator(str(tmp_path / "distill")).Reload()
    assert [(e.step, e.value) for e in events.Scalars("loss/mood")] == [(3, 0.75)]


def test_another_process_than_the_main_one_writes_nothing(tmp_path):
    log = RunLog(tmp_path / "logs", "distill", SimpleNamespace(is_main_process=False))
    log.write(0, {"loss/mood": 0.7})
    log.close()
    assert not (tmp_path / "logs").exists()
