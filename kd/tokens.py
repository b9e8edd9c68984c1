"""Tokens of a run: its rows are tokenized once a tokenizer, for every model and stage."""

import hashlib
import json
from collections.abc import Sequence

from datasets import DatasetDict, concatenate_datasets
from transformers import PreTrainedTokenizerBase

from data.encoding import EncodedTable
from data.sources import SPLITS, Split
from data.tasks import TaskSpec
from data.token_files import map_tokens, write_tokens
from kd.atomic import new_folder
from kd.config import Config
from kd.hardware import by_main_process
from kd.run_folder import RunFolder, content_key


def encoded_rows(
    config: Config,
    run: RunFolder,
    table: DatasetDict,
    table_hash: str,
    tokenizer: PreTrainedTokenizerBase,
    specs: Sequence[TaskSpec],
) -> EncodedTable:
    """The rows of train, dev and test, in this order, with the targets of the given tasks.

    Every process of the run must call it: the main one writes what is missing, all wait for it.
    """
    rows = concatenate_datasets([table[split] for split in SPLITS])
    limit = config.data.max_tokens
    folder = run.tokens(content_key(table_hash, limit, tokenizer_hash(tokenizer)))

    def write() -> None:
        if not folder.is_dir():
            with new_folder(folder) as temporary:
                write_tokens(temporary, rows, tokenizer, config.specs, max_tokens=limit)

    by_main_process(write)
    return map_tokens(folder, rows, tokenizer, specs)


def by_split(encoded: EncodedTable, table: DatasetDict) -> dict[Split, EncodedTable]:
    """split → its part of `encoded_rows`, no array copied."""
    found, start = {}, 0
    for split in SPLITS:
        found[split] = encoded.between(start, start + len(table[split]))
        start += len(table[split])
    return found


def tokenizer_hash(tokenizer: PreTrainedTokenizerBase) -> str:
    """A hash of what makes the tokens, equal for a tokenizer and its copy in a model's folder."""
    about = json.loads(tokenizer.backend_tokenizer.to_str())  # type: ignore[attr-defined]
    # What the last call asked for, not what the tokenizer is.
    about |= {"truncation": None, "padding": None}
    text = json.dumps([about, tokenizer.pad_token_id], sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
