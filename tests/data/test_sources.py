"""Tests of data.sources: what a config's source says, and the records it leads to."""

import pytest
from pydantic import ValidationError

from data.errors import InputError
from data.sources import ColumnNames, Source


def test_a_source_has_either_files_or_a_hub_name():
    for wrong in ({}, {"files": "a.csv", "hub": "owner/name"}):
        with pytest.raises(ValidationError, match="give either files or hub"):
            Source(**wrong)


@pytest.mark.parametrize(
    "wrong",
    [{"reader": "sst3"}, {"paths": "x"}, {"columns": {"lable": "x"}}, {"files": {"x": "a"}}],
)
def test_an_unknown_name_in_a_source_is_refused(wrong):
    with pytest.raises(ValidationError, match=r"Extra inputs|Input should be"):
        Source(**{"files": "a.csv", **wrong})


@pytest.mark.parametrize(
    ("source", "classes", "has_context", "has_rationale"),
    [
        ({"reader": "empathy_reddit"}, ("none", "weak", "strong"), True, True),
        ({"reader": "sst2"}, ("negative", "positive"), False, False),
        ({"reader": "newsemp"}, ("low", "high"), False, False),
        ({"reader": "newsemp", "column": "distress"}, (), False, False),
        ({"reader": "twittemp", "scheme": "seek"}, ("rest", "seeking"), False, False),
        ({}, (), False, False),
        ({"columns": {"context": "post"}}, (), True, False),
        ({"columns": {"rationale": "why"}}, (), False, True),
    ],
)
def test_a_format_fixes_its_classes_and_inputs(source, classes, has_context, has_rationale):
    made = Source(files="a", **source)
    assert made.classes == classes
    assert made.has_context is has_context
    assert made.has_rationale is has_rationale


@pytest.mark.parametrize("reader", ["plutchik8", "semeval_ec", "xed"])
def test_the_three_emotion_formats_have_the_same_eight_classes(reader):
    classes = Source(reader=reader, files="a").classes
    assert classes == Source(reader="xed", files="a").classes
    assert len(classes) == 8


def test_files_given_by_split_are_listed_with_their_split(tmp_path):
    source = Source(files={"train": ("a.csv", "b.csv"), "test": "c.csv"})
    assert source.paths(tmp_path) == [
        ("test", tmp_path / "c.csv"),
        ("train", tmp_path / "a.csv"),
        ("train", tmp_path / "b.csv"),
    ]
    assert Source(files="a.csv").paths(tmp_path) == [(None, tmp_path / "a.csv")]


def test_the_records_of_several_files_carry_their_splits(write, tmp_path):
    write("a.csv", "text,label\none,x\n")
    write("b.csv", "text,label\ntwo,y\n")
    source = Source(files={"train": "a.csv", "dev": "b.csv"})
    found = {(split, record.text, record.label) for split, record in source.records(tmp_path)}
    assert found == {("train", "one", "x"), ("dev", "two", "y")}


@pytest.mark.parametrize(
    ("reader", "content", "labels"),
    [
        ("sst2", "sentence\tlabel\nfine\t1\n", ["positive"]),
        ("plutchik8", "text\tlabel\nfine\tjoy\n", ["joy"]),
        ("xed", "fine\t5\n", ["joy"]),
        ("newsemp", "response_id,essay,empathy_bin\nw,fine,1\n", ["high"]),
        ("twittemp", "text\tlabel\nfine\t2\n", ["providing"]),
        ("table", "text\tlabel\nfine\tgood\n", ["good"]),
    ],
)
def test_the_name_of_a_reader_leads_to_it(write, tmp_path, reader, content, labels):
    path = write("rows.tsv", content)
    records = [record for _, record in Source(reader=reader, files=path.name).records(tmp_path)]
    assert [record.label for record in records] == labels


def test_settings_of_a_format_reach_its_reader(write, tmp_path):
    write("m.csv", "response_id,essay,distress\nw,fine,3.5\n")
    ((_, essay),) = Source(reader="newsemp", files="m.csv", column="distress").records(tmp_path)
    write("t.tsv", "text\tlabel\nfine\t2\n")
    ((_, tweet),) = Source(reader="twittemp", files="t.tsv", scheme="seek").records(tmp_path)
    write("u.csv", b"who,says\nann,caf\xe9\n")
    columns = ColumnNames(text="says", label=None, id="who")
    ((_, row),) = Source(files="u.csv", columns=columns, encoding="latin-1").records(tmp_path)
    assert (essay.label, tweet.label, row.text, row.key) == ("3.5", "rest", "café", "ann")


def test_labels_of_a_format_get_the_tasks_names(write, tmp_path):
    """So that sources of two formats, or of a source and a target, have one task."""
    write("a.tsv", "text\tlabel\nfine\t0\nhelp\t1\nhere\t2\n")
    names = {"none": "low", "seeking": "high", "providing": "high"}
    source = Source(reader="twittemp", files="a.tsv", labels=names)
    assert source.classes == ("low", "high")
    assert [record.label for _, record in source.records(tmp_path)] == ["low", "high", "high"]
    write("b.csv", "text,label\nfine,+\nbad, - \nwhat,?\n")
    source = Source(files="b.csv", labels={"+": "glad", "-": "sad"})
    assert source.classes == ()
    assert [record.label for _, record in source.records(tmp_path)] == ["glad", "sad", "?"]
    with pytest.raises(ValidationError, match="'some' is no label of reader twittemp: choose from"):
        Source(reader="twittemp", files="a.tsv", labels={"some": "high"})


def test_an_unknown_encoding_is_refused(write, tmp_path):
    write("a.csv", "text,label\n")
    with pytest.raises(InputError, match=r"a\.csv: 'utf-9' is no encoding: try utf-8"):
        list(Source(files="a.csv", encoding="utf-9").records(tmp_path))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"gone\.csv: no such file"):
        list(Source(files="gone.csv").records(tmp_path))
