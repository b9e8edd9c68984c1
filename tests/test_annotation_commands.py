"""Tests of kd collect and kd kappa as they are typed: what they say, and how they refuse."""

import pytest

from kd.cli import main

LEXICON = "word,rating\ncancer,9\npain,5\nloss,4\njoy,1\n"


@pytest.fixture
def kd(tmp_path, monkeypatch, capsys):
    """A function that types a line in a folder with tables: its status, stdout and stderr."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "lexicon.csv").write_text(LEXICON)
    (tmp_path / "in.csv").write_text(
        "id,text\na,cancer and pain\nb,cancer and joy\nc,Cancer and  pain\nd,the pain\ne,x,y\n"
    )
    (tmp_path / "one.csv").write_text("id,label\na,0\nb,1\nc,2\nd,\ne,1\n")
    (tmp_path / "two.csv").write_text("id,label\na,0\nb,2\nc,2\nd,1\nf,1\n")

    def typed(*arguments):
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        said = capsys.readouterr()
        return ended.value.code, said.out, said.err

    return typed


def collected(*options):
    return ("collect", "in.csv", "--out", "out.csv", "--keyword", "cancer", *options)


def test_the_rows_of_each_step_are_said(kd, tmp_path):
    status, out, _ = kd(*collected("--lexicon", "lexicon.csv", "--top", "3"))
    assert status == 0
    assert [" ".join(line.split()) for line in out.splitlines()] == [
        "read 5",
        "rejected 1",
        "without a keyword 1",
        "without a word of the lexicon 1",
        "repeated 1",
        "kept 1",
        "first rejected: in.csv, row 5: has 3 cells, the header names 2",
        "out.csv",
    ]
    assert (tmp_path / "out.csv").read_bytes() == b"id,text,label\r\na,cancer and pain,\r\n"


def test_labels_that_people_wrote_are_not_written_over(kd, tmp_path):
    (tmp_path / "out.csv").write_text("id,text,label\na,cancer and pain,1\n")
    status, _, errors = kd(*collected("--lexicon", "lexicon.csv"))
    assert status == 2
    assert errors == "kd: out.csv: is there already, maybe with labels: name another file\n"
    assert "pain,1" in (tmp_path / "out.csv").read_text()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--lexicon", "absent.txt"), "kd: absent.txt: no such file"),
        (("--lexicon", "lexicon.csv", "--top", "9"), "kd: lexicon.csv: holds 4 words"),
        (("--lexicon", "lexicon.csv", "--column", "post"), "kd: in.csv:1: no column 'post'"),
        (("--lexicon", "lexicon.csv", "--out", "in.csv/out.csv"), "kd: kd collect: "),
    ],
)
def test_a_mistake_ends_in_one_line(kd, options, message):
    status, _, errors = kd(*collected(*options))
    assert status == 2
    assert errors.startswith(message)
    assert errors.count("\n") == 1


def test_kappa_is_said_with_the_rows_that_were_left_out(kd):
    status, out, _ = kd("kappa", "one.csv", "two.csv", "--levels", "0,1,2", "--weights", "linear")
    assert status == 0
    assert out.splitlines()[:5] == [
        "left out, one.csv: without a label: 1 ('d')",
        "left out, one.csv: not in two.csv: 1 ('e')",
        "left out, two.csv: not in one.csv: 1 ('f')",
        "rows labelled in both: 3",
        out.splitlines()[4],
    ]
    assert out.splitlines()[4].startswith("kappa, linear weights: 0.667 [")
    assert [line.split() for line in out.splitlines()[-3:]] == [
        ["0", "1", "0", "0"],
        ["1", "0", "0", "1"],
        ["2", "0", "0", "1"],
    ]


def test_one_label_alone_has_no_kappa_and_says_so(kd, tmp_path):
    (tmp_path / "one.csv").write_text("id,label\na,[x]\nb,[x]\n")
    status, out, _ = kd("kappa", "one.csv", "one.csv")
    assert status == 0
    assert "kappa: none: both gave one label to all rows" in out
    assert "equal labels: 1.000 [1.000, 1.000]" in out
    assert out.splitlines()[-1].split() == ["[x]", "2"]


def test_weights_without_an_order_are_refused(kd):
    status, _, errors = kd("kappa", "one.csv", "two.csv", "--weights", "quadratic")
    assert status == 2
    assert errors == "kd: --weights quadratic: needs the order: give --levels lowest,…,highest\n"
