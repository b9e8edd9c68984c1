"""Interruption: a training that is told to stop ends after a whole step, with a checkpoint."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import torch
from accelerate import Accelerator

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Stopped(Exception):
    """A signal stopped a training; its state is on disk."""

    def __init__(self, number: int, step: int) -> None:
        super().__init__(f"stopped by {signal.Signals(number).name} after step {step}")
        self.exit_status = 128 + number


class Interruption:
    """The signal that came, if any, agreed upon by all processes."""

    def __init__(self, accelerator: Accelerator, every: int) -> None:
        self.received = 0
        self._accelerator = accelerator
        # The agreement is a collective with an answer on the host, which a GPU would wait for.
        self._every = every if accelerator.device.type == "cuda" else 1

    def agreed(self, step: int) -> int:
        """The signal's number, or 0, the same in every process; all must ask after each step."""
        if self._accelerator.num_processes == 1:
            return self.received
        if step % self._every:
            return 0
        mine = torch.tensor(self.received, device=self._accelerator.device)
        return int(self._accelerator.reduce(mine, "max").item())


@contextmanager
def caught_signals(accelerator: Accelerator, every: int) -> Iterator[Interruption]:
    """Within the block the first SIGTERM or SIGINT is only noted; a second one acts as ever."""
    interruption = Interruption(accelerator, every)
    if threading.current_thread() is not threading.main_thread():
        yield interruption  # signals are the main thread's
        return
    before = {number: signal.getsignal(number) for number in SIGNALS}

    def note(number: int, frame: FrameType | None) -> None:
        interruption.received = number
        restore()

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    for number in SIGNALS:
        signal.signal(number, note)
    try:
        yield interruption
    finally:
        restore()
