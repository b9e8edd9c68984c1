"""Provenance: what the report's figures were made from, and how to make them again."""

import json
from pathlib import Path
from typing import Any

from kd.environment import hardware, versions
from kd.report.answers import FinishedRun
from kd.report.section import Part, Section, Table
from kd.report.wording import number
from teachers.soft_targets import load_soft_targets


def provenance_section(finished: FinishedRun) -> Section:
    """Config, rows, versions, hardware, times, fingerprints, and the command."""
    trained = _trained(finished)
    data = {
        "command": f"kd run {finished.shown_config}",
        "config": finished.config.model_dump(mode="json"),
        "splits_hash": finished.profile["hash"],
        "rows": finished.profile["rows"],
        "inputs": finished.metrics["inputs"],
        "student": trained,
        "report": {"versions": versions(), "hardware": hardware()},
        "seconds": finished.run.seconds(),
        "teachers": _fingerprints(finished),
    }
    parts = [Part("", _sentences(data), _tables(finished, data))]
    return Section("provenance", "Provenance", parts, data)


def _trained(finished: FinishedRun) -> dict[str, Any]:
    """What the student's training kept of its end; empty where its folder has nothing of it."""
    path = finished.run.student / "training.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def _fingerprints(finished: FinishedRun) -> dict[str, str]:
    names = [name for task in finished.tasks for name in finished.config.teachers.of(task)]
    paths = {name: finished.run.soft_targets(name) for name in names}
    return {n: load_soft_targets(path).fingerprint for n, path in paths.items() if path.is_file()}


def _teacher(finished: FinishedRun, name: str) -> tuple[str, str]:
    """Where a teacher runs, by its file's name without this machine's folders, and its weight."""
    outside = {n: one for task in finished.tasks
               for n, one in finished.config.teachers.outside(task).items()}  # fmt: skip
    weights = finished.metrics.get("teacher_weights", {})
    weight = next((found[name] for found in weights.values() if name in found), None)
    hearing = [n for task in finished.tasks for n in finished.config.teachers.hearing(task)]
    where = "here, on speech" if name in hearing else "here"
    if name in outside:
        where = f"outside: {Path(outside[name].file).name}"
    return where, number(weight)


def _sentences(data: dict[str, Any]) -> list[str]:
    found = [f"Made again by: {data['command']}"]
    for what, about in (("Student trained", data["student"]), ("Report made", data["report"])):
        if "hardware" in about:
            machine = about["hardware"]
            gpus = ", ".join(machine["gpus"]) or "no GPU"
            found.append(
                f"{what} on {machine['processor']}, {machine['cores']} cores, "
                f"{machine['memory_gib']:g} GiB, {gpus}."
            )
    found.append(f"Splits hash {data['splits_hash']}; settings, rows and student {data['inputs']}.")
    return found


def _tables(finished: FinishedRun, data: dict[str, Any]) -> list[Table]:
    rows = [
        (
            name,
            *(f"{sum(task['rows'][split].values()):,}" for split in ("train", "dev", "test")),
            f"{task['duplicates']:,}",
            f"{len(task['conflicts']):,}",
            f"{len(task['unmatched']):,} of {task['parts']:,}",
        )
        for name, task in finished.profile["tasks"].items()
    ]
    columns = ("task", "train", "dev", "test", "repeated rows merged", "conflicting labels",
               "rationale parts not in the text")  # fmt: skip
    tables = [Table("Rows", columns, rows)]
    if data["seconds"]:
        tables.append(Table("Wall time of each stage, of its last start where it was resumed",
                            ("stage", "seconds"),
                            [(k, f"{v:,.0f}") for k, v in data["seconds"].items()]))  # fmt: skip
    if data["teachers"]:
        shown = [(n, *_teacher(finished, n), mark) for n, mark in data["teachers"].items()]
        about = ("teacher", "runs", "weight", "fingerprint of its files and rows")
        tables.append(Table("Teachers", about, shown).filled())
    of_student = data["student"].get("versions", {})
    of_report = data["report"]["versions"]
    both = [(name, of_student.get(name, ""), of_report.get(name, ""))
            for name in {**of_student, **of_report}]  # fmt: skip
    tables.append(Table("Versions", ("package", "student's training", "report"), both).filled())
    return tables
