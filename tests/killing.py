"""Kills a function in a process of its own, at any of the points where it asks the system."""

import os
import signal
import sys
from collections.abc import Callable

# What changes files, as the interpreter names it.
CALLS = {"open", "write", "flush", "close", "truncate", "mkdir", "replace", "unlink"}


def run_killed(action: Callable[[], object], at: int) -> bool:
    """Fork, run the action and kill it before its call number `at`; whether it came to its end."""
    child = os.fork()
    if child:
        _, status = os.waitpid(child, 0)
        if os.WIFSIGNALED(status):
            assert os.WTERMSIG(status) == signal.SIGKILL
            return False
        assert os.WEXITSTATUS(status) == 0
        return True
    left = at

    def count(frame: object, event: str, called: object) -> None:
        nonlocal left
        if event == "c_call" and getattr(called, "__name__", "") in CALLS:
            left -= 1
            if left < 0:
                os.kill(os.getpid(), signal.SIGKILL)

    try:
        sys.setprofile(count)
        action()
        sys.setprofile(None)
        os._exit(0)
    except BaseException as error:
        sys.setprofile(None)
        print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
        os._exit(1)


def run_until_whole(action: Callable[[], object], draw: Callable[[], int]) -> int:
    """Run the action, killed again and again, until it comes to its end; how often it was killed.

    Raises AssertionError where it does not get on.
    """
    for kills in range(100):
        if run_killed(action, draw()):
            return kills
    raise AssertionError("killed a hundred times, it has not come to its end")
