"""Interleaved timing: variants take turns, so that what else the machine does meets them alike.

A figure is CPU seconds of this process (all its threads) on a CPU, and CUDA events on a GPU.
"""

import json
import statistics
import sys
import time
from collections.abc import Callable, Mapping

import torch

Seconds = dict[str, list[float]]  # variant → seconds, one a round


def interleave(
    variants: Mapping[str, Callable[[], object]],
    *,
    rounds: int,
    device: torch.device,
    warm_up: bool = True,
) -> Seconds:
    """Seconds of each variant in each round: A B, B A, A B …, after one untimed call of each."""
    if warm_up:
        for action in variants.values():
            action()
    seconds: Seconds = {name: [] for name in variants}
    for number in range(rounds):
        names = list(variants)[:: 1 if number % 2 == 0 else -1]
        for name in names:
            seconds[name].append(measure(variants[name], device))
        latest = ", ".join(f"{name} {values[-1]:.3f} s" for name, values in seconds.items())
        print(f"round {number + 1}/{rounds}: {latest}", file=sys.stderr, flush=True)
    return seconds


def measure(action: Callable[[], object], device: torch.device) -> float:
    """Seconds of one call."""
    if device.type != "cuda":
        before = time.process_time()
        action()
        return time.process_time() - before
    start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    torch.cuda.synchronize(device)
    start.record()
    action()
    end.record()
    torch.cuda.synchronize(device)
    return start.elapsed_time(end) / 1000.0


def median(seconds: Seconds, name: str) -> float:
    """The median of a variant's rounds."""
    return statistics.median(seconds[name])


def ratio(seconds: Seconds, slow: str, fast: str) -> float:
    """How many times the seconds of `fast` those of `slow` are, by their medians."""
    return median(seconds, slow) / median(seconds, fast)


def spread(seconds: Seconds, slow: str, fast: str) -> list[float]:
    """The least and the largest ratio of any single round."""
    found = [a / b for a, b in zip(seconds[slow], seconds[fast], strict=True)]
    return [round(min(found), 3), round(max(found), 3)]


def report(benchmark: str, values: Mapping[str, object], *, device: torch.device) -> None:
    """Print the one JSON line: the values, and what they were measured on."""
    on_gpu = device.type == "cuda"
    place = torch.cuda.get_device_name(device) if on_gpu else f"cpu {cpu_capability()}"
    rounded = {name: _rounded(value) for name, value in values.items()}
    about = {
        "device": place,
        "clock": "CUDA events" if on_gpu else "process CPU seconds",
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }
    print(json.dumps({"benchmark": benchmark, **rounded, **about}))


def cpu_capability() -> str:
    """The instruction set that torch's kernels use."""
    return str(torch.backends.cpu.get_cpu_capability())


def _rounded(value: object) -> object:
    if isinstance(value, Mapping):
        return {name: _rounded(inner) for name, inner in value.items()}
    return float(f"{value:.4g}") if isinstance(value, float) else value
