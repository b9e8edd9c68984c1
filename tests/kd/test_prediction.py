"""Tests of kd.prediction: each row of a file is answered in its place or listed with a reason."""

import csv
import gzip
import io
import json
import os
import random
import shutil

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from data.errors import InputError
from data.readers.texts import FORMS, form_of
from kd.prediction import BAR, predict_file, predict_stream
from student import predictor as windows
from student.predictor import Predictor
from tests.killing import run_killed, run_until_whole

TEXTS = (
    "so sorry my friend",
    "good day",
    "i know how you feel and i am here",
    "why?",
    "no",
)
POSTS = ("i am sad", "", "my dog died and i do not know what to do", "what a great day")


@pytest.fixture(autouse=True)
def predictor(tiny_model, monkeypatch):
    """The tiny model's predictor, loaded once; windows of eight rows."""
    loaded = Predictor.load(tiny_model)
    monkeypatch.setattr(Predictor, "load", lambda _: loaded)
    monkeypatch.setattr(windows, "WINDOW_ROWS", 8)
    return loaded


@pytest.fixture(autouse=True)
def unsynced(monkeypatch):
    """A kill, unlike a power cut, needs no disk, and disks are slow."""
    monkeypatch.setattr("os.fsync", lambda _: None)


def write_table(path, rows=50, faults=()):
    """Write rows of id, text and context; those whose number is in faults have two cells."""
    draw = random.Random(0)
    lines = ["id,text,context"]
    for number in range(1, rows + 1):
        text = f"{draw.choice(TEXTS)} {draw.choice(TEXTS)}"
        row = (f"r{number}", text, draw.choice(POSTS))
        lines.append(",".join(row[:2] if number in faults else row))
    path.write_text("\n".join(lines) + "\n")
    return path


def run(model, source, target, **options):
    return predict_file(
        model,
        source,
        target,
        source_form=form_of(source),
        target_form=FORMS[target.suffix],
        **options,
    )


def read_csv(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file, strict=True))


def test_every_row_is_answered_in_its_place_as_the_predictor_answers_it(
    tiny_model, tmp_path, predictor
):
    source, target = write_table(tmp_path / "in.csv"), tmp_path / "out.csv"
    counts = run(tiny_model, source, target)
    assert (counts.rows, counts.answered, counts.rejected) == (50, 50, 0)
    asked, answered = read_csv(source), read_csv(target)
    assert [row["id"] for row in answered] == [row["id"] for row in asked]
    answers = predictor([row["text"] for row in asked], [row["context"] for row in asked])
    for row, question, answer in zip(answered, asked, answers, strict=True):
        assert row["mood"] == answer["mood"].label
        chance = max(answer["mood"].probabilities.values())
        assert float(row["mood_probability"]) == pytest.approx(chance, abs=1e-5)
        assert float(row["rating"]) == pytest.approx(answer["rating"].label, abs=1e-4)
        assert ("explorations" in answer) == bool(row["explorations"]) == bool(question["context"])
        quoted = [part for part in row["explorations_rationale"].split("|") if part]
        spans = [map(int, span.split("-")) for span in row["explorations_offsets"].split()]
        assert quoted == [question["text"][start:end] for start, end in spans]
    assert len({row["mood_probability"] for row in answered}) > 10
    assert any(row["explorations_rationale"] for row in answered)
    assert not (tmp_path / "out.csv.part").exists()


def test_rows_that_can_not_be_answered_are_listed_and_the_others_answered(tiny_model, tmp_path):
    source = tmp_path / "in.jsonl"
    texts = ["so", "", "\0", 5, "good", "\ud83d", "x" * 1_000_001, "no", "\x01", "why"]
    rows = [{"id": f"r{n}", "text": text} for n, text in enumerate(texts, start=1)]
    source.write_text("\n".join(map(json.dumps, rows)) + "\n\n{\n")
    counts = run(tiny_model, source, tmp_path / "out.csv")
    assert (counts.rows, counts.answered, counts.rejected) == (11, 4, 7)
    assert [row["id"] for row in read_csv(tmp_path / "out.csv")] == ["r1", "r5", "r8", "r10"]
    listed = read_csv(tmp_path / "out.csv.rejected.csv")
    assert [tuple(row.values()) for row in listed] == [
        ("r2", "2", "2", "the text is empty"),
        ("r3", "3", "3", "the text holds a NUL character"),
        ("r4", "4", "4", "the text is a number, not a string"),
        ("r6", "6", "6", "the text holds half a surrogate pair"),
        ("r7", "7", "7", "the text has more than 1,000,000 characters"),
        ("r9", "9", "9", "the text holds no word"),
        ("", "11", "12", listed[-1]["reason"]),
    ]
    assert listed[-1]["reason"].startswith("is not JSON: ")


