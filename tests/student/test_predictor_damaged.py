"""Tests of student.predictor: a damaged model folder is refused by the name of its file."""

import json
import re
import shutil

import pytest
from safetensors.torch import load_file, save_file

from data.errors import InputError
from student.predictor import Predictor


@pytest.fixture
def folder(tiny_model, tmp_path):
    """A copy of the tiny model's folder."""
    return shutil.copytree(tiny_model, tmp_path / "model")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("model.safetensors", b""),
        ("model.safetensors", b"x" * 100),
        ("config.json", None),
        ("config.json", b"["),
        ("config.json", b"[]"),
        ("config.json", b"{}"),
        ("config.json", b'{"model_type": "kd-student", "encoder": {}}'),
        ("config.json", b'{"model_type": "kd-student", "encoder": {"model_type": "none"}}'),
        ("tasks.json", None),
        ("tasks.json", b"["),
        ("tasks.json", b"[1]"),
        ("tasks.json", b"[{}]"),
        ("tasks.json", b"\xff"),
        ("tokenizer.json", None),
        ("tokenizer.json", b"["),
        ("tokenizer.json", b"[]"),
        ("tokenizer.json", b"{}"),
        ("tokenizer.json", b'{"added_tokens": []}'),
        ("tokenizer_config.json", b"[]"),
    ],
)
def test_a_damaged_file_of_a_model_is_named(folder, name, content):
    (folder / name).unlink()
    if content is not None:
        (folder / name).write_bytes(content)
    with pytest.raises(InputError, match=re.escape(name)) as caught:
        Predictor.load(folder)
    assert str(folder) in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_weights_that_were_copied_in_part_are_refused(folder):
    weights = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(weights[: len(weights) // 2])
    with pytest.raises(InputError, match=r"model\.safetensors: can't be loaded: Error while "):
        Predictor.load(folder)


def test_weights_that_lack_a_part_are_refused(folder):
    """It would be drawn at random, and answer."""
    weights = load_file(folder / "model.safetensors")
    lost = next(name for name in weights if name.startswith("heads.mood"))
    del weights[lost]
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(InputError, match=rf"model\.safetensors: lacks '{re.escape(lost)}': copy "):
        Predictor.load(folder)


def test_weights_of_another_size_are_refused(folder):
    config = json.loads((folder / "config.json").read_text())
    next(task for task in config["tasks"] if task["name"] == "mood")["classes"].append("calm")
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match=r"model\.safetensors: can't be loaded: "):
        Predictor.load(folder)
