"""Tests of kd.export.build: what stands in an export's folder, and when there is none."""

import hashlib
import json
import shutil

import numpy as np
import onnx
import pytest
from datasets import concatenate_datasets, load_from_disk
from onnx import numpy_helper
from transformers import AutoModel

from data.encoding import encode_table
from data.errors import InputError
from data.tasks import load_tasks
from kd.cli import main
from kd.evaluation import score
from kd.export import build
from kd.export.build import check_tokens, export_run
from kd.export.precisions import PRECISIONS, named_precisions
from student.encoders import load_tokenizer
from student.inference import compute_logits
from student.model import StudentModel
from student.onnx_export import write_half
from student.onnx_inference import compute_onnx_logits
from student.predictor import Predictor

FILES = {
    *("model.safetensors", "config.json", "tokenizer.json", "tokenizer_config.json", "tasks.json"),
    *("model.onnx", "model.fp16.onnx", "predict.py", "README.md", "CERTIFICATE.json"),
}
TEXTS = ["so sorry to hear of your day", "at 40 i do like the day", "glad and sad and happy"]
CONTEXTS = ["my dog of 3 years happened", "", "what a day"]


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_an_export_holds_these_files_and_nothing_else(exported):
    assert {path.name for path in exported[0].iterdir()} == FILES


def test_an_export_answers_like_the_run_it_came_from(run, exported):
    folder, _ = exported
    mine, original = Predictor.load(folder), Predictor.load(run.path)
    assert mine(TEXTS, CONTEXTS) == original(TEXTS, CONTEXTS)
    assert type(AutoModel.from_pretrained(folder)) is StudentModel


def test_the_tasks_file_says_what_the_students_says_and_how_to_feed_the_graph(run, exported):
    folder, _ = exported
    assert load_tasks(folder) == load_tasks(run.student)
    rows = json.loads((folder / "tasks.json").read_text())
    assert [row["name"] for row in rows] == ["mood", "warmth", "age"]
    assert [row["inputs"] for row in rows] == [["text"], ["text", "context"], ["text"]]
    assert {row["rationale_threshold"] for row in rows} == {0.5}
    assert {row["max_tokens"] for row in rows} == {24}


