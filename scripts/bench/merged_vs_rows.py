"""Empathy pairs merged by id against the three files row by row: tokens and time.

    python scripts/bench/merged_vs_rows.py --data ../shared/data

A merged pair carries the labels of all three mechanisms through one pass. The time is of the same
number of labelled examples: P pairs in one step, against 3 P rows in one step, and against three
steps of P rows, as a loop with the same batch size takes them. The token ratio is exact, over all
rows of the files, cut at max_tokens; a row that stands in a file twice counts twice there.
"""

from dataclasses import replace

import numpy as np
import numpy.typing as npt
from timing import interleave, ratio, report, spread
from workload import Workload, load, new_model, optimizer_of, parser, student_step

from data.cleaning import clean
from data.encoding import EncodedTable
from data.ragged import Ragged, RowNumbers
from student.encoders import load_tokenizer

Floats = npt.NDArray[np.float32]


def token_ratio(work: Workload) -> float:
    """Tokens of every row of the files with a context over those of the distinct pairs."""
    config = work.config
    pairs = [
        (record.key, clean(record.text).text, clean(record.context or "").text)
        for spec in config.specs
        if spec.has_context
        for source in config.tasks[spec.name].sources
        for _, record in source.records(config.data.root_path)
    ]
    distinct = list(dict.fromkeys(pairs))
    tokenizer = load_tokenizer(config.student.encoder)
    lengths = np.zeros(len(distinct), dtype=np.int64)
    for column in (1, 2):
        texts = [pair[column] for pair in distinct]
        encoded = tokenizer(texts, truncation=True, max_length=config.data.max_tokens)
        lengths += [len(ids) for ids in encoded["input_ids"]]
    of_pair = dict(zip(distinct, lengths.tolist(), strict=True))
    return sum(of_pair[pair] for pair in pairs) / int(lengths.sum())


def one_task_a_row(table: EncodedTable, tasks: list[str]) -> EncodedTable:
    """The table repeated for each task: copy k knows the targets of task k alone."""
    copies = len(tasks)

    def alone(targets: dict[str, Floats]) -> dict[str, Floats]:
        return {
            name: np.concatenate(
                [values if name == task else np.full_like(values, np.nan) for task in tasks]
            )
            for name, values in targets.items()
        }

    return replace(
        table,
        ids=table.ids * copies,
        texts=repeated(table.texts, copies),
        offsets=np.tile(table.offsets, (copies, 1)),
        contexts=repeated(table.contexts, copies),
        gold=alone(table.gold),
        gold_tokens=alone(table.gold_tokens),
        soft=alone(table.soft),
        soft_tokens=alone(table.soft_tokens),
    )


def repeated(rows: Ragged, copies: int) -> Ragged:
    """The rows, `copies` times over."""
    starts = np.concatenate([[0], np.cumsum(np.tile(rows.lengths, copies))])
    return Ragged(np.tile(rows.values, copies), starts.astype(np.int64))


def main(arguments: list[str] | None = None) -> None:
    """Time the three ways and print the ratios."""
    flags = parser(__doc__)
    flags.add_argument("--pairs", type=int, default=64, help="pairs of a merged step")
    options = flags.parse_args(arguments)
    work = load(options)
    count = 8 if options.quick else options.pairs
    tasks = [spec.name for spec in work.config.specs if spec.has_context]
    random = np.random.default_rng(work.config.seed)
    known = np.all([work.table.known(task) for task in tasks], axis=0)
    pairs: RowNumbers = random.permutation(np.flatnonzero(known))[:count]
    by_row = replace(work, table=one_task_a_row(work.table, tasks))
    copies = [pairs + number * len(work.table) for number in range(len(tasks))]
    rows: RowNumbers = random.permutation(np.concatenate(copies))
    model = new_model(work)
    optimizer = optimizer_of(work, model)

    def steps(batches: list[RowNumbers]) -> None:
        for batch in batches:
            student_step(by_row, model, optimizer, batch)

    seconds = interleave(
        {
            "merged": lambda: student_step(work, model, optimizer, pairs),
            "rows, one step": lambda: steps([rows]),
            "rows, same batch size": lambda: steps(np.array_split(rows, len(tasks))),
        },
        rounds=2 if options.quick else options.rounds,
        device=work.device,
    )
    report(
        "merged_vs_rows",
        {
            "tokens": token_ratio(work),
            "time": ratio(seconds, "rows, one step", "merged"),
            "time_spread": spread(seconds, "rows, one step", "merged"),
            "time_same_batch_size": ratio(seconds, "rows, same batch size", "merged"),
            "pairs": count,
            "precision": work.precision,
        },
        device=work.device,
    )


if __name__ == "__main__":
    main()
