"""Tests of a whole run: a task of one's own beside two public formats, from CSV to answers."""

import csv
import json
import logging
import shutil
import socket
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from datasets import concatenate_datasets, load_from_disk

from data.encoding import encode_table
from kd.cli import main
from kd.config_file import load_config
from kd.run_folder import RunFolder
from kd.stages.distill import load_all_targets, with_targets
from student.encoders import load_tokenizer
from student.predictor import Predictor
from teachers.soft_targets import load_soft_targets
from tests.running import kd

SAMPLES = Path(__file__).resolve().parents[1] / "data" / "samples"
DEMO = Path(__file__).resolve().parents[1] / "configs" / "demo.yaml"
STAGES = ("data", "teach", "label", "distill", "evaluate")
TASKS = ("mood", "sentiment", "reactions")

CONFIG = """
name: mine
data: {{root: {samples}, max_tokens: 48}}
tasks:
  mood:
    sources: [{{files: {mine}}}]
    classes: [sad, glad]
  sentiment:
    sources:
      - reader: sst2
        files: {{train: sst2/train.tsv, dev: sst2/dev.tsv, test: sst2/test.tsv}}
    limit: 48
  reactions:
    sources: [{{reader: empathy_reddit, files: empathy/emotional-reactions.csv}}]
    limit: 48
teachers: {{encoder: {encoder}, training: {{epochs: 1, batch_size: 16, precision: fp32}}}}
student: {{encoder: {encoder}, layers: [0]}}
training: {{epochs: 1, precision: fp32}}
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory, tiny_encoder):
    """A folder with a user's table of 40 rows and a config that adds it to two public formats."""
    folder = tmp_path_factory.mktemp("end_to_end")
    rows = [
        f"on day {number} of the week i was very {word},{word}"
        for number in range(20)
        for word in ("sad", "glad")
    ]
    (folder / "mine.csv").write_text("text,label\n" + "\n".join(rows) + "\n")
    text = CONFIG.format(samples=SAMPLES, mine=folder / "mine.csv", encoder=tiny_encoder)
    (folder / "mine.yaml").write_text(text)
    return folder


@pytest.fixture(scope="module")
def run(place):
    """The folder of a finished run."""
    # Tiny teachers answer one class, of which the audit warns.
    logging.getLogger("kd.stages.label").setLevel(logging.ERROR)
    kd("run", place / "mine.yaml", "--runs", place / "runs")
    return RunFolder(place / "runs" / "mine")


@pytest.fixture
def again(run, place, tmp_path, capsys):
    """A function that runs the config again on a copy, and gives each stage's outcome."""
    shutil.copytree(run.path, tmp_path / "runs" / "mine")

    def outcomes(*arguments):
        capsys.readouterr()
        kd("run", place / "mine.yaml", *arguments, "--runs", tmp_path / "runs")
        lines = capsys.readouterr().out.splitlines()
        shown = {line.split()[0]: line.split()[1:] for line in lines if line.split()}
        return {stage: shown[stage] for stage in STAGES if stage in shown}

    return outcomes


SKIPPED = ["unchanged,", "skipped"]


def test_a_run_makes_teachers_soft_targets_student_metrics_and_predictions(run):
    for task in TASKS:
        assert (run.teacher(task) / "model.safetensors").is_file()
        assert run.soft_targets(task).is_file()
        assert (run.logs / f"teach-{task}.jsonl").is_file()
    for name in ("model.safetensors", "config.json", "tokenizer.json", "tasks.json"):
        assert (run.student / name).is_file()
    assert {path.name for path in run.predictions.iterdir()} == {
        f"{model}-{task}-{split}.csv"
        for model in ("student", "teacher")
        for task in TASKS
        for split in ("dev", "test")
    }


def test_each_teacher_is_saved_with_its_best_dev_score(run):
    for task in TASKS:
        about = json.loads((run.teacher(task) / "training.json").read_text())
        lines = (run.logs / f"teach-{task}.jsonl").read_text().splitlines()
        scores = [row["dev_score"] for row in map(json.loads, lines) if "dev_score" in row]
        assert about["best_score"] == max(scores)


def test_a_teachers_soft_targets_hold_every_train_row_of_its_task_once(run):
    table, _ = run.load_splits()
    for task in TASKS:
        ids = load_soft_targets(run.soft_targets(task)).ids.to_pylist()
        train = {row["id"] for row in table["train"] if np.isfinite(row[f"gold/{task}"]).all()}
        assert len(ids) == len(set(ids))
        assert train
        assert train <= set(ids)


