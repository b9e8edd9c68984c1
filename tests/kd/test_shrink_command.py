"""Tests of kd shrink on the command line, and of what the other commands do with its folder."""

import csv
import json
import re

import pytest

from data.errors import InputError
from data.tasks import load_tasks
from kd.export import build
from kd.export.build import export_run
from kd.run_folder import content_key, model_files
from kd.shrink_command import named_layers
from student.inference import compute_logits
from student.model import StudentModel
from student.predictor import Predictor
from tests.running import kd


@pytest.fixture(scope="module")
def small(run, tmp_path_factory):
    """The folder of a smaller student that the command wrote."""
    folder = tmp_path_factory.mktemp("command") / "mine"
    kd("shrink", run.path, "--to", folder, "--layers", "0", "--ffn", "60", "--vocabulary", "train")
    return folder


def test_the_command_says_what_is_kept_what_it_costs_and_where_it_is(run, tmp_path, capsys):
    kd("shrink", run.path, "--to", tmp_path / "mine", "--layers", "1,0", "--ffn", "50")
    shown = capsys.readouterr()
    lines = shown.out.splitlines()
    assert [line.split()[0] for line in lines[:2]] == ["task", "mood"]
    assert "kept: 2 (1, 0) of 2 layers; 50 of 64 feed-forward units a layer" in lines
    assert re.fullmatch(r"0\.0 M parameters, 0\.1 MB → 0\.0 M parameters, 0\.1 MB", lines[-2])
    assert lines[-1] == f"smaller student: {tmp_path / 'mine'}"
    assert shown.err == ""
    certificate = json.loads((tmp_path / "mine" / "CERTIFICATE.json").read_text())
    assert certificate["cut"].keys() == {"layers", "units"}
    agreement = certificate["after"]["tasks"]["mood"]["label_agreement"]
    assert f"{100 * agreement:.1f} %" in lines[1]


def test_the_folder_is_named_shrunk_below_the_run_where_none_is_given(run):
    kd("shrink", run.path, "--layers", "0,1")
    assert (run.path / "shrunk" / "model.safetensors").is_file()
    Predictor.load(run.path / "shrunk")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], "kd shrink: nothing to cut: give --layers, --ffn or --vocabulary"),
        (["--layers", "0,x"], "--layers: 'x' is no number of a layer: give such as 0,2,4"),
        (["--layers", "1,1"], "--layers: '1' stands twice: name each layer once"),
        (["--layers", "0,2"], "layers: [0, 2]: choose from 0 to 1"),
        (["--ffn", "64"], "feed-forward units: 64: choose from 1 to 63 in 'bert'"),
        (["--vocabulary", "dev"], "--vocabulary: 'dev': give train, or a table ending in .csv,"),
        (["--layers", "1", "--agreement", "1"], "kd shrink: the smaller student gives "),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_mistake_ends_in_one_line_that_names_it_and_nothing_is_written(
    arguments, expected, run, tmp_path, capsys
):
    kd("shrink", run.path, "--to", tmp_path / "mine", *arguments, status=2)
    error = capsys.readouterr().err
    assert error.startswith(f"kd: {expected}")
    assert len(error.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("option", [["--ffn", "0"], ["--agreement", "1.5"]])
def test_a_number_out_of_its_range_names_the_option(option, run, capsys):
    kd("shrink", run.path, *option, status=2)
    assert option[0] in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "numbers"), [("3", (3,)), (" 0, 2,4", (0, 2, 4)), ("4,0", (4, 0))]
)
def test_layers_are_named_in_their_order(text, numbers):
    assert named_layers(text) == numbers


@pytest.mark.parametrize("text", ["", "0,", "-1", "1.0", "²"])
def test_what_is_no_number_is_no_layer(text):
    with pytest.raises(InputError, match="is no number of a layer"):
        named_layers(text)


def test_kd_predict_answers_with_it(small, tmp_path):
    (tmp_path / "in.csv").write_text("text,context\nso sorry to hear of it,my dog\n🙂 why?,\n")
    kd("predict", small, tmp_path / "in.csv", tmp_path / "out.csv")
    with (tmp_path / "out.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    predicted = Predictor.load(small)(["so sorry to hear of it", "🙂 why?"], ["my dog", ""])
    assert [row["mood"] for row in rows] == [answer["mood"].label for answer in predicted]
    assert [row["warmth"] for row in rows] == [predicted[0]["warmth"].label, ""]


def test_kd_export_writes_it_in_place_of_the_runs_student(run, small, monkeypatch):
    """The graph itself, which takes seconds, is the business of the export's own tests."""
    written = []
    monkeypatch.setattr(build, "write_graph", lambda model, path: path.write_bytes(b"graph"))

    def answers(path, specs, table, **_):
        written.append(path.name)
        return compute_logits(StudentModel.from_pretrained(small), table)

    monkeypatch.setattr(build, "compute_onnx_logits", answers)
    kd("export", run.path, "--student", small, "--precision", "fp32")
    certificate = json.loads((small / "export" / "CERTIFICATE.json").read_text())
    assert written == ["model.onnx"]
    assert certificate["student_hash"] == content_key(files=model_files(small))
    assert certificate["student_hash"] != content_key(files=model_files(run.student))
    # The trained student of this certificate is the smaller one, on its own tokens.
    assert certificate["precisions"]["fp32"]["largest_difference"] == 0
    assert certificate["files"].keys() == {
        path.name for path in (small / "export").iterdir() if path.name != "CERTIFICATE.json"
    }
    assert "1 (0) of 2 layers" in (small / "export" / "README.md").read_text()
    assert load_tasks(small / "export") == load_tasks(small)


def test_a_student_of_other_tasks_is_not_exported(run, tiny_model, tmp_path):
    with pytest.raises(
        InputError, match=r"was not made of the student of .*: give a folder that kd shrink"
    ):
        export_run(run.path, tmp_path / "mine", ["fp32"], smaller=tiny_model)
    with pytest.raises(InputError, match="holds no model"):
        export_run(run.path, tmp_path / "mine", ["fp32"], smaller=tmp_path)