@pytest.mark.parametrize("size", [1, 7, 64])
def test_windows_of_any_size_give_equal_answers(tiny_model, tmp_path, monkeypatch, size):
    source = write_table(tmp_path / "in.csv", faults={3, 8, 9, 50})
    run(tiny_model, source, tmp_path / "eight.csv")
    monkeypatch.setattr(windows, "WINDOW_ROWS", size)
    run(tiny_model, source, tmp_path / "other.csv")
    one, other = read_csv(tmp_path / "eight.csv"), read_csv(tmp_path / "other.csv")
    assert len(one) == len(other) == 46
    for row, same in zip(one, other, strict=True):
        for column in row:
            if column.endswith(("probability", "rating")) and row[column]:
                assert float(same[column]) == pytest.approx(float(row[column]), abs=2e-5)
            else:
                assert same[column] == row[column]
    rejected = [tmp_path / f"{name}.csv.rejected.csv" for name in ("eight", "other")]
    assert rejected[0].read_bytes() == rejected[1].read_bytes()


def test_every_form_holds_the_same_answers(tiny_model, tmp_path):
    source = write_table(tmp_path / "in.csv", faults={4})
    for ending in ("csv", "tsv", "jsonl", "parquet"):
        assert run(tiny_model, source, tmp_path / f"out.{ending}").answered == 49
    rows = read_csv(tmp_path / "out.csv")
    tabbed = (tmp_path / "out.tsv").read_text().splitlines()
    assert list(csv.DictReader(tabbed, delimiter="\t")) == rows
    lines = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert lines == pq.read_table(tmp_path / "out.parquet").to_pylist()
    for row, line in zip(rows, lines, strict=True):
        shown = {
            name: "" if value is None else f"{value:.6f}" if isinstance(value, float) else value
            for name, value in line.items()
        }
        assert shown == row


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_killed_again_and_again_and_gone_on_it_comes_to_the_same_bytes(
    tiny_model, tmp_path, monkeypatch, ending
):
    monkeypatch.setenv("TOKENIZERS_PARALLELISM", "false")
    source = write_table(tmp_path / "in.csv", rows=60, faults={2, 9, 33, 60})
    whole = tmp_path / f"whole.{ending}"
    run(tiny_model, source, whole)
    draw = random.Random(1)
    for attempt in range(3):
        target = tmp_path / str(attempt) / f"out.{ending}"
        target.parent.mkdir()
        kills = run_until_whole(
            lambda target=target: run(tiny_model, source, target, resume=True),
            lambda: draw.randint(25, 60),
        )
        assert kills > 1
        assert target.read_bytes() == whole.read_bytes()
        listed, expected = (path.with_name(f"{path.name}.rejected.csv") for path in (target, whole))
        assert listed.read_bytes() == expected.read_bytes()
        assert len(list(target.parent.iterdir())) == 2


@pytest.fixture
def unfinished(tiny_model, tmp_path):
    """A model's copy, a table, and a file of answers that was killed on the way."""
    model = shutil.copytree(tiny_model, tmp_path / "model")
    source, target = write_table(tmp_path / "in.csv"), tmp_path / "out.csv"
    run_killed(lambda: run(model, source, target), 60)
    assert json.loads((tmp_path / "out.csv.part" / "journal.json").read_text())["rows"]
    return model, source, target


def test_going_on_with_a_changed_input_is_refused(unfinished):
    model, source, target = unfinished
    text = source.read_text()
    source.write_text(text.replace("r1,", "x1,"))
    with pytest.raises(InputError, match="was begun with another input, or this one has changed"):
        run(model, source, target, resume=True)
    source.write_text(text)
    os.utime(source, ns=(1, 1))
    with pytest.raises(InputError, match="another input, or this one has changed since"):
        run(model, source, target, resume=True)


def test_going_on_with_another_model_is_refused_and_with_its_card_edited_is_not(unfinished):
    model, source, target = unfinished
    (model / "README.md").write_text("a card")
    weights = (model / "model.safetensors").read_bytes()
    (model / "model.safetensors").write_bytes(weights[:-1] + b"x")
    with pytest.raises(InputError, match="was begun with another model: give the same again"):
        run(model, source, target, resume=True)
    (model / "model.safetensors").write_bytes(weights)
    assert run(model, source, target, resume=True).rows == 50


def test_going_on_is_not_refused_for_answers_that_were_put_into_the_models_folder(unfinished):
    model, source, target = unfinished
    run(model, source, model / "other.jsonl")
    assert run(model, source, target, resume=True).rows == 50


def test_going_on_with_the_old_columns_is_refused(unfinished):
    model, source, target = unfinished
    with pytest.raises(InputError, match="was begun with other columns"):
        run(model, source, target, resume=True, legacy=True)


def test_a_table_without_texts_is_refused_before_anything_is_written(tiny_model, tmp_path):
    (tmp_path / "in.csv").write_text("body\nso\n")
    with pytest.raises(InputError, match=r"no column 'text' or .*: the header is 'body'"):
        run(tiny_model, tmp_path / "in.csv", tmp_path / "new" / "out.csv")
    assert [path.name for path in tmp_path.iterdir()] == ["in.csv"]


