"""Tests of arms that a config names, of their table, and of presets."""

import csv
import json
import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml

from data.errors import InputError
from kd import study, study_table
from kd.config import Arm, Published
from kd.config_file import differences, load_config
from kd.run_folder import RunFolder
from kd.study import needs_2020, study_scores, trainings
from kd.study_arms import USUAL, arm_config, arms_of, named_arms
from kd.study_table import cannot_be, columns, most_f1, notes, study_tables
from tests.running import kd

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
STUDY = """
study:
  against: alone
  seeds: 2
  arms:
    alone: {tasks: [mood], change: {training.objective: gold}, published: {mood: {f1: 63.79}}}
    wide:
      tasks: [mood, urgency]
      change: {student.pooling: mean, tasks.mood.temperature: 2.0}
      published: {mood: {precision: 67.68, recall: 66.54, f1: 68.41}}
presets:
  small: [name=little, training.max_steps=2]
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory, tiny_encoder):
    """A folder with a config of two tasks on tables of 40 rows, a regression and two arms."""
    folder = tmp_path_factory.mktemp("arms")
    for task, words in (("mood", ("sad", "glad")), ("urgency", ("later", "now"))):
        lines = [f"{task} on day {n} was {word},{word}" for n in range(20) for word in words]
        (folder / f"{task}.csv").write_text("\n".join(["text,label", *lines]) + "\n")
    ages = [f"i am {n} days old,{n}" for n in range(40)]
    (folder / "age.csv").write_text("\n".join(["text,label", *ages]) + "\n")
    plain = (
        f"name: mine\n"
        f"data: {{root: {folder}, max_tokens: 32}}\n"
        f"tasks:\n"
        f"  mood: {{classes: [sad, glad], sources: [{{files: mood.csv}}]}}\n"
        f"  urgency: {{classes: [later, now], sources: [{{files: urgency.csv}}]}}\n"
        f"  age: {{kind: regression, low: 0, high: 50, sources: [{{files: age.csv}}]}}\n"
        f"teachers: {{encoder: {tiny_encoder}, training: {{max_steps: 1, precision: fp32}}}}\n"
        f"student: {{encoder: {tiny_encoder}, layers: [0]}}\n"
        f"training: {{max_steps: 6, batch_size: 8, learning_rate: 5.0e-3, precision: fp32}}\n"
    )
    (folder / "plain.yaml").write_text(plain)
    (folder / "mine.yaml").write_text(plain + STUDY)
    logging.getLogger("kd.stages.label").setLevel(logging.ERROR)
    return folder


@pytest.fixture(scope="module")
def studied(place):
    """A finished study of the config's arms."""
    kd("study", place / "mine.yaml", "--runs", place / "runs")
    run = RunFolder(place / "runs" / "mine")
    return load_config(run.config), run


def test_an_arm_changes_what_it_says_and_leaves_out_other_tasks(place):
    config = load_config(place / "mine.yaml")
    base = config.model_dump(mode="json")

    def changed(arm):
        found = differences(base, arm_config(config, arm).model_dump(mode="json"))
        names = [line.split()[0] for line in found]
        return [name for name in names if not name.startswith("study")]

    assert changed("alone") == ["tasks.urgency", "tasks.age", "training.objective"]
    assert changed("wide") == ["tasks.mood.temperature", "tasks.age", "student.pooling"]
    assert list(arm_config(config, "wide").tasks) == ["mood", "urgency"]


@pytest.mark.parametrize(("value", "layers"), [("null", None), ("[1]", (1,))])
def test_an_arm_may_have_other_layers(place, value, layers):
    override = f"study.arms.alone.change={{student.layers: {value}}}"
    config = load_config(place / "mine.yaml", [override])
    assert config.student.layers == (0,)
    assert arm_config(config, "alone").student.layers == layers


def test_without_a_list_the_arms_are_the_configs(place):
    config = load_config(place / "mine.yaml")
    assert named_arms(None, config) == ["alone", "wide"]
    assert named_arms("wide,multi", config) == ["wide", "multi"]
    plain = load_config(place / "plain.yaml")
    assert named_arms(None, plain) == list(USUAL)
    with pytest.raises(InputError, match="'wide' is no arm"):
        named_arms("wide", plain)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("study.arms.soft={}", "study.arms: 'soft' is the name of an arm that is there"),
        (
            "study.arms.alone.change={data.max_tokens: 16}",
            "study.arms.alone.change.data.max_tokens: rows and teachers are the same",
        ),
        (
            "study.arms.alone.change={student.poolin: cls}",
            r"there is no setting 'poolin' in student.*pooling",
        ),
        (
            "study.arms.alone.change={student.pooling: best}",
            r"study.arms.alone.change: with .*student.pooling='best': student.pooling",
        ),
        (
            "study.arms.alone.change={training.seed: 99}",
            "study.arms.alone.change.training.seed: students are compared over seeds",
        ),
        ("study.arms.alone.tasks=[moon]", r"study.arms.alone.tasks: 'moon' is no task"),
        ("study.task=moon", r"study.task: 'moon' is no task"),
        ("study.against=alon", r"against: 'alon' is no arm"),
        ("study.arms={a b: {}}", r"study.arms"),
        ("preset=large", r"preset=large: has no list of overrides .* choose from small"),
    ],
)
def test_a_wrong_arm_is_named(place, override, message):
    def configs():
        config = load_config(place / "mine.yaml", [override])
        return [arm_config(config, arm) for arm in arms_of(config)]

    with pytest.raises(InputError, match=message):
        configs()


