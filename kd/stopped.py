"""The end of a training that a signal stopped."""

import signal


class Stopped(Exception):
    """A signal stopped a training; its state is on disk."""

    def __init__(self, number: int, step: int) -> None:
        super().__init__(f"stopped by {signal.Signals(number).name} after step {step}")
        self.exit_status = 128 + number
