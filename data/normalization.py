"""Normalised text: addresses and user names replaced, each character traceable to the raw."""

import re
import unicodedata
from array import array
from collections.abc import Iterator

from data.cleaning import CleanText, clean

LABEL = r"[^\W_](?:[\w-]*[^\W_])?"  # what stands between the dots of a host
DOTTED = rf"{LABEL}(?:\.{LABEL})*"
EMAIL = rf"(?<![\w.+-])[\w.+-]++@{LABEL}\.{DOTTED}"
PROTOCOL = r"(?:https?|ftp)://"  # also right behind a word, as in many tweets
SCHEME = rf"(?:{PROTOCOL}|(?<![\w.@-])www\.)(?=[^\W_])"
# A host without either is one where its ending is plain, or the shortener is known.
HOST = (
    rf"(?<![\w.@-])(?:(?:{LABEL}\.)+(?:com|net|org|edu|gov)(?:(?![\w-])|(?={PROTOCOL}))"
    r"|(?:t\.co|bit\.ly|goo\.gl|ow\.ly|is\.gd|fb\.me|wp\.me|redd\.it|youtu\.be)(?=/))"
)
SIGN = r"[\w%/?#&=+$@!*',;:.~|\\-]"
# A bracket belongs to an address where its partner does: Joy_(film).
PATH = rf"(?:{SIGN}|\({SIGN}*+\))*"
URL = rf"(?:{SCHEME}{PATH}|{HOST}(?:[/?#:.]{PATH})?)(?<![,;:.!?'*~|@\\])"
# @name, @name@host and, as Reddit writes it, u/name; not the part of a word behind an @.
USER = (
    rf"(?:(?<![\w@＠])|(?<=\bRT))[@＠]\w+(?:[@＠]{DOTTED})*"
    r"|(?<![\w/])/?u/[\w-]{3,20}(?![\w-])"
)
PLACEHOLDERS = ("<URL>", "<USER>", "<EMAIL>")
# What follows a placeholder stays, or normalising again could find more there.
BEHIND_NONE = "".join(f"(?<!{placeholder})" for placeholder in PLACEHOLDERS)
REPLACED = re.compile(
    rf"{BEHIND_NONE}(?:(?P<EMAIL>{EMAIL})|(?P<URL>{URL})|(?P<USER>{USER}))", re.IGNORECASE
)


def normalize(cleaned: CleanText) -> CleanText:
    """A clean text with <URL>, <USER> and <EMAIL> in place of addresses and user names.

    Each character of a placeholder stands for all raw characters that it replaces. Everything
    else stays, emoji and emoticons whole: no sign that is shown as one is cut. Normalising again
    changes nothing. (Hosseini and Caragea 2021, section 3: links and user names.)
    """
    pieces: list[str] = []
    starts, ends = array("I"), array("I")
    position = 0
    for match in _found(cleaned.text):
        first, last = cleaned.raw_span(*match.span())
        placeholder = f"<{match.lastgroup}>"
        pieces += (cleaned.text[position : match.start()], placeholder)
        starts.extend(cleaned.starts[position : match.start()])
        ends.extend(cleaned.ends[position : match.start()])
        starts.extend([first] * len(placeholder))
        ends.extend([last] * len(placeholder))
        position = match.end()
    if not pieces:
        return cleaned
    starts.extend(cleaned.starts[position:])
    ends.extend(cleaned.ends[position:])
    return CleanText("".join((*pieces, cleaned.text[position:])), starts, ends)


def read_text(raw: str, *, normalized: bool) -> CleanText:
    """A raw text as a model reads it: clean, and normalised where it was trained on such texts."""
    return normalize(clean(raw)) if normalized else clean(raw)


def _found(text: str) -> Iterator[re.Match[str]]:
    position = 0
    while match := REPLACED.search(text, position):
        position = match.end()
        found: re.Match[str] | None = match
        # "@ann1" and the two marks that make the 1 a keycap: the name is "@ann".
        while found and found.end() < len(text) and _extends(text[found.end()]):
            found = REPLACED.match(text, found.start(), found.end() - 1)
        if found:
            position = found.end()
            yield found


def _extends(character: str) -> bool:
    """Whether a character is shown as one with that before it (Unicode's annex 29, Extend)."""
    return (
        unicodedata.category(character).startswith("M")
        or character in "\u200c\u200d"
        or "\U0001f3fb" <= character <= "\U0001f3ff"  # tones of skin
        or "\U000e0020" <= character <= "\U000e007f"  # the letters in some flags
    )