def test_a_preset_stands_for_its_overrides_and_later_ones_count(place):
    config = load_config(place / "mine.yaml", ["preset=small"])
    assert (config.name, config.training.max_steps) == ("little", 2)
    config = load_config(place / "mine.yaml", ["preset=small", "name=other"])
    assert (config.name, config.training.max_steps) == ("other", 2)
    config = load_config(place / "mine.yaml", ["name=other", "preset=small"])
    assert config.name == "little"


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.stem)
def test_each_config_of_the_project_is_right_with_each_preset_and_arm(path):
    config = load_config(path)
    for preset in (None, *config.presets):
        chosen = load_config(path, [] if preset is None else [f"preset={preset}"])
        assert (chosen.name == config.name) == (preset is None)
        for arm in chosen.study.arms:
            arm_config(chosen, arm)


def test_the_newsemp_table_has_the_rows_of_the_paper():
    """And one that the paper defines and does not report: the teachers alone."""
    config = load_config(CONFIGS / "newsemp.yaml")
    expected = {
        **dict.fromkeys(("cnn", "lstm", "bilstm", "conv_lstm", "encoder"), ("gold", {"empathy"})),
        "mt_sentiment": ("gold", {"empathy", "sentiment"}),
        "mt_emotion": ("gold", {"empathy", "emotion"}),
        "mt_both": ("gold", {"empathy", "sentiment", "emotion"}),
        "kd_sentiment": ("annealed", {"empathy", "sentiment"}),
        "kd_emotion": ("annealed", {"empathy", "emotion"}),
        "kd_both": ("annealed", {"empathy", "sentiment", "emotion"}),
        "soft_both": ("soft", {"empathy", "sentiment", "emotion"}),
    }
    arms = {arm: arm_config(config, arm) for arm in config.study.arms}
    assert {arm: (one.training.objective, set(one.tasks)) for arm, one in arms.items()} == expected
    for arm in ("cnn", "lstm", "bilstm", "conv_lstm"):
        assert arms[arm].student.encoder.startswith(f"{arm}:glove.6B.100d")
    published = {arm: one.published for arm, one in config.study.arms.items() if one.published}
    assert set(expected) - set(published) == {"soft_both"}


def test_an_arm_whose_student_can_not_be_built_stops_before_any_teacher(place, tmp_path, capsys):
    override = f"study.arms.wide.change={{student.encoder: {tmp_path / 'gone'}}}"
    kd("study", place / "mine.yaml", override, "--runs", tmp_path, status=2)
    assert "gone" in capsys.readouterr().err
    assert not (tmp_path / "mine" / "teachers").exists()


def test_each_arm_and_seed_is_trained_on_its_tasks(studied):
    _, run = studied
    found = [(s.arm, s.seed, s.task) for s in study_scores(run) if s.split == "test"]
    wide = [("wide", seed, task) for seed in (13, 14) for task in ("mood", "urgency")]
    assert found == [("alone", 13, "mood"), ("alone", 14, "mood"), *wide]


def test_the_table_is_what_the_confusion_matrices_say(studied):
    config, run = studied
    scores = [s for s in study_scores(run) if (s.split, s.task) == ("test", "mood")]
    rows = {row.arm: row for row in study_tables(config, run, scores)["mood"]}
    assert list(rows) == ["constant", "TF-IDF", "alone", "wide"]
    for arm in ("alone", "wide"):
        values = []
        for score in (one for one in scores if one.arm == arm):
            counts = np.array(score.scores["confusion"], dtype=float)
            right = np.diag(counts)
            said, true = np.maximum(counts.sum(0), 1), np.maximum(counts.sum(1), 1)
            f1 = 2 * right / np.maximum(counts.sum(0) + counts.sum(1), 1)
            last = [right[1] / said[1], right[1] / true[1], f1[1]]
            values.append([(right / said).mean(), (right / true).mean(), f1.mean(), *last])
        expected = np.array(values)
        row = rows[arm]
        found = [row.precision, row.recall, row.f1, *row.last]
        np.testing.assert_allclose([one.mean for one in found], expected.mean(axis=0))
        np.testing.assert_allclose([one.deviation for one in found], expected.std(axis=0, ddof=1))
    assert rows["alone"].difference is None
    difference = rows["wide"].difference.difference.value
    assert difference == pytest.approx(rows["wide"].f1.mean - rows["alone"].f1.mean)