def test_a_table_without_rows_gives_a_file_without_rows(tiny_model, tmp_path):
    (tmp_path / "in.csv").write_text("text\n")
    assert run(tiny_model, tmp_path / "in.csv", tmp_path / "out.csv").rows == 0
    assert (tmp_path / "out.csv").read_text().startswith("id,emotional_reactions,")


def test_the_old_columns_hold_levels_and_lists_and_rows_without_a_post_are_listed(
    tiny_model, tmp_path
):
    source, target = write_table(tmp_path / "in.csv"), tmp_path / "out.csv"
    counts = run(tiny_model, source, target, legacy=True)
    asked, answered = read_csv(source), read_csv(target)
    with_post = [row for row in asked if row["context"]]
    assert counts.answered == len(with_post) < 50
    assert [(r["id"], r["seeker_post"], r["response_post"]) for r in answered] == [
        (row["id"], row["context"], row["text"]) for row in with_post
    ]
    for row in answered:
        assert {row[f"{name}_label"] for name in ("ER", "IP", "EX")} <= {"0", "1", "2"}
        assert all(len(json.loads(row[f"{name}_rationale"])) == 64 for name in ("ER", "IP", "EX"))
    listed = read_csv(tmp_path / "out.csv.rejected.csv")
    assert {row["reason"] for row in listed} == {"the context is empty"}


def stream(model, content, source_form="lines", target_form="csv", **options):
    out, errors = io.BytesIO(), io.BytesIO()
    counts = predict_stream(
        model,
        io.BytesIO(content),
        out,
        errors,
        source_form=source_form,
        target_form=target_form,
        **options,
    )
    return counts, out.getvalue().decode(), errors.getvalue().decode()


def test_a_stream_is_answered_in_its_order_and_rejections_go_to_the_other(tiny_model):
    texts = [f"{TEXTS[n % 5]} {n}" for n in range(20)]
    texts[3] = texts[17] = " "
    counts, out, errors = stream(tiny_model, "\n".join(texts).encode())
    assert (counts.rows, counts.answered, counts.rejected) == (20, 18, 2)
    rows = list(csv.DictReader(out.splitlines()))
    assert [row["id"] for row in rows] == [str(n + 1) for n in range(20) if n not in (3, 17)]
    assert errors.splitlines() == [
        "id,row,line,reason", "4,4,4,the text is empty", "18,18,18,the text is empty"
    ]  # fmt: skip
    _, lines, none = stream(tiny_model, b'{"text": "so sorry"}', "jsonl", "jsonl")
    assert (json.loads(lines)["id"], none) == ("1", "")


anything = st.text(st.characters(), max_size=12) | st.sampled_from(
    ["so sorry", "", "\0", "\r", '"']
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(rows=st.lists(st.tuples(anything, anything, anything), max_size=12))
def test_every_row_of_any_texts_is_answered_or_listed(tiny_model, tmp_path, rows):
    source, target = tmp_path / "in.jsonl", tmp_path / "out.csv"
    tables = [dict(zip(("id", "text", "context"), row, strict=True)) for row in rows]
    source.write_text("".join(f"{json.dumps(table)}\n" for table in tables))
    counts = run(tiny_model, source, target)
    assert counts.rows == len(rows)
    answered = read_csv(target)
    rejected = tmp_path / "out.csv.rejected.csv"
    listed = read_csv(rejected) if rejected.exists() else []
    assert (len(answered), len(listed)) == (counts.answered, counts.rejected)
    missing = {int(row["row"]) for row in listed}
    expected = [row[0] or str(n) for n, row in enumerate(rows, start=1) if n not in missing]
    assert [row["id"] for row in answered] == expected


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(content=st.binary(max_size=60), form=st.sampled_from(["lines", "csv", "tsv", "jsonl"]))
def test_any_bytes_are_answered_listed_or_refused(tiny_model, content, form):
    head = {"lines": b"", "csv": b"text\n", "tsv": b"text\tid\n", "jsonl": b""}[form]
    try:
        counts, out, errors = stream(tiny_model, head + content, form)
    except InputError:
        return
    rows = list(csv.reader(io.StringIO(out, newline=""), strict=True))
    assert len(rows) - 1 == counts.answered
    listed = list(csv.reader(io.StringIO(errors, newline=""), strict=True))
    assert max(0, len(listed) - 1) == counts.rejected


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize("ending", [".csv", ".csv.gz", ".parquet"])
def test_in_a_terminal_a_bar_says_which_share_of_a_file_is_done(
    tiny_model, tmp_path, monkeypatch, ending
):
    source = tmp_path / f"in{ending}"
    content = b'id,text\n1,"so\nsorry"\n2,good day\n3,no,no\n'
    if ending == ".parquet":
        pq.write_table(pa.table({"text": ["so\nsorry", "good day", ""]}), source)
    else:
        source.write_bytes(gzip.compress(content) if ending == ".csv.gz" else content)
    shown = Terminal()
    monkeypatch.setattr("sys.stderr", shown)
    monkeypatch.setitem(BAR, "delay", 0)
    run(tiny_model, source, tmp_path / "out.csv")
    assert "100%" in shown.getvalue()
    assert "3/3" in shown.getvalue()
