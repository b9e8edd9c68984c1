"""Operations of a student step, and the encoder's matrix products to measure a machine's rate.

Utilisation = operations of a step / its seconds / the best rate of the matrix products.
"""

from collections.abc import Callable

import numpy as np
import torch
from workload import Workload

from data.ragged import RowNumbers
from student.encoders import layer_list
from student.model import StudentModel


def step_flops(work: Workload, model: StudentModel, rows: RowNumbers) -> float:
    """Floating-point operations of a step on its non-pad tokens, the encoder's matmuls alone.

    6 * weights * tokens (2 4 backward; weights without embeddings)
    + 12 * layers * hidden * sum of squared lengths (scores and their use: 4 8 backward).
    Embeddings, heads, the response-to-seeker attention and the optimizer count nothing.
    """
    lengths = np.concatenate([work.table.texts.lengths[rows], work.table.contexts.lengths[rows]])
    layers = layer_list(model.encoder)
    weights = sum(p.numel() for p in layers.parameters() if p.ndim == 2)
    hidden = model.config.encoder.hidden_size
    squares = float(np.square(lengths).sum())
    return 6.0 * weights * float(lengths.sum()) + 12.0 * len(layers) * hidden * squares


def gemms(model: StudentModel, work: Workload, tokens: int) -> dict[str, tuple[int, int, int]]:
    """name → (m, k, n) of the encoder's matrix products over `tokens` tokens, and a square one."""
    config = model.config.encoder
    hidden, inner = config.hidden_size, config.intermediate_size
    shapes = [(hidden, hidden), (hidden, 3 * hidden), (hidden, inner), (inner, hidden)]
    sizes = [(tokens, k, n) for k, n in shapes] + [(tokens, tokens, tokens)]
    return {f"gemm {m}x{k}x{n}": (m, k, n) for m, k, n in sizes}


def gemm_action(size: tuple[int, int, int], work: Workload, repeats: int) -> Callable[[], object]:
    """The matrix product of a size, in the step's precision."""
    m, k, n = size
    dtype = torch.bfloat16 if work.precision == "bf16" else torch.float32
    a = torch.randn(m, k, device=work.device, dtype=dtype)
    b = torch.randn(k, n, device=work.device, dtype=dtype)
    out = torch.empty(m, n, device=work.device, dtype=dtype)
    return lambda: [torch.mm(a, b, out=out) for _ in range(repeats)]
