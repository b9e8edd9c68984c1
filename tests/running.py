"""What tests of whole commands share."""

import pytest

from kd.cli import main


def kd(*arguments, status=0):
    """Run a kd command to its end, which the command line gives as an exit with a status."""
    with pytest.raises(SystemExit, match=rf"^{status}$"):
        main([str(argument) for argument in arguments])
