"""Fixtures of the export's tests: the export of a finished run, and its settings changed."""

import shutil

import pytest
import yaml

from kd.export.build import export_run


@pytest.fixture(scope="session")
def exported(run, tmp_path_factory):
    """(the folder of that run's export, its certificate)."""
    folder = tmp_path_factory.mktemp("exported") / "mine"
    return folder, export_run(run.path, folder, ["fp32", "fp16"])


@pytest.fixture
def same_graph(exported, monkeypatch):
    """Take the graph that was written already: tracing the student takes seconds."""

    def copy(model, path):
        shutil.copyfile(exported[0] / "model.onnx", path)

    monkeypatch.setattr("kd.export.build.write_graph", copy)


@pytest.fixture
def changed(run):
    """A function that changes a setting of the run's export for one test."""
    before = run.config.read_text()

    def change(**settings):
        values = yaml.safe_load(before)
        values["export"] |= settings
        run.config.write_text(yaml.safe_dump(values))

    yield change
    run.config.write_text(before)
