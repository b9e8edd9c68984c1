"""The config file: one YAML plus a.b=c overrides, read, checked, written and compared."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import ValidationError

from data.errors import InputError
from kd.config import Config
from kd.config_problems import sentences


def load_config(path: Path, overrides: Sequence[str] = ()) -> Config:
    """Read a YAML file and apply `a.b=c` overrides.

    Raises InputError naming the file, every wrong key or value, and the nearest right key.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file: give a config such as configs/demo.yaml")
    try:
        merged: Any = OmegaConf.load(path)
    except (yaml.YAMLError, OmegaConfBaseException, UnicodeDecodeError, OSError) as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        reason = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise InputError(f"{path}{line}: is not YAML: {reason}") from None
    if not OmegaConf.is_dict(merged):
        raise InputError(f"{path}: is not a mapping: it needs at least name and tasks")
    for override in _without_presets(path, merged, overrides):
        key, equals, _ = override.partition("=")
        if not equals or not key:
            raise InputError(f"{override!r} is no override: write key.key=value")
        try:
            merged = OmegaConf.merge(merged, OmegaConf.from_dotlist([override]))
        except (OmegaConfBaseException, yaml.YAMLError, ValueError, TypeError):
            raise InputError(
                f"{path}: {key}: can't be set by {override!r}: "
                f"a list is replaced whole, as in key=[a,b]"
            ) from None
    try:
        values = OmegaConf.to_container(merged, resolve=True)
    except OmegaConfBaseException as error:
        raise InputError(f"{path}: {str(error).splitlines()[0]}") from None
    try:
        return Config.model_validate(values)
    except ValidationError as error:
        raise InputError("\n".join(sentences(error, Config, f"{path}: "))) from None


def _without_presets(path: Path, settings: Any, overrides: Sequence[str]) -> list[str]:
    """The overrides, with those that the file keeps under a name in place of preset=NAME.

    Raises InputError when the file has no preset of that name, or it is no list of overrides.
    """
    found = []
    for override in overrides:
        key, _, name = override.partition("=")
        if key != "preset":
            found.append(override)
            continue
        presets = OmegaConf.to_container(settings).get("presets") or {}  # type: ignore[union-attr]
        listed = presets.get(name) if isinstance(presets, dict) else None
        if not isinstance(listed, list):
            known = ", ".join(presets) if isinstance(presets, dict) else ""
            raise InputError(
                f"{path}: {override}: has no list of overrides of this name under presets: "
                f"choose from {known or 'none'}"
            )
        found += map(str, listed)
    return found


def dump_config(config: Config) -> str:
    """The resolved config as YAML."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def changes(first: Any, second: Any, path: str = "") -> list[tuple[str, Any, Any]]:
    """The dotted keys whose values differ between two nested mappings, with both values.

    Lists of mappings are compared place by place: tasks.mood.sources[0].reader.
    """
    if isinstance(first, dict) and isinstance(second, dict):
        found = []
        for key in [*first, *(key for key in second if key not in first)]:
            found += changes(first.get(key), second.get(key), f"{path}.{key}" if path else key)
        return found
    if _lists_mappings(first) and _lists_mappings(second) and len(first) == len(second):
        pairs = enumerate(zip(first, second, strict=True))
        return [found for n, (a, b) in pairs for found in changes(a, b, f"{path}[{n}]")]
    return [] if first == second else [(path, first, second)]


def _lists_mappings(value: Any) -> bool:
    return isinstance(value, list | tuple) and all(isinstance(one, dict) for one in value)


def differences(first: Any, second: Any, path: str = "") -> list[str]:
    """The same as `changes`, a sentence each."""
    return [
        f"{key} is {there!r} there and {here!r} here"
        for key, there, here in changes(first, second, path)
    ]
