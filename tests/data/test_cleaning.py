"""Tests of data.cleaning: what clean text looks like, and where each character came from."""

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from data.cleaning import clean

PIECES = (
    *("a", "B", "é", "ß", "👩\u200d👧", "R&D", "&", "|", '"'),
    *(" ", "  ", "\n", "\t", "\u00a0", "\u2003", "\u200b", "\ufeff", "\u2060"),
    *("&amp;", "&lt;", "&amp;gt;", "&amp;amp;#39;", "&#x1F600;", "&nbsp;", "&amp;#x200B;", "&#1;"),
)
raw_texts = st.lists(st.sampled_from(PIECES), max_size=20).map("".join)


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        ("Tom &amp; Ann", "Tom & Ann"),
        ("&lt;3 &gt; &quot;no&quot;", '<3 > "no"'),
        ("I&#39;m &#x27;ok&#X27;", "I'm 'ok'"),
        ("twice: &amp;gt; thrice: &amp;amp;gt;", "twice: > thrice: >"),
        ("one\r\n\r\ntwo\tthree\u00a0four", "one two three four"),
        ("  \n both ends \u200b ", "both ends"),
        ("a&nbsp;&nbsp; b", "a b"),
        ("&amp;#x200B;\n\nHello", "Hello"),
        ("R&D, AT&T, &lt without its end", "R&D, AT&T, &lt without its end"),
        ("&nosuch; stays", "&nosuch; stays"),
        ("\ufeffmark", "mark"),
        ("👩\u200d👧 is one sign", "👩\u200d👧 is one sign"),
        ("", ""),
        (" \n&nbsp; ", ""),
    ],
)
def test_clean_text_by_hand(raw, text):
    assert clean(raw).text == text


@pytest.mark.parametrize("raw", ["black&copycat;", "rock&notroll;", "Q&Ampersand;", "a &ltlt; b"])
def test_a_word_that_only_begins_like_an_entity_stays_as_it_is(raw):
    """html.unescape replaces the beginning: '&copycat;' would read '©cat;'."""
    cleaned = clean(raw)
    assert cleaned.text == raw
    assert list(cleaned.starts) == list(range(len(raw)))


def test_the_raw_span_of_a_character_is_its_whole_entity():
    cleaned = clean("I &lt;3  it")
    assert cleaned.text == "I <3 it"
    assert cleaned.raw_span(2, 3) == (2, 6)
    assert cleaned.raw_span(0, 4) == (0, 7)
    assert cleaned.raw_span(4, 5) == (7, 9)
    assert cleaned.raw_span(5, 7) == (9, 11)


@given(raw_texts)
def test_clean_text_has_only_single_spaces_between_words(raw):
    text = clean(raw).text
    assert text == " ".join(text.split())
    assert not set(text) & set("\u200b\ufeff\u2060\n\t\u00a0")


@given(raw_texts)
def test_the_spans_of_the_characters_are_in_order_and_do_not_overlap(raw):
    cleaned = clean(raw)
    assert len(cleaned.starts) == len(cleaned.ends) == len(cleaned.text)
    edges = [edge for span in zip(cleaned.starts, cleaned.ends, strict=True) for edge in span]
    assert edges == sorted(edges)
    assert all(s < e for s, e in zip(cleaned.starts, cleaned.ends, strict=True))
    assert not edges or (edges[0] >= 0 and edges[-1] <= len(raw))


@given(raw_texts, st.data())
def test_cleaning_the_raw_span_of_a_part_gives_the_part(raw, data):
    """A span shown in the raw text would otherwise lose or gain letters at its ends."""
    cleaned = clean(raw)
    if not cleaned.text:
        return
    start = data.draw(st.integers(0, len(cleaned.text) - 1))
    end = data.draw(st.integers(start + 1, len(cleaned.text)))
    first, last = cleaned.raw_span(start, end)
    assert clean(raw[first:last]).text == cleaned.text[start:end].strip(" ")


@given(raw_texts)
def test_everything_outside_the_raw_span_of_the_whole_text_is_blank(raw):
    cleaned = clean(raw)
    if not cleaned.text:
        return
    first, last = cleaned.raw_span(0, len(cleaned.text))
    assert clean(raw[:first]).text == clean(raw[last:]).text == ""


@given(st.text())
def test_cleaning_clean_text_without_ampersands_changes_nothing(raw):
    text = clean(raw.replace("&", "+")).text
    again = clean(text)
    assert again.text == text
    assert list(again.starts) == list(range(len(text)))
    assert list(again.ends) == list(range(1, len(text) + 1))


@given(st.one_of(raw_texts, st.text("ab "), st.text()))
@example("a  b")
def test_a_text_is_left_as_it_is_where_nothing_is_to_be_cleaned_and_there_alone(raw):
    """The short way for clean texts must come to what the long one comes to."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("data.cleaning.UNCLEAN", re.compile(""))
        long_way = clean(raw)
    short_way = clean(raw)
    assert short_way.text == long_way.text
    assert list(short_way.starts) == list(long_way.starts)
    assert list(short_way.ends) == list(long_way.ends)
