"""Names of encoders on word vectors, KIND:FILE or KIND:random, and what they stand for."""

import logging
from pathlib import Path
from typing import NamedTuple, get_args

import torch
from tokenizers import Regex, Tokenizer, normalizers
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Split
from transformers import PreTrainedConfig, PreTrainedTokenizerFast

from data.errors import InputError
from student.vector_files import PADDING, UNKNOWN, WordVectors, read_vectors
from student.word_vectors import Kind, WordVectorConfig, WordVectorModel

logger = logging.getLogger(__name__)

KINDS: tuple[Kind, ...] = get_args(Kind)
RANDOM, FROZEN = "random", "frozen"
# Words, clitics cut off as in the Penn Treebank (do n't, it 's), and single signs.
TOKENS = r"\w+(?=n't\b)|n't\b|'(?:s|m|d|re|ve|ll)\b|\w+|[^\w\s]"


class NamedVectors(NamedTuple):
    """An encoder on word vectors, as its name says; file: None for random vectors."""

    kind: Kind
    file: Path | None
    rows: int | None
    is_frozen: bool


def named_vectors(name: str) -> NamedVectors | None:
    """What KIND:FILE[:ROWS][:frozen] or KIND:random[:frozen] stands for; None of another name.

    Raises InputError when the part after the kind is not one of these.
    """
    kind, colon, rest = name.partition(":")
    if kind not in KINDS or not colon:
        return None
    place, *options = rest.split(":")
    is_frozen = FROZEN in options[-1:]
    numbers = options[:-1] if is_frozen else options
    is_random = place == RANDOM
    if not place or len(numbers) > (not is_random) or not all(map(_is_count, numbers)):
        raise InputError(
            f"encoder {name!r}: give {kind}:FILE or {kind}:FILE:ROWS, ROWS the number of words "
            f"that are read, or {kind}:{RANDOM}; and :{FROZEN} behind it to keep the vectors as "
            f"they are"
        )
    return NamedVectors(
        kind=next(known for known in KINDS if known == kind),
        file=None if is_random else Path(place),
        rows=int(numbers[0]) if numbers else None,
        is_frozen=is_frozen,
    )


def _is_count(text: str) -> bool:
    return text.isascii() and text.isdigit() and int(text) > 0


def below(root: Path, name: str) -> str:
    """An encoder's name with its file of vectors below a folder, where one is there."""
    prefix, colon, rest = name.partition(":")
    if colon and prefix not in KINDS:  # of another kind, with a name in it
        return f"{prefix}:{below(root, rest)}"
    named = named_vectors(name)
    if named is None or named.file is None or not (root / named.file).is_file():
        return name
    kind, _, *options = name.split(":")
    return ":".join([kind, str(root / named.file), *options])


def _vectors(named: NamedVectors) -> WordVectors:
    assert named.file is not None
    return read_vectors(named.file, named.rows)


def word_config(named: NamedVectors, pieces: int | None) -> WordVectorConfig:
    """The configuration of an encoder; pieces: of the tokenizer that random vectors are for.

    Raises InputError as `read_vectors` does.
    """
    if pieces is not None:
        return WordVectorConfig(kind=named.kind, vocab_size=pieces, frozen=named.is_frozen)
    count, size = _vectors(named).values.shape
    return WordVectorConfig(
        kind=named.kind, vocab_size=count + 2, vector_size=size, frozen=named.is_frozen
    )


@torch.no_grad()
def new_word_encoder(named: NamedVectors, config: PreTrainedConfig) -> WordVectorModel:
    """An encoder with the vectors of its file, an unknown word's their mean, and new layers.

    Where the vectors are random a warning says so.
    """
    assert isinstance(config, WordVectorConfig)
    encoder = WordVectorModel(config)
    if named.file is None:
        logger.warning(
            "encoder %s:%s: its word vectors are random: it knows no word before it is trained; "
            "give %s:FILE for vectors that do",
            *(named.kind, RANDOM, named.kind),
        )
        return encoder
    values = torch.from_numpy(_vectors(named).values)
    encoder.words.weight[1] = values.mean(dim=0)
    encoder.words.weight[2:] = values
    return encoder


def new_word_tokenizer(named: NamedVectors) -> PreTrainedTokenizerFast:
    """The tokenizer of a file's words: lower case, whole words, nothing added around a text."""
    words = (PADDING, UNKNOWN, *_vectors(named).words)
    numbers = {word: number for number, word in enumerate(words)}
    tokenizer = Tokenizer(WordLevel(numbers, unk_token=UNKNOWN))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFC(), normalizers.Replace("’", "'"), normalizers.Lowercase()]
    )
    tokenizer.pre_tokenizer = Split(Regex(TOKENS), behavior="removed", invert=True)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token=PADDING, unk_token=UNKNOWN)
