"""The search space of kd tune: which settings may be searched, and a config with some of them."""

import math
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from data.errors import InputError
from kd.config import Config, Search
from kd.config_problems import nearest, sentences

Value = bool | int | float | str | None
# What no teacher depends on: all trials learn from the run's own.
SEARCHED = ("training", "student")
OF_A_TASK = ("weight", "temperature")


def check_space(config: Config) -> list[Config]:
    """The config with each end, each choice and one value between, a setting at a time.

    Raises InputError naming the setting that is unknown, that teachers depend on, that is no
    single value, or of which a value is refused, and where there is none to search.
    """
    if not config.tune:
        raise InputError(
            "tune: names no setting: add such as "
            "tune: {training.learning_rate: {low: 1e-5, high: 1e-3, log: true}}"
        )
    return [
        with_settings(config, {path: value})
        for path, search in config.tune.items()
        for value in _some_values(search)
    ]


def _some_values(search: Search) -> list[Value]:
    if search.choices:
        return list(search.choices)
    assert search.low is not None
    assert search.high is not None
    # A setting of whole numbers refuses this one, as it would most of a range with fractions.
    between = search.low + (search.high - search.low) / math.pi
    return [search.low, search.high, *(() if search.is_whole else (between,))]


def with_settings(config: Config, values: Mapping[str, Any], *, where: str = "tune") -> Config:
    """The config with other values of some settings, by their dotted paths, and none to search.

    where: what gives them, for a message. Raises InputError as `check_space` does.
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
    if not _may_be_searched(path):
        raise InputError(
            f"{where}.{path}: rows and teachers are the same for all students: choose settings of "
            f"{' and '.join(SEARCHED)}, tasks.TASK.{' or '.join(OF_A_TASK)}, or teachers.weights"
        )
    place[last] = value


def _may_be_searched(path: str) -> bool:
    keys = path.split(".")
    is_of_a_task = keys[0] == "tasks" and keys[-1] in OF_A_TASK
    return keys[0] in SEARCHED or is_of_a_task or path == "teachers.weights"