def test_the_certificate_lists_every_file_with_its_hash(exported):
    folder, certificate = exported
    assert certificate == json.loads((folder / "CERTIFICATE.json").read_text())
    assert certificate["files"].keys() == FILES - {"CERTIFICATE.json"}
    for name, found in certificate["files"].items():
        content = (folder / name).read_bytes()
        assert found == {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    assert {"python", "torch", "onnx", "onnxruntime", "transformers"} <= certificate[
        "versions"
    ].keys()


def test_the_certificates_numbers_are_those_of_the_files_themselves(run, exported):
    folder, certificate = exported
    predictor = Predictor.load(run.path)
    table, profile = run.load_splits()
    specs = predictor.model.specs
    dev = encode_table(table["dev"], predictor.tokenizer, specs, max_tokens=24)
    trained = compute_logits(predictor.model, dev)
    assert certificate["splits_hash"] == profile["hash"]
    assert certificate["dev_rows"] == len(dev) > 50
    assert certificate["trained"]["bytes"] == (folder / "model.safetensors").stat().st_size
    for report in certificate["precisions"].values():
        assert report["bytes"] == (folder / report["file"]).stat().st_size
        answers = compute_onnx_logits(folder / report["file"], specs, dev)
        for spec in specs:
            found = report["tasks"][spec.name]
            largest = np.abs(answers.labels[spec.name] - trained.labels[spec.name]).max()
            assert found["largest_difference"] == pytest.approx(float(largest), abs=1e-6)
            assert found["scores"] == score(spec, dev, answers)
            assert certificate["trained"]["scores"][spec.name] == score(spec, dev, trained)
    exact, rough = (certificate["precisions"][name] for name in ("fp32", "fp16"))
    assert 0 < exact["largest_difference"] < 1e-4 < rough["largest_difference"] < 0.1
    assert rough["bytes"] < exact["bytes"]
    assert rough["bytes_share"] == rough["bytes"] / exact["bytes"]
    # A student that answers all rows alike would agree with anything.
    confusion = np.array(certificate["trained"]["scores"]["warmth"]["confusion"])
    assert (confusion.sum(axis=0) > 0).sum() >= 2


def test_no_text_of_any_row_and_no_path_of_the_machine_is_in_an_export(run, exported, tiny_encoder):
    table = concatenate_datasets(list(load_from_disk(str(run.splits)).values()))
    texts = {text for column in ("text", "context") for text in table[column] if len(text) > 15}
    assert len(texts) > 100
    for name, content in contents(exported[0]).items():
        assert [text for text in texts if text.encode() in content] == [], name
        for place in (run.path, exported[0], tiny_encoder):
            assert str(place).encode() not in content, name


def test_the_readme_is_the_students_card_where_there_is_one(run, exported, same_graph, tmp_path):
    short = (exported[0] / "README.md").read_text()
    assert "\n# mine\n" in short
    assert "cold, mild, warm" in short
    assert "a number from 10 to 90" in short
    (run.student / "README.md").write_text("---\nmodel_name: x\n---\n\n# The card\n\nIts words.\n")
    export_run(run.path, tmp_path / "mine", ["fp32"])
    (run.student / "README.md").unlink()
    card = (tmp_path / "mine" / "README.md").read_text()
    assert "\n\n# The card\n\nIts words.\n\n## This folder\n" in card
    assert "--model model.onnx" in card
    assert "model.fp16.onnx" not in card
    for text in (short, card):
        assert "100.0%" in text
        assert "{" not in text


@pytest.mark.parametrize(
    ("text", "names"),
    [("fp32", ["fp32"]), ("fp16", ["fp32", "fp16"]), (" fp16 ,fp32,fp16", ["fp32", "fp16"])],
)
def test_precisions_are_named_once_and_fp32_is_always_made(text, names):
    assert named_precisions(text) == names
    assert tuple(build.CONVERSIONS) == PRECISIONS[1:]


def test_an_unknown_precision_is_refused_with_those_there_are():
    with pytest.raises(InputError, match=r"'int3' is no precision: choose from fp16, fp32, int8$"):
        named_precisions("fp32,int3")


def test_an_export_in_integers_answers_nearly_like_the_run(run, same_graph, changed, tmp_path):
    """The student is a random one with large weights, which no rounding leaves as it is."""
    changed(agreement=0.8)
    certificate = export_run(run.path, tmp_path / "mine", ["fp32", "int8"])
    found = certificate["precisions"]["int8"]
    assert found["file"] == "model.int8.onnx"
    assert found["bytes"] == (tmp_path / "mine" / "model.int8.onnx").stat().st_size
    assert all(task["label_agreement"] >= 0.8 for task in found["tasks"].values())


def test_the_steps_are_measured_on_some_training_rows_of_both_kinds(run, monkeypatch):
    monkeypatch.setattr(build, "MEASURED_ROWS", 5)
    train = run.load_splits()[0]["train"]
    rows = build.measured_rows(train)
    assert sum(bool(text) for text in rows["context"]) == 5
    assert len(set(rows["id"])) == len(rows) == 10
    assert set(rows["id"]) <= set(train["id"])


def shaken(source, target, _model, _rows):
    """A graph whose matrices are off by a hundredth of what their numbers vary."""
    model = onnx.load(source)
    random = np.random.default_rng(0)
    for weights in model.graph.initializer:
        values = numpy_helper.to_array(weights)
        if values.ndim > 1 and values.dtype == np.float32:
            noise = random.normal(size=values.shape, scale=values.std() / 100).astype(np.float32)
            weights.CopyFrom(numpy_helper.from_array(values + noise, weights.name))
    onnx.save(model, target)


def test_a_precision_that_answers_otherwise_is_refused_and_the_old_export_stays(
    run, exported, same_graph, tmp_path, monkeypatch
):
    folder = tmp_path / "mine"
    shutil.copytree(exported[0], folder)
    before = contents(folder)
    monkeypatch.setitem(build.CONVERSIONS, "fp16", shaken)
    expected = (
        r"fp16 gives \d+\.\d% of \d+ dev rows the trained .*'warmth', export.agreement asks for"
    )
    with pytest.raises(InputError, match=expected):
        export_run(run.path, folder, ["fp32", "fp16"])
    assert contents(folder) == before
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_a_limit_below_the_agreement_lets_it_pass(run, same_graph, changed, tmp_path, monkeypatch):
    monkeypatch.setitem(build.CONVERSIONS, "fp16", shaken)
    changed(agreement=0.3)
    certificate = export_run(run.path, tmp_path / "mine", ["fp32", "fp16"])
    tasks = certificate["precisions"]["fp16"]["tasks"]
    assert certificate["limits"] == {"fp32_difference": 1e-4, "agreement": 0.3}
    assert 0.3 < tasks["warmth"]["label_agreement"] < 0.9
    assert tasks["warmth"]["scores"] != certificate["trained"]["scores"]["warmth"]


def test_a_float32_graph_that_differs_is_refused(run, same_graph, tmp_path, monkeypatch):
    """Half the bytes of the weights are a difference that float32 has no excuse for."""
    write = build.write_graph

    def write_roughly(model, path):
        write(model, path)
        write_half(path, path)

    monkeypatch.setattr(build, "write_graph", write_roughly)
    with pytest.raises(InputError, match=r"the fp32 graph is \d\.\de-0\d from the trained student"):
        export_run(run.path, tmp_path / "mine", ["fp32"])
    assert list(tmp_path.iterdir()) == []


def test_a_folder_of_something_else_is_not_taken(run, tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "one.jpg").write_bytes(b"1")
    with pytest.raises(InputError, match="photos: is a folder of something else: give a new one"):
        export_run(run.path, tmp_path / "photos", ["fp32"])
    with pytest.raises(InputError, match=r"one\.jpg: is a file: give a folder with --to"):
        export_run(run.path, tmp_path / "photos" / "one.jpg", ["fp32"])
    with pytest.raises(InputError, match="student: is a folder of something else"):
        export_run(run.path, run.student, ["fp32"])
    assert (tmp_path / "photos" / "one.jpg").read_bytes() == b"1"


def test_a_file_that_was_put_into_an_export_is_not_lost(run, exported, tmp_path):
    target = tmp_path / "mine"
    shutil.copytree(exported[0], target)
    (target / "answers.jsonl").write_text("mine")
    with pytest.raises(InputError, match=r"answers\.jsonl: would be lost, .*: move it, or give"):
        export_run(run.path, target, ["fp32"])
    assert (target / "answers.jsonl").read_text() == "mine"


def test_a_certificate_that_is_none_is_named(run, exported, tmp_path):
    target = tmp_path / "mine"
    shutil.copytree(exported[0], target)
    (target / "CERTIFICATE.json").write_text('{"a')
    with pytest.raises(InputError, match=r"CERTIFICATE\.json: is no certificate: delete it"):
        export_run(run.path, target, ["fp32"])


def test_a_student_of_another_run_is_not_exported(run, tmp_path):
    """One of the same tasks would pass as the run's own, with its certificate."""
    shutil.copytree(run.student, tmp_path / "other")
    with pytest.raises(InputError, match="other: was not made of the student of"):
        export_run(run.path, tmp_path / "new", ["fp32"], smaller=tmp_path / "other")


def test_a_folder_that_is_no_run_is_refused(tmp_path):
    with pytest.raises(InputError, match="is no run's folder"):
        export_run(tmp_path, tmp_path / "mine", ["fp32"])


def test_a_tokenizer_file_that_gives_other_tokens_alone_is_refused(run, exported, tmp_path):
    """A tokenizer that transformers changes when it loads it: predict.py would not."""
    rows = run.load_splits()[0]["dev"].select(range(5))
    dev = encode_table(rows, load_tokenizer(str(run.student)), [], max_tokens=24)
    path = exported[0] / "tokenizer.json"
    check_tokens(path, rows, dev)
    values = json.loads(path.read_text())
    (tmp_path / "tokenizer.json").write_text(json.dumps(values | {"post_processor": None}))
    expected = r"tokenizer\.json: read alone it gives other tokens .* dev row '\w+'"
    with pytest.raises(InputError, match=expected):
        check_tokens(tmp_path / "tokenizer.json", rows, dev)


def test_the_command_writes_the_export_and_says_how_far_it_is(run, same_graph, tmp_path, capsys):
    with pytest.raises(SystemExit, match=r"^0$"):
        main(["export", str(run.path), "--to", str(tmp_path / "mine"), "--precision", "fp32"])
    shown = capsys.readouterr()
    assert [line.split()[0] for line in shown.out.splitlines()] == ["file", "model.onnx", "export:"]
    assert "100.0%" in shown.out
    assert shown.err == ""
    assert (tmp_path / "mine" / "CERTIFICATE.json").is_file()


def test_a_mistake_on_the_command_line_ends_in_one_line(tmp_path, capsys):
    for arguments in (["--precision", "fp8"], ["--push-to-hub", "mine"], []):
        with pytest.raises(SystemExit, match=r"^2$"):
            main(["export", str(tmp_path), *arguments])
        error = capsys.readouterr().err
        assert error.startswith("kd: ")
        assert len(error.splitlines()) == 1


def test_a_student_of_normalised_texts_is_refused(run, tmp_path, monkeypatch):
    """predict.py and the page would give it other texts than it was trained on."""
    model = StudentModel.from_pretrained(run.student)
    model.config.normalize = True
    monkeypatch.setattr(build.StudentModel, "from_pretrained", lambda _: model)
    with pytest.raises(InputError, match=r"reads normalised texts \(data.normalize\)"):
        export_run(run.path, tmp_path / "new", ["fp32"])
    assert not (tmp_path / "new").exists()
