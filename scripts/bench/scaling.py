"""How a step's cost grows with rows, with length, and with a sixth task.

    python scripts/bench/scaling.py --data ../shared/data

Rows and lengths are of random tokens, all of one length; cost per row is relative to that at 64
rows, cost per token to that at 64 tokens. The sixth task has no row in the batch: it must cost its
head on the other tasks' rows, and no more.
"""

from collections.abc import Callable
from dataclasses import asdict, replace

import numpy as np
from timing import interleave, median, ratio, report, spread
from workload import Workload, load, new_model, optimizer_of, parser, student_step

from data.encoding import EncodedTable
from data.ragged import Ragged
from data.tasks import TaskSpec
from kd.losses import TaskLoss
from student.model import StudentConfig, StudentModel

ROWS, LENGTHS, BASE = (16, 32, 64, 128), (16, 32, 64, 128), 64
ROW_LENGTH = 32  # tokens a row where the number of rows varies


def random_table(work: Workload, rows: int, length: int) -> EncodedTable:
    """Rows of random tokens, each with a gold target of the first task and no context."""
    random = np.random.default_rng(work.config.seed)
    ids = random.choice(work.table.texts.values, (rows, length))
    gold = {
        spec.name: np.full((rows, spec.width), np.nan, np.float32) for spec in work.config.specs
    }
    first = work.config.specs[0]
    gold[first.name] = np.eye(first.width, dtype=np.float32)[np.arange(rows) % first.width]
    return EncodedTable(
        ids=tuple(map(str, range(rows))),
        texts=Ragged.of(ids.tolist()),
        offsets=np.zeros((rows * length, 2), dtype=np.int32),
        contexts=Ragged.of([[]] * rows),
        pad_id=work.table.pad_id,
        gold=gold,
        gold_tokens={
            name: np.full(rows * length, np.nan, np.float32) for name in work.table.gold_tokens
        },
    )


def with_task(work: Workload, model: StudentModel) -> tuple[Workload, StudentModel]:
    """The workload and a model of its own with one more task, unknown on every row."""
    spec = TaskSpec("sixth", classes=("no", "yes"))
    unknown = np.full((len(work.table), spec.width), np.nan, np.float32)
    table = replace(
        work.table,
        gold={**work.table.gold, spec.name: unknown},
        soft={**work.table.soft, spec.name: unknown},
    )
    settings = model.config.to_dict()
    config = StudentConfig(**{**settings, "tasks": [*settings["tasks"], asdict(spec)]})
    larger = StudentModel(config)
    larger.load_state_dict(model.state_dict(), strict=False)
    losses = {**work.losses, spec.name: TaskLoss(spec)}
    return replace(work, table=table, losses=losses), larger.to(work.device).train()  # type: ignore[arg-type]


def main(arguments: list[str] | None = None) -> None:
    """Time the sizes and print the relative costs."""
    flags = parser(__doc__)
    options = flags.parse_args(arguments)
    work = load(options)
    model = new_model(work)
    optimizer = optimizer_of(work, model)
    larger_work, larger = with_task(work, model)
    larger_optimizer = optimizer_of(work, larger)
    batch = work.plan.batch(0)

    def on_random(rows: int, length: int) -> Callable[[], object]:
        random = replace(work, table=random_table(work, rows, length))
        return lambda: student_step(random, model, optimizer, np.arange(rows))

    row_count = 16 if options.quick else BASE
    seconds = interleave(
        {
            **{f"rows {rows}": on_random(rows, ROW_LENGTH) for rows in ROWS},
            **{f"length {length}": on_random(row_count, length) for length in LENGTHS},
            "five tasks": lambda: student_step(work, model, optimizer, batch),
            "six tasks": lambda: student_step(larger_work, larger, larger_optimizer, batch),
        },
        rounds=1 if options.quick else options.rounds,
        device=work.device,
    )

    def relative(kind: str, sizes: tuple[int, ...]) -> dict[str, float]:
        base = median(seconds, f"{kind} {BASE}") / BASE
        return {str(n): median(seconds, f"{kind} {n}") / n / base for n in sizes}

    report(
        "scaling",
        {
            "cost_per_row": relative("rows", ROWS),
            "cost_per_token_by_length": relative("length", LENGTHS),
            "sixth_task_without_rows": ratio(seconds, "six tasks", "five tasks"),
            "sixth_task_spread": spread(seconds, "six tasks", "five tasks"),
            "precision": work.precision,
        },
        device=work.device,
    )


if __name__ == "__main__":
    main()