def test_no_train_row_is_scored(run):
    table, _ = run.load_splits()
    train = set(table["train"]["id"])
    for path in run.predictions.iterdir():
        with path.open(newline="") as file:
            ids = {row["id"] for row in csv.DictReader(file)}
        assert ids <= set(table[path.stem.rsplit("-", 1)[1]]["id"])
        assert not ids & train


def test_the_demo_cut_short_is_done_in_a_minute_without_a_network(
    tiny_encoder, tmp_path, monkeypatch
):
    """The line of two steps a model that the demo's config names, on a small encoder."""
    line = next(line for line in DEMO.read_text().splitlines() if "name=tiny" in line)
    overrides = [word for word in line.split("#")[1].split() if "=" in word]

    def refused(*_):
        raise AssertionError("a connection was asked for")

    monkeypatch.setattr(socket.socket, "connect", refused)
    monkeypatch.setattr(socket, "getaddrinfo", refused)
    before = time.process_time()
    encoders = [f"{model}.encoder={tiny_encoder}" for model in ("teachers", "student")]
    kd("run", DEMO, *overrides, *encoders, "--runs", tmp_path)
    assert time.process_time() - before < 60
    tiny = RunFolder(tmp_path / "tiny")
    assert json.loads((tiny.student / "training.json").read_text())["steps"] == 2
    assert len(json.loads(tiny.metrics.read_text())["tasks"]) == 5
    assert (tiny.report / "index.html").is_file()


def test_the_metrics_hold_teacher_student_and_baselines_of_every_task_and_split(run):
    report = json.loads(run.metrics.read_text())
    assert tuple(report["tasks"]) == TASKS
    for splits in report["tasks"].values():
        for split in ("dev", "test"):
            assert splits[split].keys() == {"student", "teacher", "constant", "tfidf"}
            assert all(0 <= scores["macro_f1"] <= 1 for scores in splits[split].values())
    for model in ("teacher", "student"):
        assert "rationale" in report["tasks"]["reactions"]["dev"][model]
        assert report["tasks"]["reactions"]["test"][model]["rationale"]["faithfulness"].keys() == {
            *("rows", "comprehensiveness", "sufficiency"),
            *("random_comprehensiveness", "random_sufficiency"),
        }
    assert report["tasks"]["mood"]["test"]["tfidf"]["accuracy"] == 1.0


def test_no_part_of_a_run_is_left_half_written(run):
    assert [path for path in run.path.rglob("*") if path.suffix in (".part", ".old")] == []


