"""Tests of README.md: what it tells a reader to type, write or open is there."""

import re
import shlex
from itertools import takewhile
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from kd.cli import app
from kd.config import Study, Task
from kd.config_file import load_config

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    fenced = re.findall(r"^```(\w*)\n(.*?)^```$", README, flags=re.MULTILINE | re.DOTALL)
    return [text for found, text in fenced if found == language]


def commands() -> list[list[str]]:
    lines = "\n".join([*blocks("bash"), *re.findall(r"`(kd [^`]+)`", README)]).splitlines()
    return [shlex.split(line, comments=True) for line in lines if line.strip()]


@pytest.mark.parametrize("command", commands(), ids=" ".join)
def test_every_command_names_files_settings_and_options_that_exist(command, monkeypatch):
    monkeypatch.chdir(ROOT)
    for word in command:
        if word.startswith(("scripts/", "configs/")):
            assert (ROOT / word).is_file()
    configs = [Path(word) for word in command if re.fullmatch(r"configs/\w+\.yaml", word)]
    overrides = [w for w in command if re.match(r"[a-z_.]+=", w) and "…" not in w]
    for config in configs:
        load_config(config, overrides)
    if command[0] == "kd" and command[1] != "label":
        assert CliRunner().invoke(app, [command[1], "--help"]).exit_code == 0
        known = CliRunner().invoke(app, [command[1], "--help"], env={"COLUMNS": "200"}).output
        for option in (word for word in command if word.startswith("--")):
            assert option in known


@pytest.mark.parametrize("block", blocks("yaml"), ids=range(len(blocks("yaml"))))
def test_every_task_and_study_in_yaml_is_valid(block):
    for name, part in yaml.safe_load(block).items():
        (Study if name == "study" else Task).model_validate(part)


def test_every_file_of_the_tree_exists():
    tree = next(block for block in blocks("") if block.startswith("configs/"))
    folder = ROOT
    for line in tree.splitlines():
        if not line.startswith(" "):
            folder = ROOT / line.split()[0]
            assert folder.is_dir()
            continue
        names = list(takewhile(lambda word: word.endswith((".py", "/")), line.split()))
        assert names
        for name in names:
            assert (folder / name).exists(), name


def test_every_module_stands_in_the_tree():
    tree = next(block for block in blocks("") if block.startswith("configs/")).split()
    for folder in ("data", "student", "teachers", "kd"):
        for path in (ROOT / folder).glob("*.py"):
            assert path.name.startswith("__") or path.name in tree, path.name
