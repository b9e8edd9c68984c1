"""Tests of data.readers.dialogues: windows of turns, speakers, and what is refused."""

from collections import Counter

import pytest

from data.errors import InputError
from data.readers.dialogues import MELD_CLASSES, DialogueColumns, read_dialogues, read_meld
from data.rows import TaskRecords
from data.sources import Source
from data.tables import build_table
from data.tasks import TaskSpec

HEADER = "Sr No.,Utterance,Speaker,Emotion,Sentiment,Dialogue_ID,Utterance_ID\n"
TURNS = HEADER + (
    "1,You look sad.,Ann,neutral,x,0,0\n"
    "2,He lost his job.,Bob,sadness,x,0,1\n"
    "3,What?,Ann,surprise,x,0,3\n"
    "4,Hi!,Bob,joy,x,1,0\n"
)


@pytest.fixture
def file(tmp_path):
    """A function that writes a file of turns and gives its path."""

    def written(content, name="turns.csv"):
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return written


def texts(path, window):
    return [record.text for record in read_meld(path, window=window)]


def test_a_turn_stands_before_those_it_follows_each_with_its_speaker(file):
    path = file(TURNS)
    assert texts(path, 3) == [
        "[S1] You look sad.",
        "[S2] He lost his job. [S1] You look sad.",
        "[S1] What? [S2] He lost his job. [S1] You look sad.",
        "[S1] Hi!",
    ]
    assert texts(path, 2)[2] == "[S1] What? [S2] He lost his job."
    assert texts(path, 1) == [
        "[S1] You look sad.",
        "[S2] He lost his job.",
        "[S1] What?",
        "[S1] Hi!",
    ]


def test_no_window_crosses_a_dialogue_whatever_the_order_of_the_rows(file):
    header, *rows = TURNS.splitlines(keepends=True)
    mixed = file(header + "".join(reversed(rows)), "mixed.csv")
    for found in texts(mixed, 9):
        assert ("Hi!" in found) == (found == "[S1] Hi!")
    assert sorted(texts(mixed, 9)) == sorted(texts(file(TURNS), 9))


def test_a_dialogue_stays_in_one_split_and_each_turn_is_a_row_of_its_own(file):
    records = list(read_meld(file(TURNS), window=2))
    assert [record.group for record in records] == [
        "turns-0", "turns-0", "turns-0", "turns-1"
    ]  # fmt: skip
    assert len({record.key for record in records}) == 4
    assert [record.label for record in records] == ["neutral", "sadness", "surprise", "joy"]


def test_another_speaker_gives_another_text(file):
    changed = file(TURNS.replace("What?,Ann", "What?,Cem"), "changed.csv")
    assert texts(changed, 1)[2] == "[S3] What?"


def test_what_looks_like_a_speaker_inside_a_turn_begins_none(file):
    path = file(TURNS.replace("What?", "he typed [s2] twice"))
    assert texts(path, 1)[2] == "[S1] he typed (s2) twice"


def test_speakers_after_the_ninth_share_a_number(file):
    rows = [f"{n},hello,speaker {n},joy,x,0,{n}" for n in range(12)]
    found = texts(file(HEADER + "\n".join(rows)), 1)
    assert [text[:4] for text in found] == [f"[S{min(n, 9)}]" for n in range(1, 13)]


def test_a_constant_speaker_is_warned_about_and_others_are_not(file, caplog):
    list(read_meld(file(TURNS), window=2))
    assert caplog.text == ""
    list(read_meld(file(TURNS.replace("Bob", "Ann"), "one.csv"), window=2))
    assert "no dialogue has a second speaker" in caplog.text
    assert "sad" not in caplog.text


def test_bytes_of_windows_1252_become_what_they_were(file):
    path = file(TURNS.replace("What?", "What\u0092s \u0085 that\u0081?"))
    assert texts(path, 1)[2] == "[S1] What’s that?"


def test_an_empty_turn_is_read_with_the_others_and_not_asked_about(file):
    assert texts(file(TURNS.replace("He lost his job.", "  ")), 2) == [
        "[S1] You look sad.", "[S1] What? [S2] ", "[S1] Hi!"
    ]  # fmt: skip


