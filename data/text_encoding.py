"""Texts alone as a model's tokenizer sees them: no table, no targets, and of any length."""

from collections.abc import Sequence

from transformers import PreTrainedTokenizerBase

from data.encoding import EncodedTable, encoded_pairs
from data.ragged import Ragged

# Characters a token, above which tokens are first sought in the beginning of a text.
LONG = 64


def encode_texts(
    texts: Sequence[str],
    contexts: Sequence[str],
    tokenizer: PreTrainedTokenizerBase,
    *,
    max_tokens: int,
) -> EncodedTable:
    """Clean texts, each with its context or an empty one, as a table without targets.

    Ids are the rows' numbers. The tokens are those of `data.encoding.encode_table`, but what is
    cut off costs little: a tokenizer takes some hundred bytes for each character of that, too.
    """
    arrays = encoded_pairs(
        [_read_part(text, tokenizer, max_tokens) for text in texts],
        [_read_part(context, tokenizer, max_tokens) for context in contexts],
        tokenizer,
        max_tokens=max_tokens,
    )
    return EncodedTable(
        ids=tuple(map(str, range(len(texts)))),
        texts=Ragged.from_lengths(arrays["text_ids"], arrays["text_lengths"]),
        offsets=arrays["offsets"],
        contexts=Ragged.from_lengths(arrays["context_ids"], arrays["context_lengths"]),
        pad_id=int(tokenizer.pad_token_id or 0),
        gold={},
        gold_tokens={},
    )


def _read_part(text: str, tokenizer: PreTrainedTokenizerBase, max_tokens: int) -> str:
    """A beginning of a long text that has all the tokens that are read, else the whole text."""
    if len(text) <= LONG * max_tokens or tokenizer.truncation_side != "right":
        return text
    # Tokens do not reach across a space, so those before it are the ones of the whole text.
    beginning = text[: max(0, text.rfind(" ", 0, LONG * max_tokens))]
    found = encoded_pairs([beginning], [""], tokenizer, max_tokens=max_tokens)
    return beginning if found["text_lengths"][0] == max_tokens else text
