"""The arms of a study: those that are always there and a config's own, and the config of each."""

from collections.abc import Collection

from data.errors import InputError
from kd.config import Config, Objective, Study
from kd.student_changes import with_settings

# The arms of a study whose config names none.
USUAL = ("single", "multi", "soft", "annealed")
# A student a task, where the other arms train one student of all tasks.
SINGLE = "single"
# arm → the objective of its students' training
ARMS: dict[str, Objective] = {
    SINGLE: "gold",
    "multi": "gold",
    "soft": "soft",
    "mixed": "mixed",
    "annealed": "annealed",
    "ce+kl": "ce+kl",
}


def arms_of(config: Config) -> list[str]:
    """The names of the arms that can be run, in the order of tables.

    Raises InputError when the config gives an arm the name of another.
    """
    for name in config.study.arms:
        if name in ARMS:
            raise InputError(
                f"study.arms: {name!r} is the name of an arm that is there: take another"
            )
    return [*ARMS, *config.study.arms]


def named_arms(text: str | None, config: Config) -> list[str]:
    """The arms of a list such as `multi,annealed`, each once; without a list the config's own.

    Raises InputError when one is unknown.
    """
    known = arms_of(config)
    if text is None:
        return list(config.study.arms) or list(USUAL)
    names = list(dict.fromkeys(name.strip() for name in text.split(",")))
    for name in names:
        if name not in known:
            raise InputError(f"--arms: {name!r} is no arm: choose from {', '.join(sorted(known))}")
    return names


def arm_config(config: Config, arm: str) -> Config:
    """The config of an arm's students, of `single` with all tasks still.

    Raises InputError naming a setting that an arm may not change, and a value that is refused.
    """
    if arm in ARMS:
        return config.model_copy(
            update={"training": config.training.model_copy(update={"objective": ARMS[arm]})}
        )
    own = config.study.arms[arm]
    changed = with_settings(config, own.change, where=f"study.arms.{arm}.change")
    return _with_tasks(changed, own.tasks) if own.tasks else changed


def _with_tasks(config: Config, tasks: Collection[str]) -> Config:
    """The config of a student of some of the tasks, without a study, which would name the others.
    It may start from another task's teacher, so it is not checked again."""
    taught = {name: listed for name, listed in config.teachers.tasks.items() if name in tasks}
    return config.model_copy(
        update={
            "tasks": {name: task for name, task in config.tasks.items() if name in tasks},
            "teachers": config.teachers.model_copy(update={"tasks": taught}),
            "study": Study(),
        }
    )


def with_one_task(config: Config, task: str) -> Config:
    """The config of a student of one task, whose loss is then the whole."""
    alone = _with_tasks(config, {task})
    weighed = {task: config.tasks[task].model_copy(update={"weight": 1.0})}
    return alone.model_copy(update={"tasks": weighed})
