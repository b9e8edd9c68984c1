"""kd's own training loop on a workload whose soft targets lie in a folder."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
from cached_vs_live import with_read_targets
from workload import Workload, new_model

from data.plan import make_plan
from kd.annealing import linear
from kd.checkpoints import Checkpoints
from kd.hardware import new_accelerator
from kd.run_log import RunLog
from kd.stages.teach import recipe
from kd.target_loss import target_loss
from kd.training import train
from student.model import StudentModel


def with_kd(work: Workload, epochs: float, seen: Counter[str], folder: Path) -> StudentModel:
    """The student after kd's loop on the soft targets in the folder."""
    seen.clear()
    training = work.config.training.model_copy(update={"epochs": epochs})
    table = with_read_targets(work, folder)
    plan = make_plan(
        np.stack([table.known(task) for task in work.losses], axis=1),
        batch_size=training.batch_size,
        epochs=epochs,
        seed=work.config.seed,
    )
    for step in range(plan.steps):
        rows = plan.batch(step)
        seen.update({task: int(table.known(task, rows).sum()) for task in work.losses})
    accelerator = new_accelerator(training.precision)
    log = RunLog(folder / "logs", "student", accelerator)
    model = new_model(work)
    numbers = replace(recipe(training, plan), evaluations=1)
    checkpoints = Checkpoints(folder / "checkpoints", key="")
    loss = target_loss(
        model, table, work.losses, linear, accelerator, steps=plan.steps, comparisons=log.gradients
    )
    # A constant score at the one evaluation, the last step's: its weights are kept, no time spent.
    trained = train(
        model, table, plan, loss, lambda _: 0.0, numbers, accelerator,
        checkpoints=checkpoints, log=log, title="student",
    )  # fmt: skip
    log.close()
    model.load_state_dict(trained.weights)
    return model
