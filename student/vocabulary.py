"""Vocabularies: the pieces that texts use, and a tokenizer.json without the others.

A piece is dropped when no text uses it and single characters can spell it. What is left cuts each
of those texts into the same pieces, because every choice of the tokenizer's algorithm was made
among more pieces and fell on one that stays. Any other text may be cut into more and shorter
pieces. It gets no unknown token that it had not before where every character of the vocabulary is
a piece of its own, as in those of BERT and RoBERTa.

Abdaoui et al. (2020, "Load What You Need") drop the rows of languages in this way.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from tokenizers import Tokenizer

from data.errors import InputError

# Texts whose pieces are Python objects at one time.
CHUNK = 1000
# A byte of a character that the vocabulary does not hold.
BYTE = re.compile(r"<0x[0-9A-F]{2}>")

About = dict[str, Any]


def used_pieces(tokenizer: Tokenizer, texts: Iterable[str]) -> set[int]:
    """Ids of the pieces into which whole texts are cut, special tokens included."""
    return {number for numbers in piece_ids(tokenizer, texts) for number in numbers}


def piece_ids(tokenizer: Tokenizer, texts: Iterable[str]) -> Iterator[list[int]]:
    """The ids of each whole text; the tokenizer itself is left as it is."""
    plain = Tokenizer.from_str(tokenizer.to_str())
    plain.no_truncation()
    plain.no_padding()
    waiting = iter(texts)
    while chunk := list(islice(waiting, CHUNK)):
        for found in plain.encode_batch(chunk):
            yield found.ids


def kept_pieces(about: About, used: set[int]) -> list[int]:
    """Ids of the pieces to keep, ascending: used ones, special ones, and what spells all others.

    about: a tokenizer.json. Raises InputError when its algorithm is none of those known here.
    """
    model = about["model"]
    kind = model["type"]
    if kind not in KEPT:
        raise InputError(
            f"--vocabulary: a tokenizer of kind {kind!r} can't be cut: "
            f"only {', '.join(sorted(KEPT))} can spell a word whose piece is gone"
        )
    special = {token["id"] for token in about["added_tokens"]} | set(_template_ids(about))
    return sorted(used | special | KEPT[kind](model, used | special))


def _of_word_piece(model: About, used: set[int]) -> set[int]:
    """The longest piece that fits is taken, from left to right."""
    vocabulary, prefix = model["vocab"], model["continuing_subword_prefix"]

    def characters(piece: str) -> tuple[str, ...]:
        """The pieces of one character that spell a piece."""
        if piece.startswith(prefix) and piece != prefix:
            return tuple(prefix + sign for sign in piece.removeprefix(prefix))
        return piece[0], *(prefix + sign for sign in piece[1:])

    kept = {vocabulary[model["unk_token"]]}
    for piece, number in vocabulary.items():
        spelled = characters(piece)
        if len(spelled) == 1 or any(sign not in vocabulary for sign in spelled):
            kept.add(number)
    return kept


def _of_byte_pairs(model: About, used: set[int]) -> set[int]:
    """Pairs are merged in a fixed order: a piece needs those that it is merged from."""
    if model["continuing_subword_prefix"] or model["end_of_word_suffix"]:
        raise InputError(
            "--vocabulary: a BPE tokenizer that marks the inside or the end of words can't be cut: "
            "its characters do not stand alone"
        )
    vocabulary = model["vocab"]
    parts: dict[str, list[str]] = {}
    for one, two in model["merges"]:
        parts.setdefault(one + two, []).extend((one, two))
    kept = _single(vocabulary.items())
    if model["unk_token"] is not None:
        kept.add(vocabulary[model["unk_token"]])
    names = {number: piece for piece, number in vocabulary.items()}
    waiting = [names[number] for number in used | kept if number in names]
    reached: set[str] = set()
    while waiting:
        piece = waiting.pop()
        if piece not in reached:
            reached.add(piece)
            waiting.extend(parts.get(piece, ()))
    return {vocabulary[piece] for piece in reached}


def _of_unigrams(model: About, used: set[int]) -> set[int]:
    """The pieces with the largest sum of scores are taken; an unknown character has 10 less than
    the lowest score of all, which must stay the same."""
    scores = [score for _, score in model["vocab"]]
    pieces = [piece for piece, _ in model["vocab"]]
    signs = set(pieces)
    kept = _single(zip(pieces, range(len(pieces)), strict=True)) | {scores.index(min(scores))}
    kept |= {number for number, piece in enumerate(pieces) if not set(piece) <= signs}
    return kept if model["unk_id"] is None else kept | {model["unk_id"]}


def _single(pieces: Iterable[tuple[str, int]]) -> set[int]:
    """Ids of the pieces that stand for one character or byte."""
    return {number for piece, number in pieces if len(piece) == 1 or BYTE.fullmatch(piece)}


# A tokenizer.json's model → the function that gives what it must keep beside the used pieces.
KEPT: dict[str, Callable[[About, set[int]], set[int]]] = {
    "WordPiece": _of_word_piece,
    "BPE": _of_byte_pairs,
    "Unigram": _of_unigrams,
}


def without_others(about: About, kept: Sequence[int]) -> About:
    """A tokenizer.json of the kept pieces alone, renumbered in their order."""
    new = {old: number for number, old in enumerate(kept)}
    model = dict(about["model"])
    if model["type"] == "Unigram":
        pieces = list(enumerate(model["vocab"]))
        model["vocab"] = [pair for number, pair in pieces if number in new]
        model["unk_id"] = new.get(model["unk_id"])
    else:
        model["vocab"] = _renumbered(model["vocab"], new)
    if model["type"] == "BPE":
        left = model["vocab"].keys()
        model["merges"] = [
            [one, two]
            for one, two in model["merges"]
            if one in left and two in left and one + two in left
        ]
    padding = about["padding"]
    return about | {
        "model": model,
        "added_tokens": [token | {"id": new[token["id"]]} for token in about["added_tokens"]],
        "post_processor": _renumbered_template(about["post_processor"], new),
        "padding": padding and padding | {"pad_id": new.get(padding["pad_id"], 0)},
    }


def _renumbered(vocabulary: Mapping[str, int], new: Mapping[int, int]) -> dict[str, int]:
    return {piece: new[old] for piece, old in vocabulary.items() if old in new}


def _processors(processor: About | None) -> list[About]:
    """A post-processor, or those of which it is a sequence."""
    if processor is None:
        return []
    if processor["type"] == "Sequence":
        return [part for inner in processor["processors"] for part in _processors(inner)]
    return [processor]


def _template_ids(about: About) -> Iterator[int]:
    """Ids that the post-processor puts around a text."""
    for processor in _processors(about["post_processor"]):
        for token in processor.get("special_tokens", {}).values():
            yield from token["ids"]
        for end in ("cls", "sep"):  # of BertProcessing and RobertaProcessing
            if end in processor:
                yield processor[end][1]


def _renumbered_template(processor: About | None, new: Mapping[int, int]) -> About | None:
    if processor is None:
        return None
    changed = dict(processor)
    if processor["type"] == "Sequence":
        changed["processors"] = [_renumbered_template(p, new) for p in processor["processors"]]
    if "special_tokens" in processor:
        changed["special_tokens"] = {
            name: token | {"ids": [new[old] for old in token["ids"]]}
            for name, token in processor["special_tokens"].items()
        }
    for end in ("cls", "sep"):
        if end in processor:
            changed[end] = [processor[end][0], new[processor[end][1]]]
    return changed
