"""Tests of kd predict: what it reads and writes, what it refuses, and that a kill loses nothing."""

import csv
import io
import json
import os
import signal
import subprocess
import sys
import time
from ast import literal_eval
from pathlib import Path

import pytest

from kd.cli import main
from student import predictor as windows
from student.model import StudentModel

ROOT = Path(__file__).resolve().parents[1]
HEADER = "id,emotional_reactions,emotional_reactions_probability,"
OLD_HEADER = (
    "id,seeker_post,response_post,ER_label,IP_label,EX_label,ER_rationale,IP_rationale,EX_rationale"
)


@pytest.fixture
def predict(tiny_model, capsysbinary, monkeypatch):
    """A function that runs kd predict with the tiny model: status, stdout and stderr."""

    def ran(*arguments, given=b""):
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(given)))
        with pytest.raises(SystemExit) as ended:
            main(["predict", str(tiny_model), *map(str, arguments)])
        said = capsysbinary.readouterr()
        return ended.value.code, said.out.decode(), said.err.decode()

    return ran


@pytest.fixture
def table(tmp_path):
    """A table of three rows, the second without a text."""
    path = tmp_path / "in.csv"
    path.write_text("id,response_post,seeker_post\na,so sorry,i am sad\nb,,x\nc,good,you\n")
    return path


def test_lines_of_a_stream_become_csv_and_what_is_said_goes_to_stderr(predict):
    status, out, errors = predict("-", "-", given="so sorry\n\nwhy 😢?\n".encode())
    assert status == 0
    lines = out.splitlines()
    assert lines[0].startswith(HEADER)
    assert [line.split(",")[0] for line in lines[1:]] == ["1", "3"]
    assert errors.splitlines() == [
        "id,row,line,reason",
        "2,2,2,the text is empty",
        "3 rows: 2 answered on stdout, 1 rejected, listed above",
    ]


@pytest.mark.parametrize(
    ("read", "given", "form", "first"),
    [
        ("tsv", b"id\ttext\na\tso\n", "csv", "id,"),
        ("jsonl", b'{"id": "a", "text": "so"}', "tsv", "id\t"),
        ("csv", b"id,text\na,so\n", "jsonl", '{"id": "a"'),
    ],
)
def test_each_stream_holds_what_its_format_says(predict, read, given, form, first):
    arguments = ("-", "-", "--format", read, "--out-format", form)
    status, out, errors = predict(*arguments, given=given)
    assert (status, errors) == (0, "1 rows: 1 answered on stdout, 0 rejected\n")
    assert out.startswith(first)
    assert '"a"' in out if form == "jsonl" else out.splitlines()[1].startswith("a")


@pytest.mark.parametrize(
    ("given", "form"),
    [
        (b"id,text\na,so\n", "csv"),
        (b'\xef\xbb\xbf"id","response_post"\r\na,so\r\n', "csv"),
        (b"text\nso\n", "csv"),
        (b"text\tid\nso\ta\n", "tsv"),
        (b'{"id": "a", "text": "so"}\n', "jsonl"),
    ],
)
def test_a_table_in_a_stream_is_not_taken_for_lines(predict, given, form):
    """Its header and its cells would be answered as texts."""
    status, out, errors = predict("-", "-", given=given)
    assert (status, out) == (2, "")
    assert errors == (
        f"kd: stdin:1: seems to be the first line of a table: give --format {form}, "
        f"or --format lines where it is a text\n"
    )


@pytest.mark.parametrize(
    ("given", "arguments"),
    [
        (b"text\n", ("--format", "lines")),
        (b"my text, your text\ntext\n", ()),
        (b"call, text, or write to me whenever you can\ntext\n", ()),
    ],
)
def test_lines_that_are_texts_are_answered_whatever_they_look_like(predict, given, arguments):
    status, out, _ = predict("-", "-", *arguments, given=given)
    assert status == 0
    assert len(out.splitlines()) == 1 + given.count(b"\n")


