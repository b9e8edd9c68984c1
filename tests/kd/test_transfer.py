"""Tests of kd.transfer: rows that differ in one thing, all scored on the target's test rows."""

import csv
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from data.tables import gold_of
from kd.cli import main
from kd.config_file import differences, load_config
from kd.run_folder import RunFolder
from kd.transfer import transfer_configs
from kd.transfer_command import named_encoders
from student.masked_words import load_masked_word_model
from tests.running import kd

ROOT = Path(__file__).resolve().parents[2]
ROWS = ("source-only", "pretrain-other", "target-only")


def refused(capsys, *arguments):
    with pytest.raises(SystemExit, match=r"^2$"):
        main([str(argument) for argument in arguments])
    return capsys.readouterr().err


@pytest.fixture(scope="module")
def place(tmp_path_factory, tiny_encoder):
    """A folder with a source and a target of one task, and an encoder of other weights."""
    folder = tmp_path_factory.mktemp("transfer")
    for domain in ("source", "target"):
        for split, count in (("train", 10), ("dev", 5), ("test", 6)):
            rows = [f"{domain} {split} {n} was {w},{w}" for n in range(count) for w in ("a", "b")]
            path = folder / f"{domain}-{split}.csv"
            path.write_text("\n".join(["text,label", *rows]) + "\n")
        (folder / f"{domain}.yaml").write_text(
            f"name: {domain}\n"
            f"data: {{root: {folder}, max_tokens: 32}}\n"
            f"tasks:\n"
            f"  mood:\n"
            f"    classes: [a, b]\n"
            f"    sources:\n"
            f"      - files: {{train: {domain}-train.csv, dev: {domain}-dev.csv,"
            f" test: target-test.csv}}\n"
            f"student: {{encoder: {tiny_encoder}}}\n"
            f"training: {{objective: gold, max_steps: 2, batch_size: 8, precision: fp32}}\n"
        )
    torch.manual_seed(5)
    model, _ = load_masked_word_model(str(tiny_encoder))
    for value in model.parameters():
        value.data += 0.1 * torch.randn_like(value)
    shutil.copytree(tiny_encoder, folder / "other")
    model.save(folder / "other", model.state_dict())
    return folder


def arguments(place, runs):
    return (
        *("transfer", place / "source.yaml", "--target", place / "target.yaml"),
        *("--adapted", f"other={place / 'other'}", "--seeds", "2", "--runs", runs),
    )


@pytest.fixture(scope="module")
def finished(place):
    kd(*arguments(place, place / "runs"))
    return place / "runs"


def folder_of(runs, row, seed):
    return runs / "source" / "transfer" / row / f"seed-{seed}"


def test_each_row_and_seed_has_a_student_of_its_own(finished):
    weights = [
        load_file(folder_of(finished, row, seed) / "student" / "model.safetensors")
        for row in ROWS
        for seed in (13, 14)
    ]
    name = "encoder.encoder.layer.0.output.dense.weight"
    assert len({tuple(found[name].flatten().tolist()) for found in weights}) == 6


def test_all_rows_are_scored_on_the_targets_test_rows(finished, place):
    found = [
        (folder_of(finished, row, 13) / "predictions" / "student-mood-test.csv").read_text()
        for row in ROWS
    ]
    ids = [[line.split(",")[:2] for line in text.splitlines()] for text in found]
    assert len(ids[0]) == len((place / "target-test.csv").read_text().splitlines())
    assert ids[0] == ids[1] == ids[2]


def test_a_row_differs_from_source_only_in_one_thing(place):
    source, target = (load_config(place / f"{name}.yaml") for name in ("source", "target"))
    changed = target.model_copy(
        update={
            "seed": 99,
            "training": target.training.model_copy(update={"max_steps": 99}),
            "student": target.student.model_copy(update={"pooling": "mean"}),
            "data": target.data.model_copy(update={"max_tokens": 99, "root": "there"}),
            "tasks": {"mood": target.tasks["mood"].model_copy(update={"weight": 9, "limit": 9})},
        }
    )
    configs = transfer_configs(source, changed, {"other": str(place / "other")})
    assert tuple(configs) == ROWS
    adapted = configs["pretrain-other"].model_dump()
    adapted["student"]["encoder"] = source.student.encoder
    assert adapted == source.model_dump()
    found = differences(source.model_dump(), configs["target-only"].model_dump())
    files = [f"tasks.mood.sources[0].files.{split}" for split in ("train", "dev")]
    assert [line.split()[0] for line in found] == ["name", "data.root", *files, "tasks.mood.limit"]
    assert configs["target-only"].tasks["mood"].sources == target.tasks["mood"].sources


