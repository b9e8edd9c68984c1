"""Score rationales as Sharma et al. (2020) did, for comparison with their numbers only."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from kd.metrics import Span, iou_f1_of_spans, token_f1_of_row, true_spans

# Shapes: width is 64 in the original; position 0 holds the first special token.


def legacy_labels(
    rationale: npt.NDArray[np.int64],
    lengths: npt.NDArray[np.int64],
    has_rationale: npt.NDArray[np.bool_],
) -> npt.NDArray[np.int64]:
    """Gold under the 2020 convention, (rows, width): a row without rationale is 1 at 1..length.

    rationale: (rows, width) 0/1. lengths: (rows,) tokens after position 0, final special included.
    has_rationale: (rows,) whether the file gives one; a row that has one, but lost it in alignment,
    stays all 0.
    """
    positions = np.arange(rationale.shape[1])
    is_token = (positions >= 1) & (positions <= lengths[:, None])
    return np.where(has_rationale[:, None], rationale, is_token).astype(np.int64)


def legacy_rationale_scores(
    gold: npt.NDArray[np.int64],
    predicted: npt.NDArray[np.int64],
    lengths: npt.NDArray[np.int64],
    batch_size: int | None = 32,
) -> dict[str, float | None]:
    """token_accuracy, token_f1 and iou_f1 as Sharma et al. (2020) report them, faults included.

    gold, predicted: (rows, width) 0/1, gold as legacy_labels gives it. lengths: (rows,) tokens
    after position 0, final special included, 1 to width - 1. batch_size: rows of a minibatch, in
    order; None takes all rows as one. All None without rows. Raises ValueError on other shapes or
    lengths. Where it differs from kd.metrics.rationale_scores:

    * position 0 is dropped, but the final special token is scored;
    * the stored length is that of the labels written as text ("1,1,1" for three), so 2n - 1, and
      n - 1 positions of padding are scored too, as far as width allows;
    * a span that touches the end of the scored part loses its last token, so that a perfect span
      of one token there scores 0;
    * a row where neither side marks a token scores 0;
    * the result is the unweighted mean, over minibatches, of the mean over a minibatch's rows.

    The IOU-F1 of their oracle (gold against itself) is 0.917, 0.856 and 0.972 for emotional
    reactions, interpretations and explorations. Those figures can't be recomputed from the text
    with this project: they count the rows whose whole rationale the 2020 script lost when it
    aligned text to tokens (256, 443 and 86 of 3,084), and that loss hangs on the decoding of the
    original roberta-base tokenizer, which offset-based alignment does not share. The mechanism is
    reproduced: an oracle scores 0 on a row whose rationale was lost, so 1 - 256/3084 = 0.917,
    1 - 443/3084 = 0.856 and 1 - 86/3084 = 0.972.
    """
    gold, predicted, lengths = np.asarray(gold), np.asarray(predicted), np.asarray(lengths)
    if gold.ndim != 2 or gold.shape != predicted.shape or lengths.shape != gold.shape[:1]:
        raise ValueError(
            f"legacy_rationale_scores: gold has shape {gold.shape!r}, predicted "
            f"{predicted.shape!r}, lengths {lengths.shape!r}: give (rows, width), the same, (rows,)"
        )
    wrong = lengths[(lengths < 1) | (lengths >= gold.shape[1])]
    if wrong.size:
        raise ValueError(
            f"legacy_rationale_scores: length {int(wrong[0])!r}: must be 1 to {gold.shape[1] - 1}"
        )
    if batch_size is not None and batch_size < 1:
        raise ValueError(f"legacy_rationale_scores: batch_size {batch_size!r}: must be 1 or more")
    names = ("token_accuracy", "token_f1", "iou_f1")
    if len(gold) == 0:
        return dict.fromkeys(names)
    scores = np.array([_row_scores(*row) for row in zip(gold, predicted, lengths, strict=True)])
    step = batch_size or len(scores)
    batch_means = [scores[start : start + step].mean(0) for start in range(0, len(scores), step)]
    return dict(zip(names, np.mean(batch_means, axis=0).tolist(), strict=True))


def _row_scores(
    gold: npt.NDArray[np.int64], predicted: npt.NDArray[np.int64], length: int
) -> tuple[float, float, float]:
    stored_length = 2 * int(length) - 1
    is_gold, is_predicted = gold[1:][:stored_length] == 1, predicted[1:][:stored_length] == 1
    return (
        float(np.mean(is_gold == is_predicted)),
        token_f1_of_row(is_gold, is_predicted, both_empty=0.0),
        iou_f1_of_spans(_legacy_spans(is_gold), _legacy_spans(is_predicted), both_empty=0.0),
    )


def _legacy_spans(mask: npt.NDArray[np.bool_]) -> list[Span]:
    last = len(mask) - 1
    return [(start, min(end, last)) for start, end in true_spans(mask)]
