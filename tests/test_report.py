"""Tests of the report of a finished run: its files, its page in a browser, and what stays out."""

import csv
import json
import logging
import re
import shutil
from pathlib import Path

import pytest
from datasets import load_from_disk

from kd.cli import main
from tests.running import kd

CONFIG = """
name: mine
data: {{max_tokens: 48, splits: {{train: 0.5, dev: 0.2, test: 0.3}}}}
tasks:
  mood:
    sources: [{{files: {folder}/mood.csv}}]
    classes: [sad, "glad | <b>"]
  warmth:
    sources: [{{files: {folder}/warmth.csv, columns: {{context: post, rationale: quotes}}}}]
    classes: [cold, neutral, warm]
  age:
    kind: regression
    low: 10
    high: 90
    sources: [{{files: {folder}/age.csv}}]
teachers: {{encoder: {encoder}, training: {{epochs: 1, batch_size: 16, precision: fp32}}}}
student: {{encoder: {encoder}, layers: [0]}}
training: {{epochs: 2, precision: fp32}}
report: {{examples: true}}
"""
# What would break a page, a table or a Markdown cell if it were taken for markup.
HOSTILE = "<script>document.title='taken'</script> </td></table> & | `x` \U0001f600 ok"


@pytest.fixture(scope="module")
def run(tmp_path_factory, tiny_encoder):
    """The folder of a finished run over three small tables."""
    logging.getLogger("kd.stages.label").setLevel(logging.ERROR)
    folder = tmp_path_factory.mktemp("report")
    days = range(30)
    mood = [f'"on day {n} i was so {w} that i {HOSTILE}","{w}"' for n in days for w in ("sad",)]
    mood += [f'on day {n} we were all very happy about it,"glad | <b>"' for n in days]
    (folder / "mood.csv").write_text("text,label\n" + "\n".join(mood) + "\n", encoding="utf-8")
    warmth = [
        f"i am so sorry to hear of your day {n},warm,my dog of {n} years died,so sorry"
        if n % 3 == 0
        else f"what did you do on the day {n},neutral,i do not know what to do {n},what did you do"
        if n % 3 == 1
        else f"just go on and work for {n} days,cold,this is my post number {n},"
        for n in range(60)
    ]
    (folder / "warmth.csv").write_text("text,label,post,quotes\n" + "\n".join(warmth) + "\n")
    ages = [f"in the year {n} i was {n} years of age,{n}" for n in range(20, 60)]
    (folder / "age.csv").write_text("text,label\n" + "\n".join(ages) + "\n")
    (folder / "mine.yaml").write_text(CONFIG.format(folder=folder, encoder=tiny_encoder))
    kd("run", folder / "mine.yaml", "--runs", folder / "runs")
    return folder / "runs" / "mine"


@pytest.fixture(scope="module")
def data(run):
    """Every figure of the report."""
    return json.loads((run / "report" / "report.json").read_text(encoding="utf-8"))


def test_a_run_ends_with_its_report_in_four_kinds_of_file(run):
    report = run / "report"
    assert {path.name for path in report.iterdir()} == {
        "index.html", "README.md", "report.json", "figures"
    }  # fmt: skip
    files = {path.name for path in (report / "figures").iterdir()}
    models = ("teacher", "student")
    confusions = {f"{task}-confusion-{model}" for task in ("mood", "warmth") for model in models}
    assert {name for name in files if not name.endswith(".svg")} == {
        f"{name}.{ending}" for name in confusions for ending in ("csv", "png")
    }
    assert {f"{name}.svg" for name in confusions} < files


def test_a_confusion_is_a_picture_and_a_table_whose_rows_sum_to_the_classes_rows(run):
    metrics = json.loads((run / "metrics.json").read_text())["tasks"]
    for task, model in (("mood", "student"), ("warmth", "teacher")):
        path = run / "report" / "figures" / f"{task}-confusion-{model}"
        assert Path(f"{path}.png").read_bytes().startswith(b"\x89PNG\r\n")
        with Path(f"{path}.csv").open(encoding="utf-8", newline="") as file:
            header, *lines = csv.reader(file)
        scores = metrics[task]["test"][model]
        assert header[1:] == [line[0] for line in lines] == list(scores["per_class"])
        supports = {name: found["support"] for name, found in scores["per_class"].items()}
        assert {name: sum(map(int, cells)) for name, *cells in lines} == supports
        assert sum(supports.values()) > 0