def test_arms_are_compared_on_the_seeds_that_both_have(studied):
    config, run = studied
    scores = [s for s in study_scores(run) if (s.split, s.task) == ("test", "mood")]
    fewer = [s for s in scores if (s.arm, s.seed) != ("wide", 14)]
    found = {row.arm: row for row in study_tables(config, run, fewer)["mood"]}["wide"]
    of_13 = {s.arm: s.label_score for s in scores if s.seed == 13}
    assert found.seeds == 1
    assert found.difference.first.value == pytest.approx(of_13["alone"])
    assert found.difference.second.value == pytest.approx(of_13["wide"])


def test_arms_are_compared_row_by_row_whatever_the_order_of_their_files(studied, tmp_path):
    """As of two tables of kd transfer."""
    config, run = studied
    scores = [s for s in study_scores(run) if (s.split, s.task) == ("test", "mood")]
    scores = [s for s in scores if s.seed == 13]
    head, *lines = scores[1].predictions.read_text().splitlines()
    turned = replace(scores[1], folder=RunFolder(tmp_path))
    turned.predictions.parent.mkdir()
    turned.predictions.write_text("\n".join([head, *reversed(lines)]))
    expected, found = (
        study_tables(config, run, [scores[0], second])["mood"][-1] for second in (scores[1], turned)
    )
    assert found.difference == expected.difference
    turned.predictions.write_text("\n".join([head, *lines[1:]]))
    with pytest.raises(InputError, match="holds other rows"):
        study_tables(config, run, [scores[0], turned])


def test_a_student_of_other_soft_targets_or_encoders_is_left_out(studied, monkeypatch):
    _, run = studied
    key = study.student_key

    def other(config, folder, table_hash):
        if "urgency" not in config.tasks:
            raise InputError("its encoder is gone")
        return key(config, folder, table_hash) + ("" if config.student_seed == 13 else "other")

    monkeypatch.setattr(study, "student_key", other)
    assert {(s.arm, s.seed) for s in study_scores(run)} == {("wide", 13)}


def test_an_arm_of_some_tasks_goes_on_when_a_newer_version_adds_keys(studied, tmp_path):
    config, run = studied
    for changed, folder in trainings(config, run, "alone", 13):
        older = yaml.safe_load(folder.config.read_text())
        del older["student"]["attention_dense"], older["training"]["kl_weight"]
        (tmp_path / "config.yaml").write_text(yaml.safe_dump(older))
        RunFolder(tmp_path).check(changed)
        assert load_config(tmp_path / "config.yaml").tasks.keys() == {"mood"}


def test_a_published_rationale_score_stands_beside_one_by_the_same_rules(studied):
    """And beside that of marking every token, which beats what is published."""
    config, run = studied
    legacy = {"token_f1": 0.5, "all_tokens": {"token_f1": 0.75}}
    quoted = {"level>0": {"model": {"token_f1": 0.6}}, "all": {"model": {"token_f1": 0.9}}}
    scores = [
        replace(s, scores=s.scores | {"sharma2020": legacy, "rationale": quoted})
        for s in study_scores(run)
        if (s.split, s.task) == ("test", "mood")
    ]
    rows = study_tables(config, run, scores)["mood"]
    _, _, rationales, *_ = columns(rows, config.specs[0], config.study.against)
    assert rationales["rationale"] == ["", "", "0.600 ± 0.000", "0.600 ± 0.000"]
    assert rationales["rationale, 2020"] == ["0.750", "", "0.500 ± 0.000", "0.500 ± 0.000"]
    assert any("by the rules of Sharma et al." in note for note in notes(rows))


def test_a_study_with_published_rationale_scores_asks_for_those_rules(place):
    reddit = load_config(CONFIGS / "reddit.yaml")
    assert needs_2020(reddit)
    assert not needs_2020(load_config(place / "mine.yaml"))


