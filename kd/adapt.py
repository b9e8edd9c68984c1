"""Adaptation: an encoder goes on with masked words on unlabelled text, before it learns a task.

Liu et al. (2019, RoBERTa, section 4.1) draw new masks each time a text is seen; Hosseini and
Caragea (2021, section 6) train so on texts near the target domain.
"""

import json
import math
import shutil
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
from accelerate import Accelerator
from accelerate.utils import set_seed
from transformers import PreTrainedTokenizerBase

from data.encoding import EncodedTable
from data.errors import InputError
from data.masking import Masking, new_masking
from data.plan import make_plan
from kd.adapt_readme import adapted_readme
from kd.adapt_settings import Adaptation
from kd.atomic import new_folder
from kd.checkpoints import Checkpoints
from kd.config import CheckpointSettings
from kd.corpus import Texts, divide, read_corpus
from kd.hardware import by_main_process, new_accelerator
from kd.masked_loss import held_out_loss, masked_loss
from kd.run_folder import content_key, settings_key
from kd.run_log import RunLog
from kd.stages.teach import encoder_files
from kd.training import Recipe, Trained, train
from student.encoders import check_length, load_tokenizer
from student.masked_words import MaskedWordModel, load_masked_word_model

ABOUT = "training.json"


def adapt(
    encoder: str,
    paths: Sequence[Path],
    target: Path,
    settings: Adaptation,
    *,
    column: str | None = None,
    reader: str | None = None,
    say: Callable[[str], None],
) -> dict[str, Any] | None:
    """Train an encoder on the texts of some files and write it, with its head, to a folder.

    What it came to, as training.json in the folder says it; None where the folder has it already.
    A training that was stopped goes on where it was; until it is finished its state and log lie
    beside the folder, in FOLDER.unfinished. `say` is told what is known before the training.
    Raises InputError when the texts or the encoder can't be used, and when the folder holds
    anything else; Stopped on SIGTERM or SIGINT.
    """
    check_length(encoder, settings.max_tokens, "--max-tokens")
    for path in paths:
        if not path.is_file():
            raise InputError(f"{path}: no such file: check the path")
    key = content_key(
        encoder, column, reader, settings_key(settings), files=[*paths, *encoder_files(encoder)]
    )
    work = target.with_name(f"{target.name}.unfinished")
    if target.exists():
        if _key_of(target) != key:
            raise InputError(
                f"{target}: is there already, made from another encoder, other texts or settings, "
                f"or by hand: give another --to, or delete it"
            )
        by_main_process(lambda: shutil.rmtree(work, ignore_errors=True))
        return None
    tokenizer = load_tokenizer(encoder)
    try:
        masking = new_masking(tokenizer, share=settings.mask, seed=settings.seed)
    except ValueError as error:
        raise InputError(f"encoder {encoder!r}: {error}: give a masked language model") from None
    texts = read_corpus(paths, column, reader)
    rows, held_out = divide(
        texts.texts, tokenizer, masking, max_tokens=settings.max_tokens, seed=settings.seed
    )
    accelerator = new_accelerator(settings.precision)
    set_seed(settings.seed)
    model, has_head = load_masked_word_model(encoder)
    try:
        by_main_process(lambda: work.mkdir(parents=True, exist_ok=True))
    except OSError as error:
        raise InputError(f"--to: {work} can't be made: {error.strerror}: give another") from None
    say(_in_words(texts, rows, held_out, has_head=has_head))
    before = held_out_loss(model.to(accelerator.device), held_out, masking, accelerator)
    trained = _trained(model, rows, held_out, masking, settings, accelerator, work=work, key=key)
    about = {
        "key": key,
        "encoder": Path(encoder).name if Path(encoder).is_dir() else encoder,
        "has_own_head": has_head,
        "texts": {"files": [p.name for p in paths], "train": len(rows), "held_out": len(held_out)},
        "settings": settings.model_dump(),
        "before": _measures(before),
        "after": _measures(-trained.best_score),
    } | json.loads(trained.as_json())
    if accelerator.is_main_process:
        _write(target, model, tokenizer, trained, about, work)
    accelerator.wait_for_everyone()
    return about


def _trained(
    model: MaskedWordModel,
    rows: EncodedTable,
    held_out: EncodedTable,
    masking: Masking,
    settings: Adaptation,
    accelerator: Accelerator,
    *,
    work: Path,
    key: str,
) -> Trained:
    plan = make_plan(
        np.ones((len(rows), 1), dtype=bool),
        batch_size=settings.batch_size,
        epochs=settings.epochs,
        max_steps=settings.max_steps,
        seed=settings.seed,
    )
    evaluations = max(1, round(plan.steps * settings.batch_size / len(rows)))
    recipe = Recipe(
        learning_rate=settings.learning_rate,
        layer_decay=1.0,
        weight_decay=0.01,
        warmup=0.1,
        clip=1.0,
        accumulation=1,
        evaluations=evaluations,
        patience=evaluations,
    )
    every = CheckpointSettings().every
    log = RunLog(work / "logs", "adapt", accelerator)
    with closing(log):
        return train(
            model,
            rows,
            plan,
            masked_loss(rows, masking, accelerator),
            lambda trained: -held_out_loss(trained, held_out, masking, accelerator),
            recipe,
            accelerator,
            checkpoints=Checkpoints(work / "checkpoints", key, every),
            log=log,
            title="adapt",
        )


def _write(
    target: Path,
    model: MaskedWordModel,
    tokenizer: PreTrainedTokenizerBase,
    trained: Trained,
    about: dict[str, Any],
    work: Path,
) -> None:
    with new_folder(target) as temporary:
        model.save(temporary, trained.weights)
        tokenizer.save_pretrained(temporary)
        (temporary / ABOUT).write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
        (temporary / "README.md").write_text(adapted_readme(about), encoding="utf-8")
        shutil.copytree(work / "logs", temporary / "logs")
    shutil.rmtree(work)


def _key_of(folder: Path) -> str | None:
    try:
        found = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found.get("key") if isinstance(found, dict) else None


def _measures(loss: float) -> dict[str, float]:
    """Loss in nats and perplexity, its exponential."""
    return {"loss": loss, "perplexity": math.exp(loss)}


def _in_words(texts: Texts, rows: EncodedTable, held_out: EncodedTable, *, has_head: bool) -> str:
    left_out = {
        "rejected": texts.rejected,
        "empty": texts.empty,
        "repeated": texts.repeated,
        "without a piece": len(texts.texts) - len(rows) - len(held_out),
    }
    told = [f"{count:,} {reason}" for reason, count in left_out.items() if count]
    lines = [f"texts: {len(rows):,} to train on, {len(held_out):,} held out"]
    if told:
        lines.append(f"left out: {', '.join(told)}")
    if texts.first_rejected is not None:
        lines.append(f"first rejected: {texts.first_rejected}")
    if not has_head:
        lines.append("the encoder has no language-model head: it gets a fresh one")
    return "\n".join(lines)
