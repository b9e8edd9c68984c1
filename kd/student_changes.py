"""Settings in which the students of one run may differ, in kd tune and kd study."""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from data.errors import InputError
from kd.config import Config
from kd.config_problems import nearest, sentences

# What no teacher depends on: all students learn from the run's own.
PARTS = ("training", "student")
OF_A_TASK = ("weight", "temperature")


def with_settings(config: Config, values: Mapping[str, Any], *, where: str = "tune") -> Config:
    """The config with other values of some settings, by their dotted paths, and none to search.

    where: what gives them, for a message. Raises InputError naming a setting that is unknown, that
    teachers depend on, that is no single value, or whose value is refused.
    """
    changed: dict[str, Any] = config.model_dump(mode="json", exclude={"tune"})
    for path, value in values.items():
        _set(changed, path, value, where)
    try:
        return Config.model_validate(changed)
    except ValidationError as error:
        named = ", ".join(f"{path}={value!r}" for path, value in values.items())
        lines = sentences(error, Config, f"{where}: with {named}: ")
        raise InputError("\n".join(lines)) from None


def _set(settings: dict[str, Any], path: str, value: Any, where: str) -> None:
    """Give a setting another value, in nested mappings of all settings."""
    *outer, last = path.split(".")
    place: Any = settings
    for number, key in enumerate([*outer, last]):
        if not isinstance(place, dict) or key not in place:
            known = place if isinstance(place, dict) else ()
            above = ".".join(outer[:number])
            raise InputError(
                f"{where}.{path}: there is no setting {key!r}"
                f"{f' in {above}' if above else ''}{nearest(key, known)}"
            )
        if number == len(outer):
            break
        place = place[key]
    is_list = isinstance(place[last], list) and (value is None or isinstance(value, list))
    if isinstance(place[last], dict | list) and not is_list:
        raise InputError(f"{where}.{path}: is no single value: name a setting that is one")
    if not _may_differ(path):
        raise InputError(
            f"{where}.{path}: rows and teachers are the same for all students: choose settings of "
            f"{' and '.join(PARTS)}, tasks.TASK.{' or '.join(OF_A_TASK)}, or teachers.weights"
        )
    if path == "training.seed":
        raise InputError(
            f"{where}.{path}: students are compared over seeds, not chosen by one: leave it out"
        )
    place[last] = value


def _may_differ(path: str) -> bool:
    keys = path.split(".")
    is_of_a_task = keys[0] == "tasks" and keys[-1] in OF_A_TASK
    return keys[0] in PARTS or is_of_a_task or path == "teachers.weights"