def test_predictions_name_each_row_with_gold_once_and_add_up_to_the_metrics(run):
    table, _ = run.load_splits()
    report = json.loads(run.metrics.read_text())
    for task in TASKS:
        with (run.predictions / f"student-{task}-test.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        known = [row["id"] for row in table["test"] if np.isfinite(row[f"gold/{task}"]).all()]
        assert [row["id"] for row in rows] == known
        right = sum(row["gold"] == row["predicted"] for row in rows)
        accuracy = report["tasks"][task]["test"]["student"]["accuracy"]
        assert right / len(rows) == pytest.approx(accuracy)


def test_the_gold_weight_of_a_run_goes_from_teacher_to_gold(run):
    rows = [json.loads(line) for line in (run.logs / "distill.jsonl").read_text().splitlines()]
    weights = [row["gold_weight"] for row in rows if "gold_weight" in row]
    steps = rows[-1]["step"] + 1
    assert weights[0] == 0.0
    assert weights[-1] == pytest.approx((steps - 1) / steps)


def test_the_student_answers_the_users_own_task(run):
    (answer,) = Predictor.load(run.path)(["i was very glad"])
    assert answer.keys() == {"mood", "sentiment"}  # reactions answer a post
    assert answer["mood"].label in ("sad", "glad")
    assert sum(answer["mood"].probabilities.values()) == pytest.approx(1.0)


def test_no_text_of_any_row_stands_outside_the_splits(run):
    """A student that is passed on must not carry the texts it was trained on."""
    table = concatenate_datasets(list(load_from_disk(str(run.splits)).values()))
    texts = {text for column in ("text", "context") for text in table[column] if len(text) > 15}
    assert len(texts) > 500
    files = [
        path
        for name in ("student", "teachers", "soft_targets", "predictions", "logs")
        for path in (run.path / name).rglob("*")
        if path.is_file()
    ]
    assert len(files) > 20
    for path in files:
        content = path.read_bytes()
        assert [text for text in texts if text.encode() in content] == [], path


def test_no_models_file_names_the_machines_folders(run, place, tiny_encoder):
    for folder in (run.student, *(run.teacher(task) for task in TASKS)):
        for path in folder.iterdir():
            content = path.read_bytes()
            assert str(place).encode() not in content, path
            assert str(tiny_encoder).encode() not in content, path


def test_the_same_line_again_skips_every_stage(again):
    assert again() == dict.fromkeys(STAGES, SKIPPED)


def test_a_change_of_the_students_training_leaves_data_and_teachers_alone(again):
    found = again("training.epochs=0.5", "--overwrite")
    assert [found[stage] for stage in ("data", "teach", "label")] == [SKIPPED] * 3
    assert [found[stage] for stage in ("distill", "evaluate")] == [["done"]] * 2


def test_a_logged_batch_holds_rows_of_several_tasks(again, run, tmp_path):
    again("training.epochs=0.5", "logs.rows=true", "--overwrite")
    table, _ = run.load_splits()
    tasks = {
        row["id"]: {task for task in TASKS if np.isfinite(row[f"gold/{task}"]).all()}
        for row in table["train"]
    }
    lines = (tmp_path / "runs" / "mine" / "logs" / "distill.rows-0.jsonl").read_text().splitlines()
    batches = [json.loads(line)["rows"] for line in lines]
    assert len(batches) > 1
    assert all(len(set().union(*(tasks[name] for name in rows))) >= 2 for rows in batches)


def test_a_change_of_one_teacher_trains_that_one_and_the_student_again(again):
    found = again("teachers.tasks.mood=[{dropout: 0.3}]", "--overwrite")
    assert found["data"] == SKIPPED
    assert found["teach"] == found["label"] == ["done", "mood"]
    assert found["distill"] == found["evaluate"] == ["done"]


def test_a_deleted_result_is_made_again_and_what_follows_from_it_is_not(again, tmp_path):
    (tmp_path / "runs" / "mine" / "soft_targets" / "mood.arrow").unlink()
    found = again()
    assert found.pop("label") == ["done", "mood"]
    assert found == dict.fromkeys(set(STAGES) - {"label"}, SKIPPED)


def test_a_file_of_texts_becomes_a_file_of_answers(run, tmp_path):
    source, target = tmp_path / "in.csv", tmp_path / "out.csv"
    source.write_text(
        'id,text,context\na,"so glad, so good",\nb,how are you?,i feel so sad\n,very sad,\n'
    )
    kd("predict", run.path, source, target)
    with target.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["id"] for row in rows] == ["a", "b", "3"]
    assert {row["mood"] for row in rows} <= {"sad", "glad"}
    assert [bool(row["reactions"]) for row in rows] == [False, True, False]
    texts = ["so glad, so good", "how are you?", "very sad"]
    answers = Predictor.load(run.path)(texts, ["", "i feel so sad", ""])
    assert [row["sentiment"] for row in rows] == [answer["sentiment"].label for answer in answers]
    chances = [max(answer["mood"].probabilities.values()) for answer in answers]
    assert [float(row["mood_probability"]) for row in rows] == pytest.approx(chances, abs=1e-5)


def test_answers_may_go_to_a_file_whose_name_holds_brackets(run, tmp_path):
    """The terminal reads brackets as markup, and fails on a closing one."""
    (tmp_path / "in.csv").write_text("text\nso glad\n")
    (tmp_path / "of [").mkdir()
    kd("predict", run.path, tmp_path / "in.csv", tmp_path / "of [" / "mine].csv")
    assert (tmp_path / "of [" / "mine].csv").is_file()


def test_rows_that_can_not_be_answered_are_listed_beside_the_answers(run, tmp_path, capsys):
    source, target = tmp_path / "in.csv", tmp_path / "out.csv"
    source.write_text("text\nso glad\n \nvery sad\n")
    kd("predict", run.path, source, target)
    assert len(target.read_text().splitlines()) == 3
    listed = tmp_path / "out.csv.rejected.csv"
    assert listed.read_text() == "id,row,line,reason\n2,2,3,the text is empty\n"
    said = f"3 rows: 2 answered in {target}, 1 rejected, listed in {listed}\n"
    assert capsys.readouterr().out == said


