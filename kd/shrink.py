"""Shrinking a finished run's student to a folder of its own, written whole or not at all."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset
from transformers import PreTrainedTokenizerBase

from data.cleaning import fault_of
from data.encoding import EncodedTable, encode_table
from data.errors import InputError
from data.normalization import read_text
from data.readers.texts import FORMS, RejectedRow, read_texts
from data.text_encoding import encode_texts
from kd.atomic import new_folder
from kd.environment import versions
from kd.export.build import check_target, hashes
from kd.export.certificate import CERTIFICATE, largest_distance
from kd.report.answers import FinishedRun, read_run
from kd.run_folder import content_key, model_files
from kd.shrink_report import card, check_agreement, compare_students
from student.encoders import layer_list, load_tokenizer
from student.inference import Logits, compute_logits
from student.model import StudentModel
from student.shrinking import feed_forward_of, keep_layers, keep_pieces, keep_units
from student.vocabulary import kept_pieces, piece_ids, used_pieces, without_others

TRAIN = "train"
# Train rows on which the units of the feed-forwards are watched: some 100,000 tokens.
WATCHED_ROWS = 2000
# Texts of the corpus on which the logits before and after a cut of the vocabulary are compared.
COMPARED_TEXTS = 500
# The same rows of the same matrix give the same logits.
EXACT = 1e-6


@dataclass(frozen=True)
class Cuts:
    """What a student is cut to; None leaves it whole.

    layers: numbers of encoder layers. units: of each layer's feed-forward. vocabulary: TRAIN or a
    table of texts, whose pieces stay.
    """

    layers: tuple[int, ...] | None = None
    units: int | None = None
    vocabulary: str | None = None


def shrink_run(
    run: Path, target: Path, cuts: Cuts, *, agreement: float | None = None
) -> dict[str, Any]:
    """Write a smaller copy of a finished run's student, with its certificate, which is returned.

    agreement: the least share of each task's dev labels that must stay the same; None: any.
    Raises InputError when the run is not finished, the target is a folder of something else, a
    cut can't be made, or less of the answers stays than that; the target stays as it was.
    """
    if cuts == Cuts():
        raise InputError("kd shrink: nothing to cut: give --layers, --ffn or --vocabulary")
    check_target(target, "cut")
    finished = read_run(run)
    source = finished.run.student
    model = StudentModel.from_pretrained(source).eval()
    tokenizer = load_tokenizer(str(source))
    rows = finished.run.load_splits()[0]
    small, cut = _without_layers_and_units(finished, model, tokenizer, rows[TRAIN], cuts)
    with new_folder(target.resolve()) as folder:
        tokenizer.save_pretrained(folder)
        if cuts.vocabulary is None:
            small.save_pretrained(folder)
        else:
            small, cut["vocabulary"] = _without_pieces(
                small, tokenizer, folder, cuts.vocabulary, rows[TRAIN]
            )
        longest = model.config.max_tokens
        dev, own = (
            encode_table(rows["dev"], reader, model.specs, max_tokens=longest)
            for reader in (tokenizer, load_tokenizer(str(folder)))
        )
        before = compute_logits(model, dev, progress="student on dev")
        after = compute_logits(small, own, progress="smaller student on dev")
        report = compare_students(model.specs, dev, before, own, after)
        check_agreement(report["tasks"], agreement)
        certificate: dict[str, Any] = {
            "name": finished.config.name,
            "student_hash": content_key(files=model_files(source)),
            "splits_hash": finished.profile["hash"],
            "dev_rows": len(dev),
            "cut": cut,
            "limits": {"agreement": agreement},
            "before": _size(model, source) | {"scores": report.pop("before")},
            "after": _size(small, folder) | report,
            "versions": versions(),
        }
        (folder / "README.md").write_text(card(finished, certificate), "utf-8")
        certificate["files"] = hashes(folder)
        text = json.dumps(certificate, indent=2, ensure_ascii=False, allow_nan=False)
        (folder / CERTIFICATE).write_text(text + "\n", "utf-8")
    return certificate


def _size(model: StudentModel, folder: Path) -> dict[str, int]:
    return {
        "parameters": sum(values.numel() for values in model.parameters()),
        "bytes": (folder / "model.safetensors").stat().st_size,
        "tokenizer_bytes": (folder / "tokenizer.json").stat().st_size,
    }


def _without_layers_and_units(
    finished: FinishedRun,
    model: StudentModel,
    tokenizer: PreTrainedTokenizerBase,
    train: Dataset,
    cuts: Cuts,
) -> tuple[StudentModel, dict[str, Any]]:
    """The student without what is cut off its layers, and what that was."""
    cut: dict[str, Any] = {}
    if cuts.layers is not None:
        cut["layers"] = {"kept": list(cuts.layers), "of": len(layer_list(model.encoder))}
        model = keep_layers(model, cuts.layers)
    if cuts.units is not None:
        there = getattr(model.config.encoder, feed_forward_of(model).units)
        random = np.random.default_rng(finished.config.seed)
        count = min(WATCHED_ROWS, len(train))
        chosen = np.sort(random.choice(len(train), count, replace=False))
        table = encode_table(
            train.select(chosen), tokenizer, model.specs, max_tokens=model.config.max_tokens
        )
        model = keep_units(model, cuts.units, table)
        cut["units"] = {"kept": cuts.units, "of": there, "watched_rows": count}
    return model, cut


def _without_pieces(
    model: StudentModel,
    tokenizer: PreTrainedTokenizerBase,
    folder: Path,
    corpus: str,
    train: Dataset,
) -> tuple[StudentModel, dict[str, Any]]:
    """The student without the pieces that a corpus never uses, and what that was.

    folder: holds the tokenizer, which is rewritten there, and gets the student. Raises InputError
    when the corpus can't be read, or the student would not answer its texts exactly as before.
    """
    pairs = list(_pairs(corpus, train, normalized=model.config.normalize))
    texts = [text for pair in pairs for text in pair if text]
    whole = tokenizer.backend_tokenizer  # type: ignore[attr-defined]
    about = json.loads(whole.to_str())
    kept = kept_pieces(about, used_pieces(whole, texts))
    written = json.dumps(without_others(about, kept), ensure_ascii=False)
    (folder / "tokenizer.json").write_text(written + "\n", "utf-8")
    small = keep_pieces(model, kept)
    small.save_pretrained(folder)
    short = load_tokenizer(str(folder))
    found = piece_ids(short.backend_tokenizer, texts)  # type: ignore[attr-defined]
    for old, numbers in zip(piece_ids(whole, texts), found, strict=True):
        if [kept[number] for number in numbers] != old:
            raise InputError(
                "--vocabulary: without the unused pieces the tokenizer cuts a text of the corpus "
                "otherwise: a tokenizer of this kind can't be cut; nothing was written"
            )
    sample = pairs[:: max(1, len(pairs) // COMPARED_TEXTS)]
    difference = _difference(_answers(model, tokenizer, sample), _answers(small, short, sample))
    if difference > EXACT:
        raise InputError(
            f"--vocabulary: without the unused pieces a logit of a text of the corpus is "
            f"{difference:.1e} off: an encoder of this kind can't be cut; nothing was written"
        )
    return small, {
        "kept": len(kept),
        "of": whole.get_vocab_size(),
        "corpus": corpus if corpus == TRAIN else Path(corpus).name,
        "texts": len(texts),
        "compared": len(sample),
        "largest_difference": difference,
    }


def _pairs(corpus: str, train: Dataset, *, normalized: bool) -> Iterator[tuple[str, str]]:
    """Texts and contexts, as the student reads them, of the train rows or of a table."""
    if corpus == TRAIN:
        yield from zip(train["text"], train["context"], strict=True)
        return
    path = Path(corpus)
    if path.suffix.lower() not in FORMS:
        known = ", ".join(FORMS)
        raise InputError(f"--vocabulary: {corpus!r}: give {TRAIN}, or a table ending in {known}")
    for row in read_texts(path, FORMS[path.suffix.lower()]):
        where = f"{path}, row {row.number}"
        if isinstance(row, RejectedRow):
            raise InputError(f"{where}: {row.reason}: mend it or leave it out")
        for text in (row.text, row.context):
            if fault := fault_of(text):
                raise InputError(f"{where}: the text {fault}: leave it out")
        read = [read_text(raw, normalized=normalized).text for raw in (row.text, row.context)]
        yield read[0], read[1]


def _answers(
    model: StudentModel, tokenizer: PreTrainedTokenizerBase, pairs: list[tuple[str, str]]
) -> Logits:
    texts, contexts = [text for text, _ in pairs], [context for _, context in pairs]
    table: EncodedTable = encode_texts(
        texts, contexts, tokenizer, max_tokens=model.config.max_tokens
    )
    return compute_logits(model, table)


def _difference(one: Logits, two: Logits) -> float:
    parts = [(one.labels, two.labels), (one.tokens, two.tokens)]
    return max(largest_distance(old[name], new[name]) for old, new in parts for name in old)