def test_a_file_may_go_to_a_stream_and_a_stream_to_a_file(predict, table, tmp_path):
    _, out, _ = predict(table, "-", "--out-format", "jsonl")
    assert [json.loads(line)["id"] for line in out.splitlines()] == ["a", "c"]
    target = tmp_path / "out.jsonl"
    status, out, errors = predict("-", target, given=b"so\nsorry\n")
    assert (status, errors) == (0, "")
    assert out == f"2 rows: 2 answered in {target}, 0 rejected\n"
    assert [json.loads(line)["id"] for line in target.read_text().splitlines()] == ["1", "2"]


def test_both_counts_are_said_at_the_end(predict, table, tmp_path):
    target = tmp_path / "out.parquet"
    listed = tmp_path / "out.parquet.rejected.csv"
    status, out, _ = predict(table, target)
    assert status == 0
    assert out == f"3 rows: 2 answered in {target}, 1 rejected, listed in {listed}\n"
    assert listed.read_text() == "id,row,line,reason\nb,2,3,the text is empty\n"


def test_the_old_columns_are_written_on_request(predict, table, tmp_path):
    predict(table, tmp_path / "out.csv", "--legacy")
    header, *rows = (tmp_path / "out.csv").read_bytes().decode().split("\r\n")[:-1]
    assert header == OLD_HEADER
    assert [row.split(",")[:3] for row in rows] == [
        ["a", "i am sad", "so sorry"],
        ["c", "you", "good"],
    ]


def test_the_sample_of_2020_is_answered_in_its_columns_by_one_model_loaded_once(
    public_data, predict, tmp_path, monkeypatch
):
    """Their script loads three models, of two encoders each."""
    loaded = []

    def counted(*arguments, **settings):
        loaded.append(arguments)
        return load(*arguments, **settings)

    load = StudentModel.from_pretrained
    monkeypatch.setattr(StudentModel, "from_pretrained", counted)
    sample = public_data / "empathy-reddit" / "sample_test_input.csv"
    status, _, errors = predict(sample, tmp_path / "out.csv", "--legacy")
    assert (status, errors) == (0, "")
    with (tmp_path / "out.csv").open(encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    assert ",".join(header) == OLD_HEADER
    with sample.open(encoding="utf-8", newline="") as file:
        assert [row[:3] for row in rows] == list(csv.reader(file))[1:]
    assert len(rows) == 3
    assert {cell for row in rows for cell in row[3:6]} <= {"0", "1", "2"}
    assert all(len(literal_eval(cell)) == 64 for row in rows for cell in row[6:])
    assert len(loaded) == 1


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("in.csv", "-", "--resume"), "--resume: a stream can't be gone on with"),
        (("-", "out.csv", "--resume"), "--resume: a stream can't be gone on with"),
        (("in.csv", "out.xlsx"), "out.xlsx: '.xlsx' is no table: give .csv, .tsv, .jsonl,"),
        (("in.txt", "out.csv"), "in.txt: '.txt' is no table: give .csv, .tsv, .jsonl,"),
        (("in.csv", "in.csv"), "in.csv: is what is read: name another file for the answers"),
        (("out.csv.rejected.csv", "out.csv"), "out.csv.rejected.csv: is what is read: name"),
        (("in.csv", "folder.csv"), "folder.csv: is a folder: name a file for the answers"),
        (("absent.csv", "out.csv"), "absent.csv: no such file"),
        (("in.csv", "out.csv", "--format", "csv"), "--format csv: says what stdin holds: leave"),
        (("in.csv", "-", "--format", "csv"), "or give --out-format for stdout"),
        (("-", "out.csv", "--out-format", "csv"), "--out-format csv: says what stdout holds: "),
        (("--text", "so", "--format", "csv"), "--format: goes with IN and OUT: leave it out with"),
        (("--text", "so", "--out-format", "csv"), "--out-format: goes with IN and OUT: leave"),
        (("--text", "so", "--resume"), "--resume: goes with IN and OUT: leave it out with --text"),
        (("--text", "so", "--legacy"), "--legacy: goes with IN and OUT: leave it out with --text"),
        (("in.csv", "out.csv", "--context", "x"), "--context: goes with --text"),
        (("in.csv", "in.csv/out.csv"), "Not a directory"),
        (("other.csv", "out.csv"), "other.csv:1: no column 'text' or 'response_post': the header"),
    ],
)
def test_what_can_not_be_done_is_refused_in_one_line_and_nothing_is_written(
    predict, table, tmp_path, monkeypatch, arguments, expected
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder.csv").mkdir()
    (tmp_path / "other.csv").write_text("body\nso\n")
    (tmp_path / "out.csv.rejected.csv").write_text("id,row,line,reason,text\n")
    before = sorted(tmp_path.rglob("*"))
    status, out, errors = predict(*arguments)
    assert (status, out) == (2, "")
    assert errors.startswith("kd: ")
    assert expected in errors
    assert len(errors.splitlines()) == 1
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("option", "text", "expected"),
    [
        ("--text", "", "text 0: is empty: leave it out"),
        ("--text", "so \udce9", "text 0: holds bytes that are not UTF-8, or half a surrogate pair"),
        ("--text", "x" * 1_000_001, "text 0: has more than 1,000,000 characters"),
        ("--context", "so \ud83d", "context 0: holds half a surrogate pair"),
    ],
)
def test_a_text_on_the_line_that_can_not_be_read_is_refused(predict, option, text, expected):
    given = {"--text": "so sorry", option: text}
    status, _, errors = predict(*(word for pair in given.items() for word in pair))
    assert status == 2
    assert expected in errors
    assert len(errors.splitlines()) == 1


