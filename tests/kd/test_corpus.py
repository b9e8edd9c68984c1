"""Tests of kd.corpus: which texts are learnt, and which are held out."""

import numpy as np
import pytest

from data.errors import InputError
from data.masking import new_masking
from kd.corpus import divide, read_corpus
from student.encoders import load_tokenizer


def write(path, texts, column="text"):
    path.write_text("\n".join([column, *texts]) + "\n")
    return path


LINES = [f"i feel {'so ' * number}good" for number in range(40)]


def test_a_text_counts_once_however_its_spaces_stand_and_in_whichever_file(tmp_path):
    first = write(tmp_path / "one.csv", [*LINES, "so   happy &amp; glad", "", "a,b"])
    second = write(tmp_path / "two.csv", ["so happy & glad ", LINES[3], "new"])
    found = read_corpus([first, second])
    assert found.texts == [*LINES, "so happy & glad", "new"]
    # A blank line is no row.
    assert (found.read, found.rejected, found.repeated, found.empty) == (45, 1, 2, 0)
    assert found.first_rejected == f"{first}, row 42: has 2 cells, the header names 1"


def test_the_column_is_chosen_by_name(tmp_path):
    path = write(tmp_path / "one.tsv", LINES, column="said")
    assert read_corpus([path], "said").texts == LINES
    with pytest.raises(InputError, match=r"no column 'text' or 'response_post'"):
        read_corpus([path])


def test_a_public_format_is_read_by_its_reader(tmp_path):
    path = tmp_path / "train.tsv"
    path.write_text("sentence\tlabel\n" + "".join(f"{line}\t1\n" for line in LINES))
    assert read_corpus([path], reader="sst2").texts == LINES
    with pytest.raises(InputError, match=r"--reader: 'sst3' is no reader: choose from .*isear"):
        read_corpus([path], reader="sst3")
    with pytest.raises(InputError, match=r"--column 'text': reader sst2 knows its columns"):
        read_corpus([path], "text", "sst2")


def test_the_public_corpora_are_read(public_data):
    """ISEAR has no table's form, DailyDialog lies there compressed."""
    situations = read_corpus([public_data / "isear" / "isear.csv"], reader="isear")
    assert (situations.read, situations.rejected) == (7577, 0)
    turns = read_corpus([public_data / "dailydialog.tsv.xz"])
    assert (turns.read, turns.rejected) == (102979, 0)


def test_too_few_texts_are_refused(tmp_path):
    path = write(tmp_path / "one.csv", ["good", *LINES[:18], "good"])
    with pytest.raises(InputError, match=r"one\.csv: 19 texts that differ: give at least 20"):
        read_corpus([path])


@pytest.fixture
def tokenizer(tiny_encoder):
    return load_tokenizer(str(tiny_encoder))


def test_every_text_is_either_learnt_or_held_out_one_in_twenty_drawn_by_the_seed(tokenizer):
    masking = new_masking(tokenizer, share=0.15, seed=0)
    texts = [*LINES, "\u4f60"]  # a character that the vocabulary lacks
    train, held_out = divide(texts, tokenizer, masking, max_tokens=16, seed=0)
    assert len(held_out) == 2
    assert sorted(map(int, train.ids + held_out.ids)) == list(range(40))
    assert train.texts.lengths.max() == 16
    again, others = (
        divide(texts, tokenizer, masking, max_tokens=16, seed=seed)[1].ids for seed in (0, 1)
    )
    assert again == held_out.ids
    assert others != held_out.ids
    assert np.array_equal(held_out.texts.row(0), train.texts.row(0)) is False


def test_texts_in_another_script_are_refused(tokenizer):
    masking = new_masking(tokenizer, share=0.15, seed=0)
    with pytest.raises(InputError, match=r"0 of 30 texts hold a piece"):
        divide(["\u4f60" * n for n in range(1, 31)], tokenizer, masking, max_tokens=16, seed=0)
