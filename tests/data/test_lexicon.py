"""Tests of data.lexicon: which words are taken, and what holds one of them whole."""

import gzip

import pytest

from data.errors import InputError
from data.lexicon import TOP, folded, top_words, whole_words


def test_the_words_rated_highest_are_taken_and_among_equals_the_earlier(write):
    path = write("rated.txt", '"calm",1.5\n"Pain",6\n"loss",5\n"grief",5\n"joy",-2\n')
    assert top_words(path, 2) == ("pain", "loss")
    assert top_words(path, 4) == ("pain", "loss", "grief", "calm")
    assert top_words(path) == ("pain", "loss", "grief", "calm", "joy")


def test_without_a_count_two_hundred_are_taken(write):
    path = write("rated.csv", "word,rating\n" + "".join(f"w{n},{n}\n" for n in range(300)))
    words = top_words(path)
    assert TOP == len(words) == 200
    assert (words[0], words[-1]) == ("w299", "w100")


def test_of_a_word_that_stands_twice_the_higher_rating_counts(write):
    path = write("rated.tsv", "can’t\t1\nsad\t2\nCAN'T\t3\nSad\t0\nso\t1\n")
    assert top_words(path) == ("can't", "sad", "so")


def test_a_list_without_ratings_is_taken_whole(write):
    assert top_words(write("words.txt", "\ufeffsad\n\nvery sad\nSAD\n")) == ("sad", "very sad")


def test_a_lexicon_may_be_compressed(tmp_path):
    (tmp_path / "words.tsv.gz").write_bytes(gzip.compress(b"word\trating\nsad\t2\nglad\t1\n"))
    assert top_words(tmp_path / "words.tsv.gz") == ("sad", "glad")


@pytest.mark.parametrize(
    ("content", "count", "message"),
    [
        ("a,1\nb,2\n", 3, "holds 2 words: give --top 2 or less"),
        ("a\nb\n", 1, "its words have no ratings to choose by: leave out --top"),
        ("", None, "holds no words: give word,rating rows"),
        ("word,rating\n", None, "holds no words"),
        ("a,1\nb\n", None, ":2: has 1 cells: give word,rating in every row"),
        ("a,1,2\n", None, ":1: has 3 cells"),
        ("a,1\nb,high\n", None, ":2: 'high' is no rating: give a number"),
        ("a,1\nb,nan\n", None, ":2: 'nan' is no rating"),
        ("a,1\n ,2\n", None, ":2: the word is empty"),
        ("word\trating\na\t1\n", None, ":1: holds a tab: name the file .tsv"),
        ('a,1\n"b,2\n', None, ":2: .*check the quotes"),
        (b"caf\xe9,1\n", None, ":1, byte 4: 0xe9 is not utf-8"),
    ],
)
def test_a_wrong_lexicon_is_refused_with_its_place(write, content, count, message):
    with pytest.raises(InputError, match=message):
        top_words(write("lexicon.txt", content), count)


@pytest.mark.parametrize(
    "text",
    [
        "Cancer",
        "#cancer_sucks",
        "my cancer's back",
        "_CANCER_",
        "pre-cancer",
        "breast\u00a0 Cancer.",
    ],
)
def test_a_whole_word_is_found_in_any_case_and_beside_any_sign(text):
    assert whole_words(["cancer"]).search(folded(text))


@pytest.mark.parametrize("text", ["cancerous", "#breastcancer", "cancer2", "can cer", "écancer"])
def test_a_part_of_a_word_is_not_found(text):
    assert not whole_words(["cancer"]).search(folded(text))


def test_words_may_hold_spaces_apostrophes_and_signs_of_patterns():
    words = whole_words(["breast cancer", "Can’t", "c++", "straße"])
    for text in ("Breast  CANCER", "I CAN'T", "c++!", "STRASSE"):
        assert words.search(folded(text)), text
    assert not words.search(folded("breastcancer, c+, ccc"))


def test_the_public_ratings_are_read(public_data):
    """Its words hold quotes in quotes, and an apostrophe both curly and straight."""
    words = top_words(public_data / "lexicon" / "empathy.txt")
    assert (len(words), words[:3], words[-1]) == (200, ("lukemia", "lakota", "healing"), "river")
    assert "cancer" in words
    assert "cancer" not in top_words(public_data / "lexicon" / "distress.txt")