def test_a_full_disk_is_told_in_one_line_and_the_work_goes_on_later(
    predict, table, tmp_path, monkeypatch
):
    target = tmp_path / "out.csv"
    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left")))
        status, _, errors = predict(table, target)
    assert (status, errors) == (2, "kd: kd predict: [Errno 28] No space left\n")
    assert not target.exists()
    assert predict(table, target, "--resume")[0] == 0


SLOWLY = """
import sys
from kd.cli import main
from student import predictor
predictor.WINDOW_ROWS = 32
main()
"""


def test_the_program_killed_again_and_again_loses_and_doubles_no_row(
    predict, tiny_model, tmp_path, monkeypatch
):
    """As a user does it: SIGKILL at any moment, and the same line with --resume."""
    monkeypatch.setattr(windows, "WINDOW_ROWS", 32)
    source = tmp_path / "in.csv"
    rows = (f"r{n},{'' if n % 50 == 0 else f'i know {n} of you'},so sad" for n in range(1, 3001))
    source.write_text("id,text,context\n" + "\n".join(rows) + "\n")
    whole, target = tmp_path / "whole.csv", tmp_path / "out.csv"
    assert predict(source, whole)[1].startswith("3,000 rows: 2,940 answered in ")
    journal = tmp_path / "out.csv.part" / "journal.json"
    done = 0
    for _ in range(2):
        line = [sys.executable, "-c", SLOWLY, "predict", str(tiny_model), str(source), str(target)]
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        with subprocess.Popen([*line, "--resume"], env=environment) as process:
            while process.poll() is None and rows_in(journal) <= done + 200:
                time.sleep(0.005)
            process.send_signal(signal.SIGKILL)
        assert process.returncode == -signal.SIGKILL
        assert done < rows_in(journal) < 3000
        done = rows_in(journal)
    status, _, errors = predict(source, target)
    assert status == 2
    assert f"holds {done:,} rows of a command that did not end: add --resume" in errors
    assert predict(source, target, "--resume")[0] == 0
    for name in ("{}.csv", "{}.csv.rejected.csv"):
        after, before = (tmp_path / name.format(kind) for kind in ("out", "whole"))
        assert after.read_bytes() == before.read_bytes()
    assert not journal.parent.exists()


def rows_in(journal):
    return json.loads(journal.read_text())["rows"] if journal.is_file() else 0


def test_who_reads_no_further_gets_no_traceback(tiny_model, table):
    line = [sys.executable, "-m", "kd", "predict", str(tiny_model), str(table), "-"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        line, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        process.stdout.close()
        errors = process.stderr.read()
    assert (process.returncode, errors) == (1, "")
