"""Tests of kd.environment: what is told of packages and machine, and that nothing is asked for."""

import json
import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest
import torch

from kd import environment
from kd.environment import hardware, versions


def test_the_versions_are_those_that_are_installed():
    found = versions()
    assert found["python"] == platform.python_version()
    assert found["torch"] == torch.__version__
    assert found["scikit-learn"] == version("scikit-learn")


def test_a_package_that_is_not_installed_is_left_out(monkeypatch):
    """The project itself, in a bare checkout."""

    def only_torch(name):
        if name == "torch":
            return "1.2"
        raise PackageNotFoundError(name)

    monkeypatch.setattr(environment, "version", only_torch)
    assert versions() == {"python": platform.python_version(), "torch": "1.2"}


def test_the_machine_is_told_in_numbers_that_json_can_hold(monkeypatch):
    pages = {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": 4 * 2**18 + 2**17}
    monkeypatch.setattr(os, "sysconf", pages.__getitem__)
    monkeypatch.setattr(os, "cpu_count", lambda: 3)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda number: f"card {number}")
    found = json.loads(json.dumps(hardware()))
    assert (found["cores"], found["memory_gib"]) == (3, 4.5)
    assert found["gpus"] == ["card 0", "card 1"]


@pytest.mark.parametrize(
    ("lines", "name"),
    [
        (
            "processor: 0\nmodel name\t: A Fast One @ 3 GHz\nmodel name: Another\n",
            "A Fast One @ 3 GHz",
        ),
        ("cpu: 0\n", "an arm"),
        (None, "an arm"),
    ],
)
def test_the_processor_goes_by_the_name_that_the_machine_gives(tmp_path, monkeypatch, lines, name):
    if lines is not None:
        (tmp_path / "cpuinfo").write_text(lines)
    monkeypatch.setattr(environment, "Path", lambda _: tmp_path / "cpuinfo")
    monkeypatch.setattr(platform, "processor", lambda: "an arm")
    assert hardware()["processor"] == name


def test_the_tests_run_on_the_versions_that_are_pinned():
    """Python 3.11 or newer, and the fifth transformers, which the older systems do not run on."""
    root = Path(__file__).resolve().parents[2]
    assert sys.version_info >= (3, 11)
    assert "python_requires = >=3.11" in (root / "setup.cfg").read_text()
    pins = dict(
        line.split("==") for line in (root / "constraints.txt").read_text().split() if "==" in line
    )
    assert version("transformers") == pins["transformers"]
    assert pins["transformers"].startswith("5.")
