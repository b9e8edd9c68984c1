"""The search space of kd tune: each end and choice is tried before the first trial."""

import math

from data.errors import InputError
from kd.config import Config, Search
from kd.student_changes import with_settings

Value = bool | int | float | str | None


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
