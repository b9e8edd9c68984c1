"""Tests of kd.stages.report: what makes the report again, and what does not."""

import pytest

from kd.config import Config
from kd.run_folder import RunFolder
from kd.stages.report import report_stage


def config_of(**changes):
    task = {"sources": [{"files": "mine.csv"}], "classes": ["sad", "glad"]}
    return Config.model_validate({"name": "mine", "tasks": {"mood": task}, **changes})


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A run with scores, whose report is a page without content."""
    found = RunFolder(tmp_path / "mine")
    found.student.mkdir(parents=True)
    found.metrics.write_text('{"score": 1}')

    def make_report(folders, target, *, with_card):
        assert (folders, target, with_card) == ([found.path], found.report, True)
        target.mkdir(exist_ok=True)
        (target / "index.html").touch()
        (found.student / "README.md").touch()

    monkeypatch.setattr("kd.report.build.make_report", make_report)
    return found


def test_without_a_change_the_report_is_made_once(run):
    assert [report_stage(config_of(), run) for _ in range(3)] == [True, False, False]


@pytest.mark.parametrize("changes", [{"margin": 0.05}, {"examples": True}])
def test_another_setting_of_the_report_makes_it_again(run, changes):
    report_stage(config_of(), run)
    changed = config_of(report=changes)
    assert [report_stage(changed, run) for _ in range(2)] == [True, False]


def test_other_settings_do_not_make_it_again_while_the_scores_are_the_same(run):
    report_stage(config_of(), run)
    assert not report_stage(config_of(logs={"every": 3}), run)


def test_other_scores_make_it_again(run):
    report_stage(config_of(), run)
    run.metrics.write_text('{"score": 2}')
    assert [report_stage(config_of(), run) for _ in range(2)] == [True, False]


def test_a_student_of_the_study_that_was_scored_makes_it_again(run):
    report_stage(config_of(), run)
    folder = run.path / "study" / "multi" / "seed-13"
    folder.mkdir(parents=True)
    (folder / "metrics.json").write_text("{}")
    assert [report_stage(config_of(), run) for _ in range(2)] == [True, False]


@pytest.mark.parametrize("lost", ["report/index.html", "student/README.md"])
def test_a_report_that_lost_a_file_is_made_again(run, lost):
    report_stage(config_of(), run)
    (run.path / lost).unlink()
    assert report_stage(config_of(), run)