def test_the_report_has_its_sections_in_order(data):
    sections = [key for key in data if key not in ("title", "config")]
    assert sections == [
        "verdict", "controls", "tasks", "rationales", "cost", "disagreements", "slices",
        "interference", "provenance",
    ]  # fmt: skip


def test_the_verdict_has_the_scores_of_metrics_json(run, data):
    metrics = json.loads((run / "metrics.json").read_text())["tasks"]
    rows = {(row["task"], row["measure"]): row for row in data["verdict"]["rows"]}
    for model, place in (("teacher", "first"), ("student", "second")):
        for task, metric in (("mood", "macro_f1"), ("warmth", "macro_f1"), ("age", "pearson")):
            compared = rows[task, metric]["compared"]
            expected = metrics[task]["test"][model][metric]
            assert compared is None or compared[place]["value"] == pytest.approx(expected, abs=1e-6)
        found = rows["warmth", "rationale_token_f1"]["compared"][place]["value"]
        expected = metrics["warmth"]["test"][model]["rationale"]["level>0"]["model"]["token_f1"]
        assert found == pytest.approx(expected, abs=1e-6)


def test_the_student_carries_a_card_that_can_be_read_as_one(run):
    from huggingface_hub import ModelCard

    card = ModelCard.load(run / "student" / "README.md")
    assert card.data.base_model is None
    assert {result.dataset_type for result in card.data.eval_results} >= {"mood", "warmth"}
    assert "## Not for" in card.text


def test_a_report_of_a_run_without_scores_says_what_to_run(run, tmp_path, capsys):
    shutil.copytree(run, tmp_path / "mine")
    (tmp_path / "mine" / "metrics.json").unlink()
    with pytest.raises(SystemExit, match=r"^2$"):
        main(["report", str(tmp_path / "mine"), "--out", str(tmp_path / "report")])
    assert "run kd evaluate" in capsys.readouterr().err


def test_a_report_never_takes_the_place_of_another_folder(run, tmp_path, capsys):
    (tmp_path / "precious").write_text("mine")
    with pytest.raises(SystemExit, match=r"^2$"):
        main(["report", str(run), "--out", str(tmp_path)])
    assert "holds 'precious', which is no part of a report" in capsys.readouterr().err
    assert (tmp_path / "precious").read_text() == "mine"


def texts_of(run):
    """Every text and context of the run's splits."""
    table = load_from_disk(str(run / "splits"))
    return {text for split in table.values() for c in ("text", "context") for text in split[c]}


def word_runs(text, length=5):
    words = text.split()
    return {" ".join(words[n : n + length]) for n in range(len(words) - length + 1)}


def test_without_examples_no_five_words_of_any_post_are_in_the_folder(run, tmp_path):
    kd("report", run, "--out", tmp_path / "report", "--no-examples")
    runs = {words for text in texts_of(run) for words in word_runs(text)}
    assert len(runs) > 100
    files = [path for path in (tmp_path / "report").rglob("*") if path.is_file()]
    assert len(files) > 10
    # Words that stand in posts alone, and are no class, task or part of a sentence of the page.
    words = {"sorry", "died", "dog", "happy", "\U0001f600"}
    for path in [*files, run / "student" / "README.md"]:
        content = " ".join(path.read_text(encoding="utf-8", errors="replace").split())
        # Also as a script or a page would write it.
        plain = content.replace("\\u003c", "<").replace("&lt;", "<")
        assert not [run for run in runs if run in content or run in plain], path.name
        assert not words & set(re.findall(r"\w+|\U0001f600", plain.lower())), path.name


def test_with_examples_the_texts_are_in_the_page_alone(run):
    runs = {words for text in texts_of(run) for words in word_runs(text)}
    for path in (run / "report").rglob("*"):
        if path.is_file():
            content = " ".join(path.read_text(encoding="utf-8", errors="replace").split())
            assert any(words in content for words in runs) == (path.name == "index.html")


