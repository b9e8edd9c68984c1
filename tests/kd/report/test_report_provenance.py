"""Tests of kd.report.provenance: the command, the rows, the fingerprints and the versions."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from kd.report.provenance import provenance_section
from kd.run_folder import RunFolder
from teachers.soft_targets import SoftTargets, save_soft_targets

COUNTS = {"train": {"none": 1000, "weak": 234}, "dev": {"none": 5, "weak": 1}, "test": {"weak": 7}}
TASK = {"rows": COUNTS, "duplicates": 3, "conflicts": ["a", "b"], "unmatched": ["c"], "parts": 40}


@pytest.fixture
def run(planted, finished):
    found = finished(planted([0, 1], student=[0, 1]), folder="mine-2")
    return replace(found, profile={**found.profile, "tasks": {"reply": TASK}})


def test_the_command_that_makes_the_run_again_is_whole(run):
    section = provenance_section(run)
    assert section.data["command"] == "kd run mine-2/config.yaml"
    assert section.parts[0].sentences[0] == "Made again by: kd run mine-2/config.yaml"


def test_no_path_of_this_machine_is_in_it(run):
    section = provenance_section(run)
    assert str(run.run.path) not in json.dumps(section.data) + str(section.parts)


def test_the_rows_are_counted_by_split(run, cells):
    (rows, _) = provenance_section(run).parts[0].tables
    assert cells(rows) == [{
        "task": "reply", "train": "1,234", "dev": "6", "test": "7", "repeated rows merged": "3",
        "conflicting labels": "2", "rationale parts not in the text": "1 of 40",
    }]  # fmt: skip


def test_what_the_scores_come_from_is_named_by_its_hash(run):
    section = provenance_section(run)
    assert (section.data["splits_hash"], section.data["inputs"]) == ("hash", "inputs")
    assert section.parts[0].sentences[-1] == "Splits hash hash; settings, rows and student inputs."
    assert section.data["config"]["seed"] == 13


def test_each_teacher_stands_with_the_fingerprint_of_what_it_said(run, cells):
    path = run.run.soft_targets("reply")
    path.parent.mkdir()
    said = SoftTargets("reply", ("a", "b"), "f00d", pa.array(["row0"]), np.float32([[1, 2]]))
    save_soft_targets(said, path)
    section = provenance_section(run)
    assert section.data["teachers"] == {"reply": "f00d"}
    (table,) = (table for table in section.parts[0].tables if table.caption == "Teachers")
    assert list(cells(table)[0].values()) == ["reply", "here", "f00d"]


def test_an_outside_teacher_stands_with_its_files_name_and_its_weight(planted, finished, cells):
    listed = [{}, {"file": "/home/me/probs.csv", "weight": 3}]
    found = finished(planted([0, 1], student=[0, 1]), teachers={"tasks": {"reply": listed}})
    weights = {"reply": {"reply": 0.25, "reply-2": 0.75}}
    found = replace(found, metrics={**found.metrics, "teacher_weights": weights})
    for name in weights["reply"]:
        path = found.run.soft_targets(name)
        path.parent.mkdir(exist_ok=True)
        said = SoftTargets("reply", ("a", "b"), "f00d", pa.array(["row0"]), np.float32([[1, 2]]))
        save_soft_targets(said, path)
    section = provenance_section(found)
    (table,) = (table for table in section.parts[0].tables if table.caption == "Teachers")
    assert [list(row.values()) for row in cells(table)] == [
        ["reply", "here", "0.250", "f00d"],
        ["reply-2", "outside: probs.csv", "0.750", "f00d"],
    ]


def test_the_seconds_of_each_stage_are_shown(run, cells):
    (run.run.path / ".stages").mkdir()
    (run.run.path / ".stages" / "distill").write_text("key\n1234.5\n")
    section = provenance_section(run)
    assert section.data["seconds"] == {"distill": 1234.5}
    (table,) = (table for table in section.parts[0].tables if "Wall time" in table.caption)
    assert cells(table) == [{"stage": "distill", "seconds": "1,234"}]


def test_the_students_machine_and_versions_stand_beside_those_of_the_report(run, cells):
    run.run.student.mkdir()
    machine = {"processor": "An old one", "cores": 2, "memory_gib": 8.0, "gpus": []}
    trained = {"hardware": machine, "versions": {"python": "2.7", "torch": "0.1", "gone": "3"}}
    (run.run.student / "training.json").write_text(json.dumps(trained))
    section = provenance_section(run)
    assert "Student trained on An old one, 2 cores, 8 GiB, no GPU." in section.parts[0].sentences
    found = {row["package"]: row for row in cells(section.parts[0].tables[-1])}
    assert found["torch"]["student's training"] == "0.1"
    assert found["torch"]["report"] == section.data["report"]["versions"]["torch"] != "0.1"
    assert found["gone"]["report"] == ""


def test_a_relative_folder_is_shown_as_a_reader_in_the_same_place_types_it(run):
    assert run.shown_config == "mine-2/config.yaml"
    there = replace(run, run=RunFolder(Path("runs/mine")))
    assert there.shown_config == "runs/mine/config.yaml"
