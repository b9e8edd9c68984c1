"""The one exception for a mistake in what the user gave."""


class InputError(ValueError):
    """A wrong file, cell, config value or folder.

    The message is one line: where, what is wrong with which value, what would be right.
    The command line prints it without a traceback and exits with status 2.
    """