@pytest.fixture(params=[(1280, "light"), (400, "dark")], ids=["wide", "narrow"])
def page(request, browser, run):
    """The report's page, opened from its file with the network off; nothing may go wrong."""
    width, scheme = request.param
    context = browser.new_context(
        viewport={"width": width, "height": 900}, color_scheme=scheme, offline=True
    )
    opened = context.new_page()
    mistakes = []
    opened.on("console", lambda message: mistakes.append(message.text))
    opened.on("pageerror", lambda error: mistakes.append(str(error)))
    opened.on("request", lambda request: mistakes.append(request.url)
              if not request.url.startswith(("file:", "data:")) else None)  # fmt: skip
    opened.goto((run / "report" / "index.html").as_uri())
    yield opened
    assert mistakes == []
    context.close()


def test_the_page_fits_its_window_and_shows_every_figure(page, run):
    width = page.viewport_size["width"]
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    figures = page.query_selector_all("figure svg")
    assert len(figures) == len(list((run / "report" / "figures").glob("*.svg")))
    for figure in figures:
        box = figure.bounding_box()
        assert box["width"] > 100
        assert box["height"] > 30
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= width + 1


def test_text_that_looks_like_markup_shows_as_text(page):
    assert page.title() == "mine: student against teachers"
    page.select_option("select[name=task]", "mood")
    page.fill("input[name=words]", "<script>")
    shown = page.inner_text("#examples")
    assert HOSTILE in re.sub(r"\s+", " ", shown)
    assert page.query_selector("#examples script") is None


def test_the_filters_show_the_rows_they_name(page):
    total = int(re.search(r"of (\d+)", page.inner_text("#count")).group(1))
    page.select_option("select[name=task]", "age")
    values = int(re.search(r"of (\d+)", page.inner_text("#count")).group(1))
    page.select_option("select[name=task]", "")
    found = {}
    for choice in ("right", "wrong"):
        page.select_option("select[name=student]", choice)
        found[choice] = int(re.search(r"of (\d+)", page.inner_text("#count")).group(1))
    # The value of a regression is neither.
    assert found["right"] + found["wrong"] == total - values
    assert values > 0
    page.select_option("select[name=task]", "warmth")
    assert all("warmth" in text for text in page.locator(".example .about").all_inner_texts())


def test_quoted_words_are_marked_where_gold_has_them(page):
    page.select_option("select[name=task]", "warmth")
    page.select_option("select[name=gold]", "warm")
    marked = page.locator(".example mark.gold").all_inner_texts()
    assert marked
    assert "so sorry" in " ".join(" ".join(marked).split())


@pytest.fixture(scope="module")
def studied(run, tmp_path_factory):
    """The same run with a study of two arms, and another run of it with a seed of its own."""
    runs = tmp_path_factory.mktemp("studied")
    config = run.parents[1] / "mine.yaml"
    shutil.copytree(run, runs / "mine")
    shutil.copytree(run, runs / "other")
    kd("study", config, "--runs", runs, "--arms", "single,multi", "--seeds", "2")
    kd("run", config, "name=other", "training.seed=99", "--runs", runs, "--overwrite")
    return runs


def test_the_arms_of_a_study_and_other_runs_stand_in_the_report(studied, tmp_path):
    kd("report", studied / "mine", studied / "other", "--out", tmp_path / "report")
    data = json.loads((tmp_path / "report" / "report.json").read_text(encoding="utf-8"))
    arms = {
        (row["arm"], row["seed"]): row["score"]
        for row in data["controls"]["scores"]
        if (row["task"], row["measure"]) == ("warmth", "macro_f1")
    }
    assert list(arms) == [
        ("single", 13), ("single", 14), ("multi", 13), ("multi", 14), ("annealed", 13),
        ("other", 99),
    ]  # fmt: skip
    scored = json.loads((studied / "mine" / "study/multi/seed-14/metrics.json").read_text())
    expected = scored["tasks"]["warmth"]["test"]["student"]["macro_f1"]
    assert arms["multi", 14] == pytest.approx(expected)
    pairs = {(row["first"], row["second"]) for row in data["controls"]["differences"]}
    assert pairs == {
        ("single", "multi"), ("multi", "annealed"), ("single", "annealed"), ("annealed", "other"),
    }  # fmt: skip
    systems = [system["name"] for system in data["cost"]["systems"]]
    assert systems == ["teachers", "student", "other"]


