"""Tests of scripts/test.sh, the commands that it calls put in place by small scripts."""

import os
import shutil
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.conftest import SLOW, pytest_collection_modifyitems

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
TOOLS = ("bash", "cat", "dirname", "find", "sha256sum", "touch", "mkdir")
BUILD = """
mkdir -p kd/page/vendor node_modules
touch kd/page/vendor/sources.sha256
"""


def write_script(path, then=""):
    """A script that notes its name and arguments."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f'#!/usr/bin/env bash\necho "${{0##*/}} $*" >> called\n{then}\n')
    path.chmod(0o755)


@pytest.fixture
def tree(tmp_path):
    """A project's folder with test.sh and setup.sh, and a folder of tools that has no npm."""
    for name in ("test.sh", "setup.sh"):
        (tmp_path / "scripts").mkdir(exist_ok=True)
        shutil.copyfile(SCRIPTS / name, tmp_path / "scripts" / name)
    for name in ("setup.cfg", "constraints.txt", "package.json", "package-lock.json"):
        (tmp_path / name).write_text("")
    (tmp_path / "kd" / "page" / "assets").mkdir(parents=True)
    (tmp_path / "kd" / "page" / "assets" / "page.js").write_text("")
    write_script(tmp_path / "scripts" / "build_page.sh", BUILD)
    for name in ("python", "ruff", "mypy", "pytest"):
        write_script(tmp_path / ".venv" / "bin" / name)
    (tmp_path / "tools").mkdir()
    for name in TOOLS:
        (tmp_path / "tools" / name).symlink_to(shutil.which(name))
    return tmp_path


def run(tree, *arguments):
    """What test.sh says, and the names of what it called, set-up aside."""
    (tree / "called").unlink(missing_ok=True)
    done = subprocess.run(
        ["bash", "scripts/test.sh", *arguments],
        capture_output=True, text=True, check=True, cwd=tree, env={"PATH": str(tree / "tools")},
    )  # fmt: skip
    called = (tree / "called").read_text().splitlines()
    return done.stdout + done.stderr, [call for call in called if not call.startswith("python ")]


def test_the_page_is_built_before_the_tests_where_it_is_missing_or_old(tree):
    write_script(tree / "tools" / "npm")
    said, called = run(tree)
    assert called[0] == "build_page.sh "
    assert called[-1].startswith("pytest ")
    assert "Building the browser page\n" in said
    said, called = run(tree)
    assert "build_page.sh " not in called
    assert "browser page" not in said
    os.utime(tree / "kd" / "page" / "vendor" / "sources.sha256", (1, 1))
    assert "build_page.sh " in run(tree)[1]


def test_without_npm_or_after_a_failed_build_the_tests_run_and_one_line_says_so(tree):
    said, called = run(tree)
    assert "build_page.sh " not in called
    assert called[-1].startswith("pytest ")
    assert [line for line in said.splitlines() if "page" in line] == [
        "No npm (on Debian: apt-get install npm): tests of the built browser page are left out"
    ]
    write_script(tree / "tools" / "npm")
    write_script(tree / "scripts" / "build_page.sh", "exit 1")
    said, called = run(tree)
    assert called[-1].startswith("pytest ")
    assert "The browser page can't be built here\n" in said


def test_arguments_go_to_pytest_behind_those_for_several_processes(tree):
    _, called = run(tree, "tests/data", "-k", "spans")
    assert called[-1].startswith("pytest -n auto ")
    assert called[-1].endswith(" tests/data -k spans")


def test_slow_files_come_first_in_their_order_and_stay_whole():
    tests = SCRIPTS.parent / "tests"
    names = ["data/test_a.py", "test_report.py", "kd/page/test_b.py", "kd/test_c.py",
             "kd/page/test_b.py", "test_selfcheck_command.py", "data/test_a.py"]  # fmt: skip
    items = [SimpleNamespace(path=tests / name, number=n) for n, name in enumerate(names)]
    pytest_collection_modifyitems(items)
    assert [item.number for item in items] == [5, 2, 4, 1, 0, 3, 6]
    assert [name for name in SLOW if not (tests / name).exists()] == []
