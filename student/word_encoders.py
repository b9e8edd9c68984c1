"""Encoders on word vectors and their tokenizers, as their names say."""

import logging

import torch
from tokenizers import Regex, Tokenizer, normalizers
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Split
from transformers import PreTrainedConfig, PreTrainedTokenizerFast

from student.vector_files import PADDING, UNKNOWN, WordVectors, read_vectors
from student.word_names import RANDOM, NamedVectors
from student.word_vectors import WordVectorConfig, WordVectorModel

logger = logging.getLogger(__name__)

# Words, clitics cut off as in the Penn Treebank (do n't, it 's), and single signs.
TOKENS = r"\w+(?=n't\b)|n't\b|'(?:s|m|d|re|ve|ll)\b|\w+|[^\w\s]"


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