def test_a_run_without_teachers_has_a_report_of_its_student_alone(run, tmp_path):
    config = run.parents[1] / "mine.yaml"
    kd("run", config, "training.objective=gold", "name=alone", "--runs", tmp_path)
    data = json.loads((tmp_path / "alone" / "report" / "report.json").read_text(encoding="utf-8"))
    assert [row["word"] for row in data["verdict"]["rows"]] == [None] * 4
    assert "stands alone" in (tmp_path / "alone" / "report" / "index.html").read_text("utf-8")


def test_a_run_compared_with_itself_differs_in_nothing(run, capsys, tmp_path):
    kd("compare", run, run, "--flips", tmp_path / "flips.csv")
    shown = capsys.readouterr().out
    assert shown.count("+0.000 [+0.000, +0.000]  1.000") >= 2
    assert [line.split() for line in shown.splitlines() if line.startswith("warmth")][2] == [
        "warmth", "0", "0", "0", "1.000"
    ]  # fmt: skip
    assert (tmp_path / "flips.csv").read_text() == "task,id,gold,first,second\n"


def test_two_runs_compared_show_what_was_set_and_the_rows_that_flipped(studied, capsys, tmp_path):
    one, two = studied / "mine", studied / "other"
    kd("compare", one, two, "--flips", tmp_path / "flips.csv")
    shown = capsys.readouterr().out
    assert "training.seed: None → 99" in shown
    flipped = (tmp_path / "flips.csv").read_text().splitlines()[1:]
    for line in flipped:
        task, name, gold, first, second = line.rsplit(",", 4)
        assert first != second
        for folder, said in ((one, first), (two, second)):
            rows = (folder / f"predictions/student-{task}-test.csv").read_text().splitlines()
            assert any(row.startswith(f"{name},{gold},{said},") for row in rows)


def test_runs_that_divide_their_rows_otherwise_are_not_compared(run, capsys, tmp_path):
    config = run.parents[1] / "mine.yaml"
    kd("run", config, "name=other", "seed=5", "training.objective=gold", "--runs", tmp_path)
    for command in ("compare", "report"):
        with pytest.raises(SystemExit, match=r"^2$"):
            main([command, str(run), str(tmp_path / "other")])
        assert "vary training.seed in place of seed" in capsys.readouterr().err


@pytest.mark.parametrize("change", ["settings", "student", "unfinished", "no json"])
def test_scores_of_another_state_are_never_reported(change, run, tmp_path, capsys):
    copy = tmp_path / "mine"
    shutil.copytree(run, copy)
    if change == "settings":
        text = (copy / "config.yaml").read_text()
        (copy / "config.yaml").write_text(text.replace("objective: annealed", "objective: soft"))
    elif change == "student":
        shutil.copy(copy / "teachers/mood/model.safetensors", copy / "student")
    elif change == "unfinished":
        (copy / ".stages" / "distill").unlink()
    else:
        (copy / "metrics.json").write_text('{"tasks"')
    with pytest.raises(SystemExit, match=r"^2$"):
        main(["report", str(copy), "--out", str(tmp_path / "report")])
    assert "kd evaluate" in capsys.readouterr().err
    assert not (tmp_path / "report").exists()


def test_a_report_made_by_hand_is_made_again_by_the_run_as_its_config_says(run, tmp_path, capsys):
    shutil.copytree(run, tmp_path / "mine")
    kd("report", tmp_path / "mine", "--no-examples", "--margin", "0.25")
    page = tmp_path / "mine" / "report" / "index.html"
    assert "no worse within 0.25" in page.read_text("utf-8")
    assert "was so sad that" not in page.read_text("utf-8")
    capsys.readouterr()
    kd("run", run.parents[1] / "mine.yaml", "--runs", tmp_path)
    assert "report    done" in capsys.readouterr().out
    assert "was so sad that" in page.read_text("utf-8")
