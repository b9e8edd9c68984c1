"""Dropout whose mask is cheap on a CPU: 16 random bits an element, compared with a threshold."""

import torch
from torch import nn

LEVELS = 1 << 16


def drop_out(states: torch.Tensor, p: float) -> torch.Tensor:
    """States of any shape, each element 0 with probability p, else divided by 1 - p.

    On a CPU p is rounded to a multiple of 2^-16, and the draws are not those that
    nn.functional.dropout makes of the same seed.
    """
    threshold = round(p * LEVELS)
    if states.device.type != "cpu" or threshold in (0, LEVELS):
        return nn.functional.dropout(states, p)
    # A draw of 64 bits serves four elements, where a Bernoulli mask draws for each.
    draws = torch.empty(-(-states.numel() // 4), dtype=torch.int64).random_(-(2**63), None)
    bits = draws.view(torch.int16)[: states.numel()].view(states.shape)
    keep = (bits >= threshold - LEVELS // 2).to(states.dtype)
    return states * keep.mul_(LEVELS / (LEVELS - threshold))


class Dropout(nn.Dropout):
    """nn.Dropout by `drop_out`."""

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        """Any shape → the same shape."""
        return drop_out(states, self.p) if self.training else states


def replace_dropout(model: nn.Module) -> None:
    """Put a Dropout in the place of every nn.Dropout inside a model."""
    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            if type(child) is nn.Dropout:
                setattr(module, name, Dropout(child.p).train(child.training))