def test_the_table_has_a_column_a_row_and_a_second_start_skips_all(finished, place, capsys):
    kd(*arguments(place, finished))
    lines = capsys.readouterr().out.splitlines()
    assert all("unchanged, skipped" in line for line in lines[1:9])
    head = lines.index("mood") - 2
    assert lines[head].split() == ["task", *(part for row in ROWS for part in (row, "(2)"))]
    assert lines[head + 1].split()[0] == "mood"
    assert lines[head + 1].count("±") == 3
    with (finished / "source" / "transfer" / "table-mood.csv").open(newline="") as file:
        table = {line["arm"]: line for line in csv.DictReader(file)}
    assert list(table) == ["constant", "TF-IDF", *ROWS]
    assert [bool(line["difference"]) for line in table.values()] == [False] * 3 + [True] * 2
    first, last = (float(table[row]["macro_f1"]) for row in ROWS[::2])
    assert float(table[ROWS[2]]["difference"]) == pytest.approx(last - first)


def test_mistakes_are_told_by_name(place, tmp_path, capsys):
    command = ("transfer", place / "source.yaml", "--runs", tmp_path)
    for pair, message in (("other", "write NAME=DIR"), (f"other={tmp_path}/no", "is not there")):
        assert message in refused(capsys, *command, "--adapted", pair)
    twice = ("--adapted", "x=a", "--adapted", "x=b")
    assert "'x' stands twice" in refused(capsys, *command, *twice)
    assert "another" in refused(capsys, *command, "--target", place / "source.yaml")
    assert list(tmp_path.iterdir()) == []
    other = tmp_path / "other.yaml"
    text = (place / "target.yaml").read_text()
    other.write_text(text.replace("test: target-test", "test: source-test"))
    said = refused(capsys, *command, "--target", other)
    assert "0 of its 12 test rows are among the 12 of the source" in said
    other.write_text(text.replace("mood:", "joy:"))
    said = refused(capsys, *command, "--target", other)
    assert "its tasks are joy, those of the source mood" in said
    other.write_text(text.replace("[a, b]", "[b, a]"))
    said = refused(capsys, *command, "--target", other)
    assert "its task 'mood' is another one" in said
    assert "classes" in said
    turned = (place / "target-test.csv").read_text().replace(",a\n", ",c\n").replace(",b\n", ",a\n")
    (place / "turned.csv").write_text(turned.replace(",c\n", ",b\n"))
    other.write_text(text.replace("test: target-test", "test: turned"))
    said = refused(capsys, *command, "--target", other, "--overwrite")
    assert "0 of its 12 test rows are among the 12 of the source" in said


def test_encoders_are_named_in_their_order():
    assert list(named_encoders(["b=x", "a=y=z"]).items()) == [("b", "x"), ("a", "y=z")]


def test_the_papers_pair_has_one_task_and_the_targets_test_rows(tmp_path, tiny_encoder):
    """Essays make train and dev alone, whose labels are those of the tweets."""
    for folder in ("newsemp", "twittemp"):
        (tmp_path / folder).mkdir()
    essays = [f"r{n},3,3,{n % 2},0,an essay of {n} words" for n in range(40)]
    header = "response_id,empathy,distress,empathy_bin,distress_bin,essay"
    (tmp_path / "newsemp" / "messages.csv").write_text("\n".join([header, *essays]) + "\n")
    for split in ("train", "dev", "test"):
        tweets = [f"{split} tweet {n}\t{n % 3}" for n in range(6)]
        (tmp_path / "twittemp" / f"{split}.tsv").write_text(
            "\n".join(["text\tlabel", *tweets]) + "\n"
        )
    source, target = (
        load_config(ROOT / "configs" / f"{name}.yaml", [f"data.root={tmp_path}"])
        for name in ("newsemp_to_twittemp", "twittemp")
    )
    assert source.specs == target.specs
    assert tuple(transfer_configs(source, target, {})) == ("source-only", "target-only")
    kd("data", ROOT / "configs" / "newsemp_to_twittemp.yaml", "--runs", tmp_path / "runs",
       f"data.root={tmp_path}")  # fmt: skip
    table, _ = RunFolder(tmp_path / "runs" / source.name).load_splits()
    assert sorted(table["test"]["text"]) == [f"test tweet {n}" for n in range(6)]
    assert (len(table["train"]), len(table["dev"])) == (36, 4)
    gold = gold_of(table["test"], "empathy").argmax(axis=1).tolist()
    expected = {f"test tweet {n}": int(n % 3 > 0) for n in range(6)}
    assert gold == [expected[text] for text in table["test"]["text"]]
