"""Annealing schedules: training progress → the weight of the gold target in the mix.

progress = optimizer step / total optimizer steps: 0 at the first step, (N - 1) / N at the last,
the same under gradient accumulation and any number of processes.
"""

import math
from collections.abc import Callable
from typing import Literal

Schedule = Callable[[float], float]
ScheduleName = Literal["linear", "cosine", "step", "constant"]


def linear(progress: float) -> float:
    """Teacher annealing of Clark et al. (2019): gold weight = progress."""
    return progress


def cosine(progress: float) -> float:
    """Slow at both ends: (1 - cos(pi * progress)) / 2."""
    return (1.0 - math.cos(math.pi * progress)) / 2.0


def step(progress: float) -> float:
    """The teacher alone for the first half, gold alone for the second."""
    return 0.0 if progress < 0.5 else 1.0


def constant(gold_weight: float) -> Schedule:
    """The same mix at every step; 0 is soft targets alone, 1 gold alone."""
    return lambda progress: gold_weight


SCHEDULES: dict[str, Schedule] = {"linear": linear, "cosine": cosine, "step": step}
