"""Tests of data.normalization: what is replaced, what stays, and where each character came from."""

import time
from itertools import pairwise

import pytest
import regex
from hypothesis import given
from hypothesis import strategies as st

from data.cleaning import clean
from data.normalization import PLACEHOLDERS, normalize, read_text

FAMILY, FLAG = "👩\u200d👩\u200d👧\u200d👦", "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e007f"
KEYCAP = "1\ufe0f\u20e3"
PIECES = (
    *("a", "Z9", "é", "e\u0301", "_", "-", ".", ",", "!", "(", ")", "/", "&", "#", " ", "  "),
    *("@", "＠", "@ann", "@ann_b", "u/ann", "/u/ann-b", "RT", "me@a.bc", "me@", "a.b"),
    *("www.", "www.a.bc", "a.com", "t.co/x", "https://", "http://a.b/c", "ftp://a"),
    *("😢", FAMILY, FLAG, KEYCAP, "👍🏽", "🇩🇪", "❤\ufe0f", "ℹ\ufe0f", "\u200d", ":)", ":-(", "<3"),
    *("&amp;", "&lt;3", *PLACEHOLDERS),
)
raw_texts = st.lists(st.sampled_from(PIECES), max_size=15).map("".join)


def normalized(raw):
    return normalize(clean(raw)).text


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        ("see https://t.co/aB3?x=1#y, ok", "see <URL>, ok"),
        ("(HTTP://x.org/a)", "(<URL>)"),
        ("[it](https://en.wikipedia.org/wiki/Joy_(film))", "[it](<URL>)"),
        ("herehttps://t.co/x a.comhttps://t.co/y", "here<URL> <URL><URL>"),
        ("www.example.de/a. pic.twitter.com/q bit.ly/z youtu.be/k!", "<URL>. <URL> <URL> <URL>!"),
        (
            "example.com, and a.co.uk, e.g. sad.happy 9.5/10",
            "<URL>, and a.co.uk, e.g. sad.happy 9.5/10",
        ),
        ("https://x.y/?a=1&amp;b=2 &lt;3", "<URL> <3"),
        ("@Ann: .@bob's RT@cy (@dee) ＠eve", "<USER>: .<USER>'s RT<USER> (<USER>) <USER>"),
        ("@ann@mas.to @a@b", "<USER> <USER>"),
        ("u/ann and /u/bob_c-d; w/u/me, and/or u/2", "<USER> and <USER>; w/u/me, and/or u/2"),
        ("a @ b, 5@6, @ ann, @@", "a @ b, 5@6, @ ann, @@"),
        ("Ann.B+c@mail.example.org. mailto:x@y.zz", "<EMAIL>. mailto:<EMAIL>"),
        ("a.com@b.org", "<EMAIL>"),
        ("I'm SAD 😢!!", "I'm SAD 😢!!"),
        (f"{FAMILY} :-( <3 ¯\\_(ツ)_/¯", f"{FAMILY} :-( <3 ¯\\_(ツ)_/¯"),
        (f"@ann{FAMILY}https://t.co/x😢:)", f"<USER>{FAMILY}<URL>😢:)"),
        ("https://t.co/x:) @ann:( me@x.org;-)", "<URL>:) <USER>:( <EMAIL>;-)"),
        ("@ann1\ufe0f\u20e3 @1\ufe0f\u20e3", "<USER>1\ufe0f\u20e3 @1\ufe0f\u20e3"),
        ("", ""),
    ],
)
def test_normalised_text_by_hand(raw, text):
    assert normalized(raw) == text


def test_a_placeholder_stands_for_all_that_it_replaced():
    raw = " hi &amp;  @ann see https://x.y/?a&amp;b now"
    text = normalize(clean(raw))
    assert text.text == "hi & <USER> see <URL> now"
    assert text.raw_span(5, 11) == text.raw_span(7, 8) == (11, 15)
    first, last = text.raw_span(16, 21)
    assert raw[first:last] == "https://x.y/?a&amp;b"
    assert text.raw_span(0, len(text.text)) == (1, len(raw))


def test_texts_are_left_as_they_are_unless_they_are_to_be_normalised():
    assert read_text(" @ann  hi", normalized=False).text == "@ann hi"
    assert read_text(" @ann  hi", normalized=True).text == "<USER> hi"


@given(st.one_of(raw_texts, st.text()))
def test_normalising_again_changes_nothing(raw):
    text = normalize(clean(raw))
    assert normalize(text) is text


@given(raw_texts)
def test_no_sign_that_is_shown_as_one_is_cut(raw):
    """Half a family, a heart without its colour, or a flag of one letter would be left."""
    # Cleaned before, and without entities: the raw spans are then places in this text.
    text = clean(raw.replace("&", "+")).text
    edges = {match.start() for match in regex.finditer(r"\X", text)} | {len(text)}
    assert {edge for span in replaced(normalize(clean(text))) for edge in span} <= edges


@given(raw_texts)
def test_all_that_is_not_replaced_stays_with_its_place(raw):
    cleaned = clean(raw)
    text = normalize(cleaned)
    inside = {place for first, last in replaced(text) for place in range(first, last)}
    before, after = (
        [item for item in zip(t.starts, t.ends, t.text, strict=True) if item[0] not in inside]
        for t in (cleaned, text)
    )
    assert before == after
    assert list(text.starts) == sorted(text.starts)
    assert list(text.ends) == sorted(text.ends)


def replaced(text):
    """The raw spans that stand behind several characters: those of placeholders."""
    spans = list(zip(text.starts, text.ends, strict=True))
    return {span for span, after in pairwise(spans) if span == after}


@pytest.mark.parametrize(
    "part",
    [
        "a",
        "@a",
        "a.",
        "a-",
        "a@",
        "a@b.",
        "(a",
        "u/",
        "www.",
        "https://",
        "@1\ufe0f",
        "!)",
        "&amp;",
    ],
)
def test_the_time_grows_with_the_length_alone(part):
    """A pattern that tries a long run again from each of its places takes minutes."""
    raw = "https://x.y/" + part * (200_000 // len(part))
    begin = time.process_time()
    normalized(raw)
    assert time.process_time() - begin < 5
