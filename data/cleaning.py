"""Clean text: entities unescaped, white space folded, each character traceable to the raw."""

import html
import re
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from html.entities import html5

# An entity needs its semicolon: "R&D" and "&lt" in running text stay as they are. Text that was
# escaped twice ("&amp;#x200B;") is unescaped as far as it goes.
ENTITY = re.compile(r"&(?:amp;)*(#\d{1,7};|#[xX][0-9a-fA-F]{1,6};|[A-Za-z][A-Za-z0-9]{1,31};)")
AMPERSAND = re.compile(r"&(?:amp;)*(amp;)")
# Zero-width marks that separate words or nothing; the joiner inside an emoji (U+200D) is kept.
ZERO_WIDTH = "\u200b\ufeff\u2060"
SURROGATE = re.compile("[\ud800-\udfff]")
ESCAPED = {chr(0xDC00 + byte) for byte in range(0x80, 0x100)}
MOST_CHARACTERS = 1_000_000
UNCLEAN = re.compile(rf"&|[^\S ]|  |[{ZERO_WIDTH}]|\A | \Z")


@dataclass(frozen=True)
class CleanText:
    """A cleaned text and, for each of its characters, the raw characters it stands for.

    `starts[i]` and `ends[i]` are the half-open raw span of clean character i.
    """

    text: str
    starts: Sequence[int]
    ends: Sequence[int]

    def raw_span(self, start: int, end: int) -> tuple[int, int]:
        """The raw span of the clean span [start, end), which must not be empty."""
        return self.starts[start], self.ends[end - 1]


def clean(raw: str) -> CleanText:
    """Unescape entities, fold each run of white space to one space, strip both ends."""
    if not UNCLEAN.search(raw):
        return CleanText(raw, range(len(raw)), range(1, len(raw) + 1))
    characters: list[str] = []
    # Numbers of 4 bytes: a text of a million characters would be 70 MB of Python's own.
    starts, ends = array("I"), array("I")
    position = 0
    while position < len(raw):
        match = _entity(raw, position) if raw[position] == "&" else None
        replaced = html.unescape("&" + match.group(1)) if match else raw[position]
        after = match.end() if match else position + 1
        for character in replaced:
            if character.isspace() or character in ZERO_WIDTH:
                if characters and characters[-1] == " ":
                    ends[-1] = after
                    continue
                character = " "
            characters.append(character)
            starts.append(position)
            ends.append(after)
        position = after
    first = 1 if characters[:1] == [" "] else 0
    last = len(characters) - (1 if len(characters) > first and characters[-1] == " " else 0)
    return CleanText("".join(characters[first:last]), starts[first:last], ends[first:last])


def fault_of(raw: object) -> str | None:
    """What keeps a model from reading a text, as the end of "the text …"; None where nothing does.

    An empty text has no fault.
    """
    if not isinstance(raw, str):
        return f"is of type {type(raw).__name__}, not str"
    if len(raw) > MOST_CHARACTERS:
        return f"has more than {MOST_CHARACTERS:,} characters"
    if "\0" in raw:
        return "holds a NUL character"
    found = SURROGATE.search(raw)
    if found is None:
        return None
    # JSON can write half of an emoji (\ud83d); nothing that stores text can. The other kind is
    # what Python's surrogateescape makes of a byte, and the second half of a few emoji.
    half = "half a surrogate pair"
    return f"holds bytes that are not UTF-8, or {half}" if found[0] in ESCAPED else f"holds {half}"


def _entity(raw: str, position: int) -> re.Match[str] | None:
    """The entity at a position; html.unescape would also take a word that only begins like one."""
    match = ENTITY.match(raw, position)
    if match and match.group(1)[0] != "#" and match.group(1) not in html5:
        return AMPERSAND.match(raw, position)
    return match