def test_what_would_begin_a_turn_does_not_however_it_is_written(file):
    for mark in ("[S2]", "&#91;S2&#93;", "[s2&#x5d;"):
        (first, *_) = texts(file(TURNS.replace("You look sad.", f"{mark} hi")), 1)
        assert first.casefold() == "[s1] (s2) hi"


def test_a_table_of_ones_own_is_read_by_its_columns(file):
    lines = (
        '{"d": "x", "n": 2, "who": "b", "said": "no", "e": ""}',
        '{"d": "x", "n": 1, "who": "a", "said": "oh", "e": "sad"}',
    )
    path = file("\n".join(lines), "mine.jsonl")
    columns = DialogueColumns("d", "n", "who", "said", "e")
    found = [(r.text, r.label) for r in read_dialogues(path, columns=columns, window=2)]
    assert found == [("[S1] oh", "sad"), ("[S2] no [S1] oh", None)]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "joy",
            "cheer",
            r"turns.csv:5, column 'Emotion': 'cheer' is not a label: choose",
        ),
        ("0,3", "0,x", r"turns.csv:4, column 'Utterance_ID': 'x' is no whole number"),
        (
            "0,3",
            "0,1",
            r"turns.csv:4, column 'Utterance_ID': turn 1 of dialogue '0' stands",
        ),
        ("Speaker", "Who", r"turns.csv:1: column 'Speaker' is missing"),
    ],
)
def test_a_wrong_cell_is_named(file, old, new, message):
    with pytest.raises(InputError, match=message):
        list(read_meld(file(TURNS.replace(old, new)), window=2))


def test_a_source_reads_meld_and_tables_and_refuses_what_says_nothing(file):
    path = file(TURNS)
    source = Source(reader="meld", files=path.name, window=2)
    assert source.classes == MELD_CLASSES
    assert [record.text for _, record in source.records(path.parent)] == texts(path, 2)
    columns = {"dialogue": "Dialogue_ID", "turn": "Utterance_ID", "speaker": "Speaker",
               "text": "Utterance", "label": "Emotion"}  # fmt: skip
    table = Source(reader="dialogues", files=path.name, window=2, columns=columns)
    assert [record.text for _, record in table.records(path.parent)] == texts(path, 2)
    for wrong in ({"window": 2}, {"columns": {"turn": "n"}}):
        with pytest.raises(ValueError, match="says nothing to reader table"):
            Source(files="a.csv", **wrong)
    with pytest.raises(ValueError, match="context says nothing to reader dialogues"):
        Source(reader="dialogues", files="a.csv", columns={"context": "c"})


def test_the_public_files_are_read_whole(public_data):
    folder = public_data / "meld"
    counts = {"train": 9989, "dev": 1109, "test": 2610}
    for split, count in counts.items():
        records = list(read_meld(folder / f"{split}_sent_emo.csv", window=5))
        assert len(records) == count
        assert all(record.text.count("[S") <= 5 for record in records)
    assert Counter(record.label for record in records)["neutral"] == 1256


def test_the_public_splits_stay_as_they_are_given(public_data):
    """A short turn that stands in two of them moves, and takes no dialogue along."""
    files = {split: f"meld/{split}_sent_emo.csv" for split in ("train", "dev", "test")}
    source = Source(reader="meld", files=files, window=5)
    task = TaskRecords(TaskSpec("emotion", classes=source.classes), source.records(public_data))
    table, profiles, overlaps = build_table([task], fractions={"train": 1.0}, seed=0)
    given = {"train": 9989, "dev": 1109, "test": 2610}
    moved = profiles["emotion"].moved
    assert 0 < moved < 100
    assert set(overlaps.values()) == {0}
    for split, count in given.items():
        assert abs(len(table[split]) - count) <= moved


def test_the_public_daily_dialogues_are_read_compressed(public_data):
    columns = DialogueColumns(dialogue="dialogue_id")
    records = list(read_dialogues(public_data / "dailydialog.tsv.xz", columns=columns, window=2))
    assert len(records) == 102979
    assert records[1].text.endswith(" [S1] Say, Jim, how about going for a few beers after dinner?")
