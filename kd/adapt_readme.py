"""The README of an adapted encoder's folder."""

from collections.abc import Mapping
from typing import Any

CARD = """# Encoder adapted to unlabelled text

`{encoder}`, trained further to guess masked words of {files}: {train:,} texts, {steps:,} steps of \
{batch_size}, learning rate {learning_rate:g}, {mask:.0%} of the pieces hidden anew in each epoch, \
seed {seed}.

On {held_out:,} texts held out, whose masks are fixed:

| | loss a masked piece (nats) | perplexity |
| --- | ---: | ---: |
| before{fresh} | {before_loss:.3f} | {before_perplexity:,.1f} |
| after step {best_step:,} | {after_loss:.3f} | {after_perplexity:,.1f} |

The weights are those of the best of the evaluations, one an epoch, on these same texts.

To start from it: `teachers.encoder: FOLDER` or `student.encoder: FOLDER` in a config of kd, or \
`transformers.AutoModel.from_pretrained(FOLDER)`. `AutoModelForMaskedLM` has its head too.
"""


def adapted_readme(about: Mapping[str, Any]) -> str:
    """What the folder holds and how it came about; about: as training.json has it."""
    return CARD.format(
        encoder=about["encoder"],
        files=", ".join(f"`{name}`" for name in about["texts"]["files"]),
        train=about["texts"]["train"],
        held_out=about["texts"]["held_out"],
        steps=about["steps"],
        best_step=about["best_step"],
        fresh="" if about["has_own_head"] else ", with an untrained head",
        **{
            name: about["settings"][name]
            for name in ("batch_size", "learning_rate", "mask", "seed")
        },
        **{
            f"{when}_{measure}": about[when][measure]
            for when in ("before", "after")
            for measure in ("loss", "perplexity")
        },
    )
