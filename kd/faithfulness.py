"""Faithfulness: whether a model's answers rest on the tokens that it quotes.

Comprehensiveness and sufficiency of DeYoung et al. (2020, "ERASER", section 4.2). With j the class
predicted on the text x, and r the tokens that the model itself quotes:

    comprehensiveness = p(j | x) - p(j | x without r)    high where the answer needs r
    sufficiency       = p(j | x) - p(j | r alone)        near 0, or below, where r is enough

Tokens that are erased are taken out, so the others move together; special tokens and the context
stay. Beside them stands a control: as many tokens, one run at a random place of the text.

Letters: N = rows, T = tokens of all texts together.
"""

import numpy as np
import numpy.typing as npt
from accelerate import Accelerator
from datasets import DatasetDict

from data.encoding import EncodedTable
from data.ragged import Ragged, RowNumbers
from data.tasks import TaskSpec
from kd.config import Config
from kd.evaluation import known_rows
from kd.gathering import gather_logits
from kd.metrics import Scores
from kd.run_folder import RunFolder
from kd.tokens import by_split, encoded_rows
from student.encoders import load_tokenizer
from student.inference import RATIONALE_THRESHOLD, Logits, inference_batches
from student.model import StudentModel
from teachers.soft_targets import probabilities

FAITHFULNESS_ROWS = 2000
# What stands further right may change with the rows that are read together.
DIGITS = 4


def faithfulness_by_model(
    config: Config,
    run: RunFolder,
    table: DatasetDict,
    table_hash: str,
    student: StudentModel,
    encoded: EncodedTable,
    answers: Logits,
    accelerator: Accelerator,
    *,
    with_teachers: bool,
    batch_rows: int | None,
) -> dict[str, dict[str, Scores]]:
    """task → model → `faithfulness` on test, of every classification with rationales.

    encoded, answers: the test rows as the student reads them, and what it says of them. The
    teachers that were trained here and read run again; one alone is called teacher, several have
    their names. Regressions with rationales are left out: they have no probability of a class. All
    processes must call it.
    """
    found: dict[str, dict[str, Scores]] = {}
    for spec in config.specs:
        if spec.kind != "classification" or not spec.has_rationale:
            continue
        rows = drawn_rows(encoded, spec, config.seed)
        found[spec.name] = {
            "student": faithfulness(
                student, encoded, spec, answers, rows, accelerator,
                seed=config.seed, batch_rows=batch_rows,
            )
        }  # fmt: skip
        names = list(config.teachers.reading(spec.name)) if with_teachers else []
        are_several = len(config.teachers.of(spec.name)) > 1
        for name in names:
            tokenizer = load_tokenizer(str(run.teacher(name)))
            read = encoded_rows(config, run, table, table_hash, tokenizer, [spec])
            read = by_split(read, table)["test"]
            teacher = StudentModel.from_pretrained(run.teacher(name)).to(accelerator.device)
            batches = inference_batches(read, rows, batch_rows=batch_rows)
            said = gather_logits(
                teacher, read, accelerator, batches=batches, progress=f"{name} on test"
            )
            found[spec.name][name if are_several else "teacher"] = faithfulness(
                teacher, read, spec, said, rows, accelerator,
                seed=config.seed, batch_rows=batch_rows,
            )  # fmt: skip
    return found


def drawn_rows(table: EncodedTable, spec: TaskSpec, seed: int) -> RowNumbers:
    """The rows with gold of a task, of more than FAITHFULNESS_ROWS so many drawn by the seed."""
    rows = known_rows(table.gold[spec.name])
    return np.sort(np.random.default_rng(seed).permutation(rows)[:FAITHFULNESS_ROWS])


def faithfulness(
    model: StudentModel,
    table: EncodedTable,
    spec: TaskSpec,
    logits: Logits,
    rows: RowNumbers,
    accelerator: Accelerator,
    *,
    seed: int,
    batch_rows: int | None = None,
) -> Scores:
    """Means over those of the rows in which the model quotes a token, None where there is none.

    logits: what the model says of these rows. Keys: rows (their number), comprehensiveness,
    sufficiency, random_comprehensiveness, random_sufficiency. All processes must call it.
    """
    quoted = logits.tokens[spec.name][table.texts.places(rows)] > RATIONALE_THRESHOLD
    table = table.take(rows)
    counts = table.texts.keep(quoted).lengths
    # Where a tokenizer adds no special token, nothing would be left of a text that is all quoted.
    has_quotation = (counts > 0) & (counts < table.texts.lengths)
    quoted = quoted[np.repeat(has_quotation, table.texts.lengths)]
    table = table.take(np.flatnonzero(has_quotation))
    is_real = table.offsets[:, 1] > table.offsets[:, 0]
    control = random_runs(table.texts, is_real, counts[has_quotation], seed)
    whole = probabilities(logits.labels[spec.name][rows[has_quotation]], spec, 1.0)
    answer = whole.argmax(axis=1)[:, None]
    scores: Scores = {"rows": len(table)}
    for name, is_kept in (
        ("comprehensiveness", ~quoted),
        ("sufficiency", quoted | ~is_real),
        ("random_comprehensiveness", ~control),
        ("random_sufficiency", control | ~is_real),
    ):
        if not len(table):
            scores[name] = None
            continue
        erased = table.keep_tokens(is_kept)
        batches = inference_batches(erased, batch_rows=batch_rows)
        found = gather_logits(model, erased, accelerator, batches=batches, progress=name)
        chances = probabilities(found.labels[spec.name], spec, 1.0)
        falls = np.take_along_axis(whole, answer, 1) - np.take_along_axis(chances, answer, 1)
        scores[name] = round(float(falls.mean(dtype=np.float64)), DIGITS)
    return scores


def random_runs(
    texts: Ragged, is_real: npt.NDArray[np.bool_], counts: npt.NDArray[np.int64], seed: int
) -> npt.NDArray[np.bool_]:
    """(T,) for each row one run of `counts` (N,) of its real tokens, at a random place.

    is_real: (T,), False at special tokens.
    """
    real = texts.keep(is_real)
    first = np.random.default_rng(seed).integers(0, real.lengths - counts + 1)
    # How far after the first of the run each real token stands.
    after = np.arange(len(real.values)) - np.repeat(real.starts[:-1] + first, real.lengths)
    found = np.zeros(len(is_real), dtype=bool)
    found[is_real] = (after >= 0) & (after < np.repeat(counts, real.lengths))
    return found
