"""Tests of the page's scripts against the Python they follow: cleaning, and tokens in their place.

Node runs each script once on a batch of strings.
"""

import json
import shutil
import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from data.cleaning import clean, fault_of
from kd.page.build import ASSETS, entities

ROOT = Path(__file__).resolve().parents[3]
READ = """
import { readFileSync } from "node:fs";
const { texts, ...given } = JSON.parse(readFileSync(0));
"""
WRITE = "process.stdout.write(JSON.stringify(texts.map(answer)));"
CLEAN = f"""
import {{ clean }} from "{(ASSETS / "cleaning.js").as_uri()}";{READ}
const answer = (text) => clean(text, given.entities);
{WRITE}
"""
FAULTS = f"""
import {{ faultOf }} from "{(ASSETS / "cleaning.js").as_uri()}";{READ}
const answer = faultOf;
{WRITE}
"""
TOKENS = f"""
import {{ tokenReader }} from "{(ASSETS / "tokens.js").as_uri()}";{READ}
const answer = tokenReader(JSON.parse(readFileSync(given.tokenizer)), given.limit);
{WRITE}
"""
HOSTILE = [
    *("&amp;", "&lt;", "&LT;", "&lt", "&amp;amp;#x200B;", "&#x200B;", "&#0;", "&#13;", "&#x80;"),
    *("&#159;", "&#160;", "&#xd800;", "&#1114112;", "&#9999999;", "&#xFFFE;", "&#xfdd0;", "&#;"),
    # Digits of another script are digits to Python's pattern, and no number to html.unescape.
    *("&#٣;", "&#65٣;", "&amp;#٣٤;", "&notit;", "&amp;notit;", "&ampamp;", "&NotEqualTilde;"),
    *("&constructor;", "&toString;", "constructor", "R&D", "&", "&&amp;", "&nbsp;", "&zwj;"),
    *("\x1c", "\x1f", "\x85", "\xa0", "\u200b", "\u200d", "\ufeff", "\u2060", "\u2028", "\u3000"),
    *(" ", "   ", "\n\r\n", "\t", "\0", "\x7f", "\xad", "\u202e", "\ufffd"),
    *("don't", "Sorry", "sorry", "antidisestablishmentarianism", "...", "<b>x</b>", "x" * 101),
    *("—", "é", "e\u0301", "Å", "ﬁ", "½", "ß", "İ", "Σ", "ΑΣ", "ΟΔΟΣ"),
    *("中文", "𠀀", "한국어", "שָׁלוֹם", "مرحبا"),
    *("👩\u200d👩\u200d👧", "🇩🇪", "👍🏽", "😀", "[SEP]", "[MASK]", "[mask]", "[PAD"),
]
# The tokenizers library knows an older Unicode than a browser: characters of both alone.
KNOWN = st.characters(codec="utf-8").filter(
    lambda sign: unicodedata.ucd_3_2_0.category(sign) not in ("Cn", "Co")
)


def texts_of(strategy, count):
    """That many strings, the same ones each time, the hand-made ones first."""
    found = list(HOSTILE)

    @settings(max_examples=count)
    @given(strategy)
    def collect(text):
        found.append(text)

    collect()
    return found


def mixed(letters):
    """Strings of hand-made pieces and any letters."""
    pieces = st.sampled_from(HOSTILE) | st.text(letters, max_size=4)
    return st.lists(pieces, max_size=9).map("".join)


