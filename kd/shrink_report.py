"""What is said of a smaller student: its certificate's comparison with the whole one, its card.

Letters: T = tokens of all texts together, in the whole student's tokenizer.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from data.encoding import EncodedTable, Floats
from data.errors import InputError
from data.rationales import project
from data.tasks import TaskSpec
from kd.evaluation import score
from kd.export.certificate import compare, first_short, largest_difference
from kd.report.answers import FinishedRun
from kd.report.card import model_card
from kd.report.measures import NAMES, RATIONALE
from kd.report.section import Table
from kd.report.wording import listed, number, plain, share
from student.inference import RATIONALE_THRESHOLD, Logits

COLUMNS = ("task", "measure", "whole", "smaller", "same answers", "same tokens")


def compare_students(
    specs: Sequence[TaskSpec],
    dev: EncodedTable,
    before: Logits,
    own: EncodedTable,
    after: Logits,
) -> dict[str, Any]:
    """The scores of the whole student, and the smaller one's differences and scores.

    dev, own: the same rows as each of them reads them.
    """
    same = _on_tokens_of(dev, before, own, after)
    tasks = {
        spec.name: compare(spec, dev, before, same) | {"scores": score(spec, own, after)}
        for spec in specs
    }
    return {
        "before": {spec.name: score(spec, dev, before) for spec in specs},
        "largest_difference": largest_difference(tasks),
        "tasks": tasks,
    }


def _on_tokens_of(dev: EncodedTable, before: Logits, own: EncodedTable, after: Logits) -> Logits:
    """Answers whose rationale log-odds stand at the tokens (T,) of another tokenizer.

    A token that is no longer read, as its text has more pieces than before, is not quoted.
    """
    tokens: dict[str, Floats] = {}
    for name, values in after.tokens.items():
        found = np.minimum(before.tokens[name], RATIONALE_THRESHOLD)
        for row in range(len(dev)):
            part, own_part = dev.part(row), own.part(row)
            moved = project(values[own_part], own.offsets[own_part], dev.offsets[part])
            found[part] = np.where(np.isfinite(moved), moved, found[part])
        tokens[name] = found
    return Logits(after.labels, tokens)


def check_agreement(tasks: Mapping[str, Any], agreement: float | None) -> None:
    """Raise InputError naming the first task of which less than that share is answered alike."""
    short = None if agreement is None else first_short(tasks, agreement)
    if short is not None:
        raise InputError(
            f"kd shrink: the smaller student gives {short}, --agreement asks for {agreement:.1%}: "
            f"cut less; nothing was written"
        )


def card(finished: FinishedRun, certificate: Mapping[str, Any]) -> str:
    """The model card of the smaller student: the whole one's, with what the cut did to it."""
    sizes = [f"{certificate[side]['bytes'] / 1e6:.1f} MB" for side in ("before", "after")]
    note = (
        f"This is the run's student cut, without training, to "
        f"{listed(cuts_in_words(certificate['cut']))}: {sizes[0]} became {sizes[1]}. What the "
        f"run's report says of the student is said of the whole one. CERTIFICATE.json has more."
    )
    table = Table(
        f"Scores on the dev rows ({certificate['dev_rows']:,}), and the shares of labels and of "
        f"rationale tokens that are the whole student's",
        COLUMNS,
        list(table_rows(finished.config.specs, certificate)),
    )
    parameters = certificate["after"]["parameters"]
    return model_card(finished, (), table, parameters, note=note)


def cuts_in_words(cut: Mapping[str, Any]) -> list[str]:
    """Each cut of a certificate as "3 of 6 layers"."""
    words = []
    for name, kind in (("layers", "layers"), ("units", "feed-forward units a layer")):
        if name in cut:
            kept = cut[name]["kept"]
            size = f"{len(kept)} ({', '.join(map(str, kept))})" if name == "layers" else f"{kept:,}"
            words.append(f"{size} of {cut[name]['of']:,} {kind}")
    if "vocabulary" in cut:
        found = cut["vocabulary"]
        words.append(f"{found['kept']:,} of {found['of']:,} pieces of the vocabulary")
    return words


def table_rows(specs: Sequence[TaskSpec], certificate: Mapping[str, Any]) -> Iterator[list[str]]:
    """The cells of COLUMNS, a measure of a task each."""
    for spec in specs:
        found = certificate["after"]["tasks"][spec.name]
        pair = certificate["before"]["scores"][spec.name], found["scores"]
        main = spec.selection_metric
        agreement = share(found["label_agreement"])
        scores = [number(scores[main]) for scores in pair]
        yield [plain(spec.name), NAMES[main], *scores, agreement, ""]
        if spec.has_rationale:
            levels = [scores["rationale"]["level>0"]["model"]["token_f1"] for scores in pair]
            tokens = share(found["rationale"]["token_agreement"])
            yield ["", NAMES[RATIONALE], *map(number, levels), "", tokens]
