"""The exception for a mistake in what the user gave, and how its message shows a cell."""

from collections.abc import Sequence


class InputError(ValueError):
    """A wrong file, cell, config value or folder.

    The message is one line: where, what is wrong with which value, what would be right.
    The command line prints it without a traceback and exits with status 2.
    """


def shown(cell: str) -> str:
    """A cell as a message may show it: quoted, or only its length where it may be a post."""
    if len(cell) > 30 or len(cell.split()) > 3:
        return f"a text of {len(cell)} characters"
    return repr(cell)


def shown_header(names: Sequence[str]) -> str:
    """A header as a message may show it; a first line that is no header may be somebody's text."""
    if any(len(name) > 30 or len(name.split()) > 3 for name in names):
        return f"the first line, of {len(names)} cells, is none"
    return f"the header is {','.join(names)!r}"