def test_a_run_without_the_three_mechanisms_can_not_write_the_old_columns(run, tmp_path, capsys):
    (tmp_path / "in.csv").write_text("text\nso glad\n")
    with pytest.raises(SystemExit, match=r"^2$"):
        main(
            [
                "predict",
                str(run.path),
                str(tmp_path / "in.csv"),
                str(tmp_path / "out.csv"),
                "--legacy",
            ]
        )
    assert "no task 'emotional_reactions': it answers mood, reac" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["in.csv"]


def test_one_text_on_the_command_line_is_answered(run, capsys):
    kd("predict", run.path, "--text", "so [b]glad", "--context", "i feel sad")
    shown = capsys.readouterr().out
    assert all(task in shown for task in TASKS)


def test_the_2020_scores_are_added_on_request_only(run, place, tmp_path):
    shutil.copytree(run.path, tmp_path / "runs" / "mine")
    assert "sharma2020" not in run.metrics.read_text()
    kd("evaluate", place / "mine.yaml", "--sharma2020", "--runs", tmp_path / "runs")
    report = json.loads((tmp_path / "runs" / "mine" / "metrics.json").read_text())
    scores = report["tasks"]["reactions"]["test"]
    found = scores["teacher"]["sharma2020"]
    assert found.keys() == {"token_accuracy", "token_f1", "iou_f1", "all_tokens"}
    assert found["all_tokens"] == scores["student"]["sharma2020"]["all_tokens"]
    assert scores["teacher"]["rationale"].keys() == {"all", "level>0", "faithfulness"}
    assert "sharma2020" not in report["tasks"]["mood"]["test"]["teacher"]


def test_several_teachers_are_asked_for_the_tokens_that_they_rest_on_one_by_one(again, tmp_path):
    """Their average is no model that could read an erased text."""
    again("teachers.tasks.reactions=[{}, {dropout: 0.3}]", "--overwrite")
    report = json.loads((tmp_path / "runs" / "mine" / "metrics.json").read_text())
    scores = report["tasks"]["reactions"]["test"]
    with_rationale = {model for model, found in scores.items() if "rationale" in found}
    assert with_rationale == {"student", "teacher", "reactions", "reactions-2"}
    asked = {model for model in with_rationale if "faithfulness" in scores[model]["rationale"]}
    assert asked == {"student", "reactions", "reactions-2"}


@pytest.fixture
def alone(place, tmp_path):
    """A function that runs a config of the user's own task alone, and gives its folder."""
    base = f"data: {{root: {place}}}\n"
    encoder = load_config(place / "mine.yaml").student.encoder

    def ran(*overrides, command="run", task="classes: [sad, glad]", name="alone"):
        path = tmp_path / "alone.yaml"
        path.write_text(
            f"name: alone\n{base}"
            f"tasks: {{mood: {{sources: [{{files: mine.csv}}], {task}}}}}\n"
            f"teachers: {{encoder: {encoder}, training: {{epochs: 1, precision: fp32}}}}\n"
            f"student: {{encoder: {encoder}}}\n"
            f"training: {{epochs: 1, precision: fp32}}\n"
        )
        kd(command, path, *overrides, "--runs", tmp_path / "runs")
        return RunFolder(tmp_path / "runs" / name)

    return ran


def test_gold_alone_runs_without_any_teacher(alone):
    run = alone("training.objective=gold")
    assert not (run.path / "teachers").exists()
    assert not (run.path / "soft_targets").exists()
    scores = json.loads(run.metrics.read_text())["tasks"]["mood"]["test"]
    assert scores.keys() == {"student", "constant", "tfidf"}


def test_the_labels_of_test_rows_change_no_weight_and_no_choice_of_a_checkpoint(alone, place):
    """And the whole training, fresh heads included, is the same twice."""
    lines = (place / "mine.csv").read_text().splitlines()
    for name, rows in (("train", lines[1:21]), ("dev", lines[21:31]), ("test", lines[31:])):
        (place / f"{name}.csv").write_text("\n".join([lines[0], *rows]) + "\n")
    files = "tasks.mood.sources=[{files: {train: train.csv, dev: dev.csv, test: test.csv}}]"
    overrides = (files, "training.objective=gold", "training.evaluations=2", "training.epochs=3")
    found = []
    for other in ("glad", "sad"):
        labels = [f"{text.rsplit(',', 1)[0]},{other}" for text in lines[31:]]
        (place / "test.csv").write_text("\n".join([lines[0], *labels]) + "\n")
        run = alone(*overrides, f"name={other}", command="data", name=other)
        run = alone(*overrides, f"name={other}", command="distill", name=other)
        about = json.loads((run.student / "training.json").read_text())
        found.append((about["best_step"], about["best_score"], weights_of(run)))
    assert found[0] == found[1]


