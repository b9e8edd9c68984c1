"""Interruption: a training that is told to stop ends after a whole step, with a checkpoint."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import torch
from accelerate import Accelerator

SIGNALS = (signal.SIGTERM, signal.SIGINT)
# Several processes agree by a collective whose answer the host waits for, on GPUs this seldom.
GPU_STEPS = 10


class Interruption:
    """The signal that came, if any, agreed upon by all processes."""

    def __init__(self, accelerator: Accelerator) -> None:
        self.received = 0
        self._accelerator = accelerator
        self._every = GPU_STEPS if accelerator.device.type == "cuda" else 1

    def agreed(self, step: int, is_last: bool) -> int:
        """The signal's number, or 0, the same in every process; all must ask after each step."""
        if self._accelerator.num_processes == 1:
            return self.received
        if step % self._every and not is_last:
            return 0
        mine = torch.tensor(self.received, device=self._accelerator.device)
        return int(self._accelerator.reduce(mine, "max").item())


@contextmanager
def caught_signals(accelerator: Accelerator) -> Iterator[Interruption]:
    """Within the block the first SIGTERM or SIGINT is only noted; a second one acts as ever."""
    interruption = Interruption(accelerator)
    if threading.current_thread() is not threading.main_thread():
        yield interruption  # signals are the main thread's
        return
    before = {number: signal.getsignal(number) for number in SIGNALS}
    # A job in the background has Ctrl-C ignored: that is the terminal's, not its own.
    before = {number: handler for number, handler in before.items() if handler != signal.SIG_IGN}

    def note(number: int, frame: FrameType | None) -> None:
        interruption.received = number
        restore()

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    for number in before:
        signal.signal(number, note)
    try:
        yield interruption
    finally:
        restore()
