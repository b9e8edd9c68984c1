"""Fixtures of the data tests: files written by hand, and tables of the public empathy files."""

from collections.abc import Callable
from pathlib import Path

import pytest

from data.readers.empathy_reddit import CLASSES
from data.rows import TaskRecords
from data.sources import Source
from data.tables import build_table
from data.tasks import TaskSpec

MECHANISMS = {"ER": "emotional-reactions", "IP": "interpretations", "EX": "explorations"}


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str, str | bytes], Path]:
    """A function that writes a file by name, byte for byte, and returns its path."""

    def written(name: str, content: str | bytes) -> Path:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return written


@pytest.fixture(scope="session")
def read_public_empathy(public_data: Path):
    """A function: build_table's answer for the three public files as ER, IP and EX, by seed."""

    def read(seed: int):
        tasks = [
            TaskRecords(
                TaskSpec(name, classes=CLASSES, has_context=True, has_rationale=True),
                Source(
                    reader="empathy_reddit", files=f"empathy-reddit/{mechanism}-reddit.csv"
                ).records(public_data),
            )
            for name, mechanism in MECHANISMS.items()
        ]
        return build_table(tasks, fractions={"train": 0.7, "dev": 0.15, "test": 0.15}, seed=seed)

    return read


@pytest.fixture(scope="session")
def public_empathy(read_public_empathy):
    """(table, profiles, overlaps) of the three public empathy files with seed 0."""
    return read_public_empathy(0)