def run(script, **given):
    """What a script answers to a batch of texts."""
    if shutil.which("node") is None:
        pytest.skip("no node: install it to test the page's scripts")
    done = subprocess.run(
        ["node", "--input-type=module", "--eval", script],
        input=json.dumps(given), capture_output=True, text=True, check=False, cwd=ROOT,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def code_points(text):
    """Position in UTF-16 units → in characters, for each unit, and for the end."""
    places = [number for number, sign in enumerate(text) for _ in range(1 + (ord(sign) > 0xFFFF))]
    return [*places, len(text)]


def cleaned_alike(raw, found):
    """Whether a script's clean text and its places in the raw one are Python's."""
    expected = clean(raw)
    if found["text"] != expected.text:
        return False
    places = code_points(raw)
    units = code_points(expected.text)[:-1]
    spans = list(zip(found["starts"], found["ends"], strict=True))
    return len(spans) == len(units) and all(
        (places[start], places[end]) == (expected.starts[sign], expected.ends[sign])
        for sign, (start, end) in zip(units, spans, strict=True)
    )


def test_the_scripts_cleaning_is_pythons():
    texts = texts_of(mixed(st.characters(codec="utf-8")), 400)
    # Every character of two bytes, and some of the others, one after the other.
    wide = range(0x10000, sys.maxunicode + 1, 997)
    texts.append("a".join(map(chr, (*range(0xD800), *range(0xE000, 0x10000), *wide))))
    found = run(CLEAN, texts=texts, entities=entities())
    assert [raw for raw, one in zip(texts, found, strict=True) if not cleaned_alike(raw, one)] == []


def test_the_script_refuses_what_python_refuses_in_the_same_words():
    lone = [*map(chr, range(0xD7FE, 0xE002)), "\udcff\ud800", "\ud800\udcff", "\udc80 \ud83d"]
    texts = ["", "fine", "\x01", "\0", "a\0b", "\ud83d\0", *(f"so {sign} sorry" for sign in lone)]
    for sign in ("x", "\U0001f600"):
        texts += [sign * 1_000_000, sign * 1_000_001]
    # In JSON two halves that meet are one character.
    texts = [json.loads(json.dumps(text)) for text in texts]
    expected = [fault_of(text) for text in texts]
    assert run(FAULTS, texts=texts) == expected
    assert len(set(expected)) == 5


def test_every_entity_and_number_is_read_as_python_reads_it():
    names = [f"x &amp;{name} y" for name in entities()]
    edges = [n + d for n in (0xD800, 0xE000, 0xFDD0, 0xFDF0, 0x110000) for d in (-1, 0)]
    edges += [plane * 0x10000 + low for plane in range(17) for low in (0xFFFD, 0xFFFE, 0xFFFF)]
    numbers = [form.format(n) for n in (*range(300), *edges) for form in ("&#{};", "&#x{:x};")]
    found = run(CLEAN, texts=names + numbers, entities=entities())
    assert [one["text"] for one in found] == [clean(raw).text for raw in names + numbers]


@pytest.fixture(scope="module", params=["minilm", "tiny_encoder"])
def tokenizer_file(request):
    """The tokenizer of a pretrained encoder, and one that spells nearly every word."""
    if not (ROOT / "node_modules").is_dir():
        pytest.skip("no node_modules: run bash scripts/build_page.sh to test the tokens")
    return request.getfixturevalue(request.param) / "tokenizer.json"


def test_the_scripts_tokens_and_their_places_are_the_tokenizers(tokenizer_file):
    limit = 12
    texts = [clean(raw).text for raw in texts_of(mixed(KNOWN), 300)]
    found = run(TOKENS, texts=texts, tokenizer=str(tokenizer_file), limit=limit)
    whole = Tokenizer.from_file(str(tokenizer_file))
    whole.no_padding()
    whole.no_truncation()
    cut = Tokenizer.from_file(str(tokenizer_file))
    cut.no_padding()
    cut.enable_truncation(limit)
    for text, one in zip(texts, found, strict=True):
        expected, places = cut.encode(text), code_points(text)
        spans = [(places[start], places[end]) for start, end in one["spans"]]
        assert (text, one["ids"], spans) == (text, expected.ids, expected.offsets)
        assert one["isCut"] == (len(whole.encode(text)) > limit)
    assert {one["isCut"] for one in found} == {False, True}
