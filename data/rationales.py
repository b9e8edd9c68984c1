"""Rationales: quoted parts ↔ character spans ↔ token labels of any tokenizer.

Letters: K = tokens of a text, M = tokens of another tokenizer of the same text.
A span is half-open, [start, end), in characters of the clean text.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Span = tuple[int, int]
MASK = "<RATIONALE>"


def find_spans(text: str, parts: Sequence[str]) -> tuple[list[Span], list[str]]:
    """The spans of quoted parts in a clean text, sorted and merged, and the parts not found.

    A part is looked for after the end of the one before it, then from the start of the text;
    exactly, then with case and white space set aside. Both sides must be cleaned already.
    """
    spans: list[Span] = []
    unmatched: list[str] = []
    after = 0
    for part in parts:
        span = _find(text, part, after) or _find(text, part, 0)
        if span is None:
            unmatched.append(part)
            continue
        spans.append(span)
        after = span[1]
    return merge(spans), unmatched


def _find(text: str, part: str, after: int) -> Span | None:
    start = text.find(part, after)
    if start >= 0:
        return start, start + len(part)
    letters, positions = _squeeze(text, after)
    wanted, _ = _squeeze(part, 0)
    found = letters.find(wanted) if wanted else -1
    if found < 0:
        return None
    return positions[found], positions[found + len(wanted) - 1] + 1


def _squeeze(text: str, after: int) -> tuple[str, list[int]]:
    """The letters of text[after:] without white space and case, and where each stood."""
    letters: list[str] = []
    positions: list[int] = []
    for position in range(after, len(text)):
        if not text[position].isspace():
            for letter in text[position].casefold():
                letters.append(letter)
                positions.append(position)
    return "".join(letters), positions


def merge(spans: Sequence[Span]) -> list[Span]:
    """Sorted spans, those that overlap made one."""
    merged: list[Span] = []
    for start, end in sorted(spans):
        if merged and start < merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def masked(text: str, spans: Sequence[Span]) -> str:
    """A text with MASK in place of each span, and of its words where they stand again.

    A part of a word that happens to spell a span is masked too: what is quoted stands nowhere.
    """
    hidden = text
    for start, end in sorted(spans, reverse=True):
        hidden = f"{hidden[:start]}{MASK}{hidden[end:]}"
    # The longest first: one that is part of another must not leave the rest of it.
    for words in sorted({text[start:end] for start, end in spans}, key=len, reverse=True):
        hidden = MASK.join(part.replace(words, MASK) for part in hidden.split(MASK))
    return hidden


def overlaps(
    first: npt.NDArray[np.integer], second: npt.NDArray[np.integer]
) -> npt.NDArray[np.integer]:
    """Shared characters of each pair of spans: (K, 2) and (M, 2) → (K, M)."""
    shared = np.minimum(first[:, None, 1], second[None, :, 1]) - np.maximum(
        first[:, None, 0], second[None, :, 0]
    )
    return np.maximum(shared, 0)


def token_labels(
    spans: Sequence[Span], offsets: npt.NDArray[np.integer]
) -> npt.NDArray[np.float32]:
    """(K,) 1 for tokens that share a character with a span, 0 for others, NaN for specials.

    `offsets` is (K, 2), the characters of each token; an empty one marks a special token. A span
    that runs past the last token keeps the tokens it has: it is clipped, never dropped.
    """
    labels = np.full(len(offsets), np.nan, dtype=np.float32)
    real = offsets[:, 1] > offsets[:, 0]
    labels[real] = 0.0
    if spans:
        shared = overlaps(offsets, np.asarray(spans, dtype=offsets.dtype)).sum(axis=1)
        labels[real & (shared > 0)] = 1.0
    return labels


def spans_of_tokens(chosen: npt.NDArray[np.bool_], offsets: npt.NDArray[np.integer]) -> list[Span]:
    """The spans of each run of chosen tokens: (K,) and (K, 2) → spans; specials end no run."""
    spans: list[Span] = []
    open_run = False
    for is_chosen, (start, end) in zip(chosen, offsets.tolist(), strict=True):
        if end <= start:
            continue
        if is_chosen and open_run:
            spans[-1] = (spans[-1][0], end)
        elif is_chosen:
            spans.append((start, end))
        open_run = bool(is_chosen)
    return spans


def project(
    values: npt.NDArray[np.floating],
    spans: npt.NDArray[np.integer],
    offsets: npt.NDArray[np.integer],
) -> npt.NDArray[np.float32]:
    """One tokenizer's token values on another's tokens: (M,), (M, 2), (K, 2) → (K,).

    Each token takes the mean of the values weighted by shared characters; NaN where none is
    shared (special tokens, and text that the first tokenizer cut off).
    """
    shared = overlaps(offsets, spans).astype(np.float64)
    total = shared.sum(axis=1)
    weighted = shared @ np.nan_to_num(values.astype(np.float64))
    with np.errstate(invalid="ignore"):
        return np.where(total > 0, weighted / total, np.nan).astype(np.float32)
