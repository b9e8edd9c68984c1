"""The precisions of an export, as kd export names them."""

from data.errors import InputError

# fp32 is always made: the others are made of it.
PRECISIONS = ("fp32", "fp16", "int8")


def named_precisions(text: str) -> list[str]:
    """The precisions of a list such as `fp32,fp16`, each once; fp32, of which the others are made,
    is always one.

    Raises InputError when one is unknown.
    """
    names = list(dict.fromkeys(["fp32", *(name.strip() for name in text.split(","))]))
    for name in names:
        if name not in PRECISIONS:
            known = ", ".join(sorted(PRECISIONS))
            raise InputError(f"--precision: {name!r} is no precision: choose from {known}")
    return names