def weights_of(run):
    return (run.student / "model.safetensors").read_bytes()


@pytest.mark.parametrize("max_tokens", [32, 128])
def test_a_student_learns_and_quotes_in_a_window_of_any_length(tiny_encoder, tmp_path, max_tokens):
    """Labels of a fixed 64 tokens would fit neither."""
    words = " ".join(["so sorry"] + ["and on we go"] * 20 + ["i see you"])
    rows = [
        f"{n} {words},{('cold', 'warm')[n % 2]},day {n} {words},{'so sorry|see you' * (n % 2)}"
        for n in range(40)
    ]
    (tmp_path / "long.csv").write_text("text,label,post,quotes\n" + "\n".join(rows) + "\n")
    columns = "{context: post, rationale: quotes}"
    source = f"{{files: long.csv, columns: {columns}}}"
    path = tmp_path / "long.yaml"
    path.write_text(
        f"name: long\n"
        f"data: {{root: {tmp_path}, max_tokens: {max_tokens}}}\n"
        f"tasks: {{reply: {{classes: [cold, warm], sources: [{source}]}}}}\n"
        f"student: {{encoder: {tiny_encoder}, layers: [0]}}\n"
        f"training: {{epochs: 1, precision: fp32, objective: gold}}\n"
    )
    for command in ("data", "distill"):
        kd(command, path, "--runs", tmp_path / "runs")
    config, run = load_config(path), RunFolder(tmp_path / "runs" / "long")
    table, _ = run.load_splits()
    tokenizer = load_tokenizer(str(run.student))
    encoded = encode_table(table["train"], tokenizer, config.specs, max_tokens=max_tokens)
    for lengths in (encoded.texts.lengths, encoded.contexts.lengths):
        assert set(lengths) == {32} if max_tokens == 32 else 64 < min(lengths) <= max(lengths) < 128
    quoted = np.nan_to_num(encoded.gold_tokens["reply"])
    # The words at the end are quoted too, where the window reaches them.
    assert (quoted.sum() > 2 * 14) == (max_tokens == 128)
    student = Predictor.load(run.path)
    assert student.model.config.max_tokens == max_tokens
    answer = student([f"11 {words}"], [words])[0]["reply"]
    assert len(answer.token_labels) == max(encoded.texts.lengths)


@pytest.mark.parametrize("objective", ["gold", "soft"])
def test_a_student_may_start_from_a_teachers_encoder(alone, objective):
    run = alone(f"training.objective={objective}", "student.start=mood", "student.layers=[1]")
    model = Predictor.load(run.path).model
    assert model.config.encoder.num_hidden_layers == 1


def test_several_teachers_of_a_task_are_all_trained_scored_and_learnt_from(alone):
    run = alone("teachers.tasks.mood=[{}, {dropout: 0.3}]")
    scores = json.loads(run.metrics.read_text())["tasks"]["mood"]["test"]
    assert {"teacher", "mood-2"} <= scores.keys()


def test_a_task_of_numbers_runs_from_table_to_answer(alone, place):
    rows = [f"day {number % 7} of week {number},{1 + number % 7}" for number in range(60)]
    (place / "numbers.csv").write_text("text,label\n" + "\n".join(rows) + "\n")
    run = alone(
        "tasks.mood.sources=[{files: numbers.csv}]", task="kind: regression, low: 1, high: 7"
    )
    scores = json.loads(run.metrics.read_text())["tasks"]["mood"]["test"]
    assert scores["teacher"]["mse"] > 0.0
    assert isinstance(Predictor.load(run.path)(["day 3"])[0]["mood"].label, float)


