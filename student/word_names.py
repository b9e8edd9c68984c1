"""Names of encoders on word vectors: KIND:FILE or KIND:random."""

from pathlib import Path
from typing import Literal, NamedTuple, get_args

from data.errors import InputError

Kind = Literal["cnn", "lstm", "bilstm", "conv_lstm", "mlp"]
KINDS: tuple[Kind, ...] = get_args(Kind)
RANDOM, FROZEN = "random", "frozen"


class NamedVectors(NamedTuple):
    """An encoder on word vectors, as its name says; file: None for random vectors."""

    kind: Kind
    file: Path | None
    rows: int | None
    is_frozen: bool


def named_vectors(name: str) -> NamedVectors | None:
    """What KIND:FILE[:ROWS][:frozen] or KIND:random[:frozen] stands for; None of another name.

    Raises InputError when the part after the kind is not one of these.
    """
    kind, colon, rest = name.partition(":")
    if kind not in KINDS or not colon:
        return None
    place, *options = rest.split(":")
    is_frozen = FROZEN in options[-1:]
    numbers = options[:-1] if is_frozen else options
    is_random = place == RANDOM
    if not place or len(numbers) > (not is_random) or not all(map(_is_count, numbers)):
        raise InputError(
            f"encoder {name!r}: give {kind}:FILE or {kind}:FILE:ROWS, ROWS the number of words "
            f"that are read, or {kind}:{RANDOM}; and :{FROZEN} behind it to keep the vectors as "
            f"they are"
        )
    return NamedVectors(
        kind=next(known for known in KINDS if known == kind),
        file=None if is_random else Path(place),
        rows=int(numbers[0]) if numbers else None,
        is_frozen=is_frozen,
    )


def _is_count(text: str) -> bool:
    return text.isascii() and text.isdigit() and int(text) > 0


def below(root: Path, name: str) -> str:
    """An encoder's name with its file of vectors below a folder, where one is there."""
    prefix, colon, rest = name.partition(":")
    if colon and prefix not in KINDS:  # of another kind, with a name in it
        return f"{prefix}:{below(root, rest)}"
    named = named_vectors(name)
    if named is None or named.file is None or not (root / named.file).is_file():
        return name
    kind, _, *options = name.split(":")
    return ":".join([kind, str(root / named.file), *options])
