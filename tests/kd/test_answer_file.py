"""Tests of kd.answer_file: killed anywhere, a file of answers comes to the same bytes."""

import fcntl
import json
import multiprocessing
import random
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from data.errors import InputError
from data.readers.texts import RejectedRow
from kd.answer_columns import Columns
from kd.answer_file import open_answers, rejected_path
from tests.killing import run_killed, run_until_whole

COLUMNS = Columns(("id", "mood"), (str, str), lambda *_: [])
MADE_FROM = {"model": "m", "input": {"bytes": 1}, "columns": ["csv", "id", "mood"]}
# Windows of rows: True is answered, False is not.
WINDOWS = [[True, True, False], [True], [False, False, True, True]]


def write(target, *, resume, windows=WINDOWS, made_from=MADE_FROM):
    """Write the windows as kd predict does: what is in the journal is passed over."""
    form = {".csv": "csv", ".jsonl": "jsonl", ".parquet": "parquet"}[target.suffix]
    with open_answers(target, form, COLUMNS, made_from, resume=resume) as answers:
        done, number = answers.journal.rows, 0
        for window in windows:
            first, number = number, number + len(window)
            if number <= done:
                continue
            rows = list(enumerate(window, start=first + 1))
            answers.add(
                [[str(row), f"glad\n{row}"] for row, is_answered in rows if is_answered],
                [RejectedRow(row, None, "", "why") for row, is_answered in rows if not is_answered],
            )
        return answers.journal


@pytest.fixture(autouse=True)
def synced(monkeypatch):
    """The files that were synced: a kill, unlike a power cut, needs no disk, and disks are slow."""
    names = []
    monkeypatch.setattr(
        "os.fsync", lambda number: names.append(Path(f"/proc/self/fd/{number}").readlink().name)
    )
    return names


def files_of(folder):
    return {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def expected(tmp_path):
    """A function: the files that a target has when nothing was killed."""

    def written(name):
        folder = tmp_path / "expected"
        folder.mkdir()
        write(folder / name, resume=False)
        return files_of(folder)

    return written


def test_the_parts_take_their_names_and_leave_nothing_behind(tmp_path):
    journal = write(tmp_path / "out.csv", resume=False)
    assert (journal.rows, journal.answered, journal.rejected) == (8, 5, 3)
    found = files_of(tmp_path)
    assert found.keys() == {"out.csv", "out.csv.rejected.csv"}
    assert found["out.csv"].count(b'"glad\n') == 5
    assert found["out.csv.rejected.csv"] == b"id,row,line,reason\n,3,,why\n,5,,why\n,6,,why\n"


@pytest.mark.parametrize("name", ["out.csv", "out.parquet"])
def test_killed_at_any_call_it_comes_to_the_same_bytes(tmp_path, expected, name):
    """The journal may be behind its parts, never before them, and each last step may be the last.

    A kill before the first window is in the journal leaves nothing to go on from.
    """
    whole = expected(name)
    for at in range(200):
        folder = tmp_path / str(at)
        target = folder / name
        is_whole = run_killed(lambda target=target: write(target, resume=False), at)
        write(target, resume=True)
        assert files_of(folder) == whole, f"killed at {at}"
        assert {path.name for path in folder.iterdir()} == whole.keys()
        if is_whole:
            assert at > 40
            return
    pytest.fail("never came to its end")


def test_rows_are_on_the_disk_before_the_journal_tells_of_them(tmp_path, synced):
    """After a power cut the journal would promise bytes that are not there."""
    write(tmp_path / "out.csv", resume=False, windows=[[True], [False]])
    journals = [name for name in synced if "journal" in name]
    assert len(journals) == 4  # the header, two windows, the end
    assert synced == ["answers", "rejected", journals[0]] * 4


def test_killed_again_and_again_it_comes_to_the_same_bytes(tmp_path, expected):
    whole = expected("out.csv")
    draw = random.Random(0)
    for attempt in range(5):
        target = tmp_path / str(attempt) / "out.csv"
        kills = run_until_whole(
            lambda target=target: write(target, resume=True), lambda: draw.randint(5, 40)
        )
        assert kills > 1
        assert files_of(target.parent) == whole


def test_what_stands_behind_the_journal_is_cut_off(tmp_path, expected):
    whole = expected("out.csv")
    target = tmp_path / "new" / "out.csv"
    run_killed(lambda: write(target, resume=True), 45)
    assert _rows(target)
    for part in ("answers", "rejected"):
        with (target.parent / "out.csv.part" / part).open("ab") as file:
            file.write(b"torn")
    write(target, resume=True)
    assert files_of(target.parent) == whole


def _rows(target):
    journal = target.with_name(f"{target.name}.part") / "journal.json"
    return json.loads(journal.read_text())["rows"]


@pytest.fixture
def unfinished(tmp_path):
    """A target with some windows in its journal and no end."""
    target = tmp_path / "out.csv"
    run_killed(lambda: write(target, resume=False), 45)
    assert _rows(target)
    return target


def test_without_resume_an_unfinished_file_is_refused_and_stays(unfinished):
    before = files_of(unfinished.parent)
    with pytest.raises(
        InputError, match=r"out\.csv\.part: holds \d rows .* did not end: add --resume .* or delete"
    ):
        write(unfinished, resume=False)
    assert files_of(unfinished.parent) == before


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"model": "other"}, "another model"),
        ({"input": {"bytes": 2}}, "another input, or this one has changed since"),
        ({"columns": ["csv", "id"]}, "other columns"),
    ],
)
def test_going_on_with_something_else_is_refused_and_nothing_is_lost(unfinished, changed, words):
    before = files_of(unfinished.parent)
    with pytest.raises(InputError, match=rf"was begun with {words}: give the same again, or delet"):
        write(unfinished, resume=True, made_from=MADE_FROM | changed)
    assert files_of(unfinished.parent) == before