def test_p_values_are_corrected_for_the_number_of_arms(studied, monkeypatch):
    """Holm: the smallest of two counts twice."""
    config, run = studied
    scores = [s for s in study_scores(run) if (s.split, s.task) == ("test", "mood")]
    third = [replace(score, arm="third") for score in scores if score.arm == "wide"]
    raw = {"wide": 0.04, "third": 0.01}
    compare = study_table._compare

    def compared(spec, first, second, seed):
        return replace(compare(spec, first, second, seed), p_value=raw[second[0].arm])

    monkeypatch.setattr(study_table, "_compare", compared)
    rows = {row.arm: row for row in study_tables(config, run, [*scores, *third])["mood"]}
    assert (rows["third"].p_value, rows["wide"].p_value) == (0.02, 0.04)


def test_the_tables_are_written_and_printed(studied, place, capsys):
    _, run = studied
    kd("study", place / "mine.yaml", "--runs", place / "runs")
    printed = capsys.readouterr().out
    assert printed.splitlines()[-1].startswith("a report needs the run's own student: kd run")
    assert max(map(len, printed.split("mood\n")[-1].split("Test rows")[0].splitlines())) <= 100
    names = sorted(path.name for path in (run.path / "study").glob("table-*"))
    assert names == [
        f"table-{task}.{kind}" for task in ("mood", "urgency") for kind in ("csv", "md")
    ]
    with (run.path / "study" / "table-mood.csv").open(newline="") as file:
        lines = {line["arm"]: line for line in csv.DictReader(file)}
    published = [float(lines["wide"][f"published {name}"]) for name in ("P", "R", "F1")]
    assert published == [67.68, 66.54, 68.41]
    assert lines["alone"]["published F1"] == "63.79"
    for line in lines.values():
        values = []
        for counts in map(np.array, json.loads(line["confusions"])):
            marks = np.maximum(counts.sum(0) + counts.sum(1), 1)
            values.append((2 * np.diag(counts) / marks).mean())
        assert float(line["macro_f1"]) == pytest.approx(np.mean(values))
        assert len(values) == max(int(line["seeds"]), 1)
    text = (run.path / "study" / "table-mood.md").read_text()
    assert "which no average over runs or classes can be" in text
    assert "| alone | 2 |" in text
    assert "68.41! | 67.11 |" in text


def test_columns_that_hold_nothing_are_left_out(studied):
    config, run = studied
    scores = [s for s in study_scores(run) if s.task == "urgency"]
    (rows,) = study_tables(config, run, scores).values()
    spec = next(spec for spec in config.specs if spec.name == "urgency")
    own, last, rationales, tests = columns(rows, spec, config.study.against)
    assert rationales == tests == {}
    assert list(own) == ["seeds", "precision", "recall", "macro-F1", "accuracy"]
    assert list(last) == ["precision of now", "recall of now", "F1 of now"]


def test_what_several_report_stands_side_by_side(studied):
    config, run = studied
    reports = [{"by": "first", "f1": 60.0}, {"by": "second", "f1": 61.5, "accuracy": 70.0}]
    wide = Arm.model_validate({"tasks": ["mood"], "published": {"mood": reports}})
    arms = {**config.study.arms, "wide": wide}
    config = config.model_copy(update={"study": config.study.model_copy(update={"arms": arms})})
    scores = [s for s in study_scores(run) if s.task == "mood"]
    rows = study_tables(config, run, scores)["mood"]
    *_, alone, first, second = columns(rows, config.specs[0], config.study.against)
    assert alone == {"published F1": ["", "", "63.79", ""]}
    assert first == {"first F1": ["", "", "", "60.00"]}
    assert second == {"second F1": ["", "", "", "61.50"], "second accuracy": ["", "", "", "70.00"]}


def test_a_published_f1_above_what_its_precision_and_recall_allow_is_told():
    """The rows of the NewsEmp table of Hosseini & Caragea (2021) that can't be right."""
    assert most_f1(Published(precision=67.68, recall=66.54, f1=68.41)) == pytest.approx(
        67.105, abs=0.001
    )
    assert cannot_be(Published(precision=67.68, recall=66.54, f1=68.41))
    assert cannot_be(Published(precision=38.89, recall=28.05, f1=43.33))
    assert not cannot_be(Published(precision=46.54, recall=85.06, f1=60.16))
    assert not cannot_be(Published(precision=66.98, recall=71.72, f1=68.27))  # less is possible
    assert not cannot_be(Published(f1=99.0))
    assert not cannot_be(Published(precision=0.0, recall=0.0, f1=0.0))


def test_a_study_that_names_no_arms_has_no_table(place, tmp_path):
    arguments = ("--arms", "multi", "--seeds", "1", "--runs", tmp_path)
    kd("study", place / "plain.yaml", "training.max_steps=1", *arguments)
    place = tmp_path / "mine" / "study"
    assert [path.name for path in place.iterdir()] == ["multi"]
    assert json.loads((place / "multi" / "seed-13" / "metrics.json").read_text())["tasks"]
