"""Provenance: what the report's figures were made from, and how to make them again."""

import os
import platform
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from kd.report.answers import FinishedRun
from kd.report.section import Part, Section, Table
from teachers.soft_targets import load_soft_targets

PACKAGES = ("kd-empathy", "torch", "transformers", "datasets", "accelerate", "tokenizers",
            "numpy", "scipy", "scikit-learn", "statsmodels")  # fmt: skip


def provenance_section(finished: FinishedRun) -> Section:
    """Config, rows, versions, hardware, times, fingerprints, and the command."""
    data = {
        "command": f"kd run {finished.run.config}",
        "config": finished.config.model_dump(mode="json"),
        "splits_hash": finished.profile["hash"],
        "rows": finished.profile["rows"],
        "student_hash": finished.metrics["student_hash"],
        "versions": {"python": platform.python_version(), **versions()},
        "hardware": hardware(),
        "seconds": finished.run.seconds(),
        "teachers": _fingerprints(finished),
    }
    parts = [Part("", _sentences(data), _tables(finished, data))]
    return Section("provenance", "Provenance", parts, data)


def versions() -> dict[str, str]:
    """Package → installed version; the project itself is not installed in a bare checkout."""
    found = {}
    for name in PACKAGES:
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def hardware() -> dict[str, Any]:
    """This machine, where the report is made: processor, cores, memory in GiB, GPUs."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "gpus": [torch.cuda.get_device_name(n) for n in range(torch.cuda.device_count())],
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def _fingerprints(finished: FinishedRun) -> dict[str, str]:
    names = [name for task in finished.tasks for name in finished.config.teachers.of(task)]
    paths = {name: finished.run.soft_targets(name) for name in names}
    return {n: load_soft_targets(path).fingerprint for n, path in paths.items() if path.is_file()}


def _sentences(data: dict[str, Any]) -> list[str]:
    machine = data["hardware"]
    gpus = f", {', '.join(machine['gpus'])}" if machine["gpus"] else ", no GPU"
    return [
        f"Made again by: {data['command']}",
        f"Report made on {machine['processor']}, {machine['cores']} cores, "
        f"{machine['memory_gib']:g} GiB{gpus}.",
        f"Splits hash {data['splits_hash']}, student {data['student_hash']}.",
    ]


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
        tables.append(Table("Teachers", ("teacher", "fingerprint of weights, tokenizer and rows"),
                            list(data["teachers"].items())))  # fmt: skip
    tables.append(Table("Versions", ("package", "version"), list(data["versions"].items())))
    return tables
