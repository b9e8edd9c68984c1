"""Tests of docs/capabilities.md: its numbers, its tests and its commands are all there."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest
from typer.main import get_command

from kd.cli import app

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "docs" / "capabilities.md").read_text(encoding="utf-8")
# A bar that is part of a cell is written \|.
ROWS = [
    [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
    for line in TEXT.splitlines()
    if re.match(r"\| \d", line)
]
# Rows whose subject is still being built say … in place of a test.
PENDING: set[str] = set()
NAMED = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")


@cache
def functions(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_the_numbers_1_to_68_stand_once_each_in_their_order():
    assert [int(row[0]) for row in ROWS] == list(range(1, 69))


@pytest.mark.parametrize("row", ROWS, ids=[row[0] for row in ROWS])
def test_every_row_names_tests_that_exist(row):
    number, capability, way, tests = row
    assert capability
    assert way
    named = NAMED.findall(tests)
    assert ("…" in tests) == (number in PENDING)
    rest = NAMED.sub("", tests).replace("<br>", "").strip()
    assert named or number in PENDING
    assert rest == "" or number in PENDING, "something that is no `path::name`"
    assert len(named) == len(set(named))
    for path, name in named:
        assert (ROOT / path).is_file(), path
        assert name in functions(ROOT / path), f"{path} has no {name}"


def test_every_command_exists_with_its_options():
    commands = get_command(app).commands  # type: ignore[attr-defined]
    found = re.findall(r"`kd (\w+)([^`]*)`", TEXT)
    assert len(found) > 10
    for name, rest in found:
        assert name in commands
        options = {option for one in commands[name].params for option in one.opts}
        assert set(re.findall(r"--[\w-]+", rest)) <= options