def test_what_came_from_a_stream_is_begun_anew(tmp_path, expected):
    whole = expected("out.csv")
    target = tmp_path / "new" / "out.csv"
    stream = MADE_FROM | {"input": None}
    run_killed(lambda: write(target, resume=False, made_from=stream), 45)
    assert _rows(target)
    write(target, resume=False, made_from=stream)
    assert files_of(target.parent) == whole


def test_with_nothing_to_go_on_from_resume_begins_and_an_older_file_stays_until_the_end(tmp_path):
    target = tmp_path / "out.csv"
    write(target, resume=False, windows=[[True]])
    older = target.read_bytes()
    run_killed(lambda: write(target, resume=True), 45)
    assert target.read_bytes() == older
    write(target, resume=True)
    assert target.read_bytes().count(b"glad") == 5


def test_a_list_of_an_older_file_goes_when_no_row_is_rejected(tmp_path):
    target = tmp_path / "out.csv"
    write(target, resume=False)
    assert rejected_path(target).is_file()
    write(target, resume=False, windows=[[True]])
    assert files_of(tmp_path).keys() == {"out.csv"}


@pytest.mark.parametrize(
    ("lists", "has_answers", "words"),
    [
        ("id,row,line,reason\n", False, r"and .*out\.csv is not there"),
        ("id,row,line,reason,text\n", True, "and is no list of rejected rows"),
        ("", True, "and is no list of rejected rows"),
    ],
)
def test_a_list_that_is_not_that_of_the_answers_is_refused_and_stays(
    tmp_path, lists, has_answers, words
):
    """Somebody adds the texts to the list to give it in again."""
    target = tmp_path / "out.csv"
    if has_answers:
        write(target, resume=False, windows=[[True]])
    rejected_path(target).write_text(lists)
    before = files_of(tmp_path)
    with pytest.raises(
        InputError, match=rf"out\.csv\.rejected\.csv: would be replaced, {words}: move or delete it"
    ):
        write(target, resume=False)
    assert files_of(tmp_path) == before
    assert not (tmp_path / "out.csv.part").exists()


def test_a_file_without_rows_has_its_header(tmp_path):
    for name in ("out.csv", "out.jsonl", "out.parquet"):
        write(tmp_path / name, resume=False, windows=[])
    assert files_of(tmp_path).keys() == {"out.csv", "out.jsonl", "out.parquet"}
    assert (tmp_path / "out.csv").read_bytes() == b"id,mood\n"
    assert (tmp_path / "out.jsonl").read_bytes() == b""
    assert pq.read_table(tmp_path / "out.parquet").column_names == ["id", "mood"]


def test_a_part_that_became_shorter_is_refused(unfinished):
    (unfinished.parent / "out.csv.part" / "answers").write_bytes(b"")
    with pytest.raises(InputError, match="answers: is shorter than its journal says: delete "):
        write(unfinished, resume=True)


@pytest.mark.parametrize("resume", [True, False])
@pytest.mark.parametrize(
    "journal",
    ["", "{", "[]", "null", '{"rows": 3}', "{MORE}", "{WORDS}", b"\xff"],
)
def test_a_damaged_journal_is_refused_and_nothing_is_lost(unfinished, journal, resume):
    path = unfinished.parent / "out.csv.part" / "journal.json"
    found = json.loads(path.read_text())
    if isinstance(journal, str):
        more, words = json.dumps(found | {"new": 1}), json.dumps(found | {"rows": "three"})
        journal = journal.replace("{MORE}", more).replace("{WORDS}", words).encode()
    path.write_bytes(journal)
    before = files_of(unfinished.parent)
    with pytest.raises(
        InputError, match=r"journal\.json: can't be read, so no run can go on: delete .*\.part to "
    ):
        write(unfinished, resume=resume)
    assert files_of(unfinished.parent) == before


def test_a_file_in_the_place_of_the_parts_is_refused(tmp_path):
    (tmp_path / "out.csv.part").write_text("mine")
    with pytest.raises(InputError, match=r"out\.csv\.part: is a file, where a folder is needed: "):
        write(tmp_path / "out.csv", resume=True)
    assert (tmp_path / "out.csv.part").read_text() == "mine"


def test_a_stream_is_not_told_to_resume_what_a_file_began(unfinished):
    stream = MADE_FROM | {"input": None}
    with pytest.raises(InputError, match="did not end: name another file, or delete this folder"):
        write(unfinished, resume=False, made_from=stream)


def test_an_error_within_leaves_what_is_done_for_the_next_time(tmp_path):
    target = tmp_path / "out.csv"

    def fail():
        with open_answers(target, "csv", COLUMNS, MADE_FROM, resume=False) as answers:
            answers.add([["1", "glad"]], [])
            raise RuntimeError("within")

    with pytest.raises(RuntimeError, match="within"):
        fail()
    assert not target.exists()
    assert _rows(target) == 1


def _hold(path: str, ready, done) -> None:
    with Path(path).open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        ready.set()
        done.wait()


def test_two_processes_do_not_write_one_file(unfinished):
    context = multiprocessing.get_context("fork")
    ready, done = context.Event(), context.Event()
    lock = str(unfinished.parent / "out.csv.part" / "lock")
    other = context.Process(target=_hold, args=(lock, ready, done))
    other.start()
    ready.wait()
    before = files_of(unfinished.parent)
    try:
        with pytest.raises(InputError, match="another process is writing it: wait for its end"):
            write(unfinished, resume=True)
        assert files_of(unfinished.parent) == before
    finally:
        done.set()
        other.join()
    write(unfinished, resume=True)
