"""Tests of student.vector_files: word vectors as text, and what is wrong with such a file."""

import gzip

import numpy as np
import pytest

from data.errors import InputError
from student.vector_files import read_vectors

TEXT = "the 0.5 -1\nsad 2 3.25\n\u00a0\x85 1e-2 0\n"


@pytest.fixture
def written(tmp_path):
    """A function that writes a file of vectors and gives its path."""

    def write(text, name="vectors.txt"):
        path = tmp_path / name
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return path

    return write


def test_a_line_is_a_word_and_its_values_in_the_order_of_the_file(written):
    """Words of web corpora hold characters that Python takes for ends of lines or for spaces."""
    words, values = read_vectors(written(TEXT))
    assert words == ("the", "sad", "\u00a0\x85")
    assert values.dtype == np.float32
    np.testing.assert_array_equal(values, np.array([[0.5, -1], [2, 3.25], [0.01, 0]], np.float32))


def test_a_compressed_file_gives_the_same(written):
    packed = read_vectors(written(gzip.compress(TEXT.encode()), "vectors.txt.gz"))
    plain = read_vectors(written(TEXT))
    assert packed.words == plain.words
    np.testing.assert_array_equal(packed.values, plain.values)


def test_line_ends_of_windows_and_spaces_behind_the_values_say_nothing(written):
    words, values = read_vectors(written("a 1 2 \r\nb 3 4 \r\n"))
    assert words == ("a", "b")
    np.testing.assert_array_equal(values, [[1, 2], [3, 4]])


def test_a_word_may_hold_spaces(written):
    """As some of the largest of GloVe's files do."""
    words, values = read_vectors(written("a 1 2\n. . . 3 4\nat name@domain.com 5 6\n"))
    assert words == ("a", ". . .", "at name@domain.com")
    np.testing.assert_array_equal(values, [[1, 2], [3, 4], [5, 6]])


def test_only_the_first_rows_are_read_where_some_are_asked_for(written):
    path = written(TEXT + "wrong\n")
    words, values = read_vectors(path, 2)
    assert words == ("the", "sad")
    assert values.shape == (2, 2)


def test_a_file_that_was_written_again_is_read_again(written):
    assert read_vectors(written("a 1\n")).words == ("a",)
    assert read_vectors(written("a 1\nbe 2\n")).words == ("a", "be")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a 1 2\nb 3\n", r"vectors\.txt, line 2: has 1 values, not a word and 2 values"),
        ("a 1 2\nb 3 4 5\n", r"line 2: has 3 values, not a word and 2 values"),
        ("a 1 2\nb  3 4\n", r"line 2: has 3 values"),
        ("a 1 2\n\nb 3 4\n", r"line 2: has 0 values"),
        ("alone\n", r"line 1: has 0 values, not a word and values"),
        ("a 1 2\nb 3 x\n", r"line 2: 'x' is no finite number"),
        ("a 1 2\nb inf x\n", r"line 2: 'inf' is no finite number"),
        ("a 1 2\nb nan 1\n", r"line 2: nan is no finite number"),
        ("a 1 2\nb 1 1e60\n", r"line 2: inf is no finite number"),
        ("a 1 2\nb 3 4\na 5 6\n", r"line 3: the word 'a' stands in line 1 too"),
        ("[UNK] 1 2\n", r"line 1: the word '\[UNK\]' is kept for texts"),
        ("", r"vectors\.txt: is empty"),
        (b"a 1\n\xff 2\n", r"vectors\.txt: is not UTF-8"),
    ],
)
def test_a_wrong_file_is_refused_with_its_line(written, text, message):
    with pytest.raises(InputError, match=message):
        read_vectors(written(text))


def test_what_is_not_compressed_or_not_there_is_refused(written, tmp_path):
    with pytest.raises(InputError, match=r"not\.gz: can't be read: Not a gzipped file"):
        read_vectors(written(TEXT, "not.gz"))
    whole = gzip.compress("".join(f"word{n} {n}\n" for n in range(9999)).encode())
    with pytest.raises(InputError, match=r"cut\.gz: can't be read: Compressed file ended"):
        read_vectors(written(whole[:-12], "cut.gz"))
    with pytest.raises(InputError, match=r"none\.txt: can't be read: No such file"):
        read_vectors(tmp_path / "none.txt")
    with pytest.raises(InputError, match="can't be read: Is a directory"):
        read_vectors(tmp_path)


def test_the_public_vectors_are_20000_words_of_100_values(public_data):
    words, values = read_vectors(public_data / "glove.6B.100d.20k.txt.gz")
    assert values.shape == (20000, 100)
    assert {"empathy", "sad", "the", ","} <= set(words)
