"""Floor 4: the method: schedules, losses, the one loop, metrics, and the pipeline."""

from importlib.util import find_spec
from pathlib import Path

_HOUSE = Path(__file__).resolve().parent.parent
for _name in ("data", "student", "teachers"):
    _spec = find_spec(_name)
    _found = _spec.origin if _spec is not None else None
    if _found is None or Path(_found).resolve().parent.parent != _HOUSE:
        raise ImportError(
            f"the package {_name!r} that Python finds is {_found}, not the one beside kd in "
            f"{_HOUSE}: install kd in an environment of its own, or run from its folder"
        )