@pytest.fixture(scope="module")
def other_encoder(tmp_path_factory):
    """An encoder that spells every word in cased letters and pairs, and has 16 hidden units."""
    from transformers import BertConfig, BertModel, BertTokenizerFast

    folder = tmp_path_factory.mktemp("other_encoder")
    letters = "abcdefghijklmnopqrstuvwxyz"
    letters += letters.upper() + "0123456789" + "!\"#$%&'()*+,-./:;<=>?@[]_{}~"
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters]
    pieces += [f"##{letter}" for letter in letters] + ["##th", "##at", "##in", "##ou", "##er"]
    tokenizer = BertTokenizerFast(
        vocab={piece: number for number, piece in enumerate(pieces)}, do_lower_case=False
    )
    tokenizer.save_pretrained(folder)
    config = BertConfig(
        vocab_size=len(pieces),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=64,
    )
    with torch.random.fork_rng():
        torch.manual_seed(1)
        BertModel(config, add_pooling_layer=False).save_pretrained(folder)
    return folder


def test_a_teacher_of_another_tokenizer_teaches_the_students_tokens(
    place, tiny_encoder, other_encoder, tmp_path
):
    """Matched by position, or lost, the rationale would be another word's or none."""
    path = tmp_path / "two_tokenizers.yaml"
    source = "{reader: empathy_reddit, files: empathy/emotional-reactions.csv}"
    path.write_text(
        f"name: two\n"
        f"data: {{root: {SAMPLES}, max_tokens: 48}}\n"
        f"tasks: {{reactions: {{sources: [{source}], limit: 32}}}}\n"
        f"teachers: {{encoder: {other_encoder}, training: {{epochs: 1, precision: fp32}}}}\n"
        f"student: {{encoder: {tiny_encoder}}}\n"
        f"training: {{epochs: 1, precision: fp32, objective: soft}}\n"
    )
    kd("run", path, "--runs", tmp_path / "runs")
    config, run = load_config(path), RunFolder(tmp_path / "runs" / "two")
    table, profile = run.load_splits()
    tokenizer = load_tokenizer(str(tiny_encoder))
    encoded = encode_table(table["train"], tokenizer, config.specs, max_tokens=48)
    targets = load_all_targets(config, run, profile["hash"])
    weights = {"reactions": {"reactions": 1.0}}
    soft = with_targets(config, encoded, targets, weights).soft_tokens["reactions"]
    said = targets["reactions"][0]
    assert len(set(said.token_spans.lengths)) > 1
    places = {name: place for place, name in enumerate(said.ids.to_pylist())}
    checked = 0
    for row, row_id in enumerate(encoded.ids):
        spans = said.token_spans.row(places[row_id])
        part = slice(encoded.texts.starts[row], encoded.texts.starts[row + 1])
        offsets = encoded.offsets[part]
        reached = (offsets[:, 1] > offsets[:, 0]) & (offsets[:, 0] < spans.max())
        np.testing.assert_array_equal(np.isfinite(soft[part]), reached)
        checked += int(reached.sum())
    assert checked > 500
    log = (run.logs / "distill.jsonl").read_text().splitlines()
    assert json.loads(log[0])["loss/reactions/rationale"] > 0.1


def test_every_kind_of_attention_is_taught_and_distilled(place, tiny_encoder, tmp_path):
    path = tmp_path / "attention.yaml"
    source = "{reader: empathy_reddit, files: empathy/emotional-reactions.csv}"
    path.write_text(
        f"name: attention\n"
        f"data: {{root: {SAMPLES}, max_tokens: 48}}\n"
        f"tasks: {{reactions: {{sources: [{source}], limit: 32}}}}\n"
        f"teachers:\n"
        f"  encoder: {tiny_encoder}\n"
        f"  attention_heads: 4\n"
        f"  training: {{epochs: 1, precision: fp32}}\n"
        f"  tasks: {{reactions: [{{attention_talking: 1}}, {{attention_dense: 1}}]}}\n"
        f"student:\n"
        f"  {{encoder: {tiny_encoder}, attention_heads: 4, attention_talking: 0.4,\n"
        f"   attention_dense: 0.3}}\n"
        f"training: {{epochs: 1, precision: fp32}}\n"
    )
    kd("run", path, "--runs", tmp_path / "runs")
    run = RunFolder(tmp_path / "runs" / "attention")
    models = [run.teacher("reactions"), run.teacher("reactions-2"), run.student]
    talking, dense, both = (Predictor.load(folder).model.attention for folder in models)
    for heads in (talking, both.base.other):
        assert not torch.equal(heads.mix_scores, torch.eye(4))
        assert not torch.equal(heads.mix_weights, torch.eye(4))
    assert dense.score.out_features == both.other.score.out_features == 48
    scores = json.loads(run.metrics.read_text())["tasks"]["reactions"]["test"]
    assert {"student", "teacher", "reactions-2"} <= scores.keys()
