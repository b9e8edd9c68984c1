"""Tests of kd.run_log: rows of one training for programs and for TensorBoard."""

import json
from types import SimpleNamespace

import pytest

from kd.run_log import RunLog

MAIN = SimpleNamespace(is_main_process=True, process_index=0, num_processes=2)
OTHER = SimpleNamespace(is_main_process=False, process_index=1, num_processes=2)


def opened(folder, accelerator=MAIN, step=0, **options):
    log = RunLog(folder, "distill", accelerator, **options)
    log.open(step)
    return log


def rows(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_rows_are_json_lines_with_their_step_and_can_be_read_before_the_end(tmp_path):
    log = opened(tmp_path / "logs")
    log.write(0, {"gold_weight": 0.0, "loss/mood": 0.7})
    log.write(10, {"dev_score": 0.5})
    assert rows(tmp_path / "logs" / "distill.jsonl") == [
        {"step": 0, "gold_weight": 0.0, "loss/mood": 0.7},
        {"step": 10, "dev_score": 0.5},
    ]
    log.close()


def test_numbers_of_the_whole_training_stand_once_at_its_begin(tmp_path):
    """A training that goes on keeps the row it has."""
    about = {"teacher_weight/mood": 0.25}
    opened(tmp_path, about=about).close()
    opened(tmp_path, step=3, about=about).close()
    assert rows(tmp_path / "distill.jsonl") == [{"step": 0, **about}]


def test_the_same_rows_stand_in_tensorboard_files(tmp_path):
    pytest.importorskip("tensorboard", reason="tensorboard is not installed")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    log = opened(tmp_path)
    log.write(3, {"loss/mood": 0.75})
    log.close()
    events = EventAccumulator(str(tmp_path / "distill")).Reload()
    assert [(e.step, e.value) for e in events.Scalars("loss/mood")] == [(3, 0.75)]


def test_another_process_than_the_main_one_writes_nothing(tmp_path):
    log = opened(tmp_path / "logs", OTHER)
    log.write(0, {"loss/mood": 0.7})
    log.close()
    assert list((tmp_path / "logs").iterdir()) == []


def test_a_log_opened_at_a_step_forgets_that_step_and_later_ones(tmp_path):
    """A resumed training would else show the steps between the checkpoint and the kill twice."""
    first = opened(tmp_path)
    for step in range(4):
        first.write(step, {"loss": float(step)})
    first.close()
    with (tmp_path / "distill.jsonl").open("a") as file:
        file.write('{"step": 4, "lo')  # killed in the middle of a line
    second = opened(tmp_path, step=2)
    second.write(2, {"loss": -2.0})
    second.close()
    assert rows(tmp_path / "distill.jsonl") == [
        {"step": 0, "loss": 0.0},
        {"step": 1, "loss": 1.0},
        {"step": 2, "loss": -2.0},
    ]


def test_a_log_opened_at_the_start_is_empty(tmp_path):
    for _ in range(2):
        log = opened(tmp_path)
        log.write(0, {"loss": 1.0})
        log.close()
    assert rows(tmp_path / "distill.jsonl") == [{"step": 0, "loss": 1.0}]


def test_every_process_writes_its_own_rows_where_asked_for(tmp_path):
    for accelerator in (MAIN, OTHER):
        log = opened(tmp_path, accelerator, with_rows=True)
        log.write_rows(0, [f"row-{accelerator.process_index}"])
        log.close()
    for process in (0, 1):
        assert rows(tmp_path / f"distill.rows-{process}.jsonl") == [
            {"step": 0, "rows": [f"row-{process}"]}
        ]


def test_rows_of_a_process_that_is_no_more_are_forgotten_from_the_step_on(tmp_path):
    """Two processes were killed and one goes on: a row would else be counted twice."""
    for accelerator in (MAIN, OTHER):
        log = opened(tmp_path, accelerator, with_rows=True)
        for step in range(3):
            log.write_rows(step, ["a"])
        log.close()
    alone = SimpleNamespace(is_main_process=True, process_index=0, num_processes=1)
    opened(tmp_path, alone, step=1, with_rows=True).close()
    for process in (0, 1):
        assert rows(tmp_path / f"distill.rows-{process}.jsonl") == [{"step": 0, "rows": ["a"]}]
