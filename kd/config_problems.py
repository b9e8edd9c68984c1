"""Config problems: pydantic's validation errors as sentences that name the key and the cure."""

import difflib
from collections.abc import Iterable, Sequence
from typing import Any

from pydantic import BaseModel, ValidationError

Location = tuple[int | str, ...]


def sentences(error: ValidationError, root: type[BaseModel], prefix: str) -> list[str]:
    """One sentence a problem: the key, what is wrong with which value, what would be right.

    root is the model that was validated; prefix is the file, or the place of that model in it.
    """
    problems: list[dict[str, Any]] = [
        {**problem, "loc": _without_types(problem["loc"])} for problem in error.errors()
    ]
    unknown = [p for p in problems if p["type"] == "extra_forbidden"]
    meant = {
        (*p["loc"][:-1], close)
        for p in unknown
        if (close := _closest(str(p["loc"][-1]), _siblings(p["loc"], root))) is not None
    }
    lines = []
    for problem in problems:
        # A list whose only item is wrong counts as too short as well; the item's error says it.
        is_echo = any(_is_inside(other["loc"], problem["loc"]) for other in problems)
        # A key that is missing because it was misspelt is named once, as the misspelt one.
        is_misspelt = problem["type"] == "missing" and problem["loc"] in meant
        if not is_echo and not is_misspelt:
            lines.append(prefix + _sentence(problem, root))
    return list(dict.fromkeys(lines))


def nearest(key: str, known: Iterable[str]) -> str:
    """The end of a sentence about a wrong key: the nearest right one, or all of them."""
    known = sorted(known)
    close = _closest(key, known)
    if close is not None:
        return f": did you mean {close!r}?"
    return f": choose from {', '.join(known)}" if known else ""


def _closest(key: str, known: Iterable[str]) -> str | None:
    return next(iter(difflib.get_close_matches(key, list(known), n=1, cutoff=0.5)), None)


def _without_types(location: Location) -> Location:
    """pydantic names the branch of a union in the location; a person did not write that."""
    for place, part in enumerate(location):
        if isinstance(part, str) and ("[" in part or part == "str"):
            return location[:place]
    return location


def _sentence(problem: dict[str, Any], root: type[BaseModel]) -> str:
    place = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden":
        key = str(problem["loc"][-1])
        return f"{place}: unknown key {key!r}{nearest(key, _siblings(problem['loc'], root))}"
    if problem["type"] == "missing":
        return f"{place}: is missing"
    if problem["loc"] and problem["loc"][-1] == "files":
        return f"{place}: give a path, a list of paths, or a mapping from train, dev and test"
    message = problem["msg"].removeprefix("Value error, ")
    if not place:
        return message
    value = problem["input"]
    given = f", not {value!r}" if not isinstance(value, dict) else ""
    if isinstance(value, bool):
        given += " (YAML reads an unquoted yes or no as that: put it in quotes)"
    return f"{place}: {message[0].lower()}{message[1:]}{given}"


def _is_inside(inner: Location, outer: Location) -> bool:
    return len(inner) > len(outer) and inner[: len(outer)] == outer


def _siblings(location: Sequence[int | str], root: type[BaseModel]) -> list[str]:
    """The keys that the model at the parent of `location` knows."""
    models: list[type[BaseModel]] = [root]
    for part in location[:-1]:
        nested: list[type[BaseModel]] = []
        for model in models:
            field = model.model_fields.get(part) if isinstance(part, str) else None
            nested += _models_in(field.annotation) if field is not None else [model]
        models = nested
    return [key for model in models for key in model.model_fields]


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in getattr(annotation, "__args__", ()) for model in _models_in(part)]
