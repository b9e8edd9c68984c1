"""Optimization: AdamW with layer-wise rates and decay-exempt groups, linear warm-up and decay."""

import torch
from torch import nn

from student.encoders import layer_list


def parameter_groups(
    model: nn.Module, *, learning_rate: float, layer_decay: float, weight_decay: float
) -> list[dict[str, object]]:
    """Optimizer groups of the trainable parameters.

    The heads learn at `learning_rate`, the top encoder layer at layer_decay times it, each layer
    below at layer_decay times that above, the embeddings one step below the lowest (Clark et al.
    2019). Biases and normalisation weights are not decayed.
    """
    depth = depths(model)
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            decay = 0.0 if parameter.ndim < 2 else weight_decay
            rate = learning_rate * layer_decay ** depth[name]
            groups.setdefault((rate, decay), []).append(parameter)
    return [
        {"params": parameters, "lr": rate, "weight_decay": decay}
        for (rate, decay), parameters in groups.items()
    ]


def depths(model: nn.Module) -> dict[str, int]:
    """Parameter name → steps below the heads: 0 for heads and attention, 1 for the top layer.

    The encoders are those called `encoder` and `context_encoder`, where the model has them.
    Modules that an encoder names `fresh` have no pretrained weights: they learn as the heads do.
    """
    found = {name: 0 for name, _ in model.named_parameters()}
    for prefix in ("encoder", "context_encoder"):
        encoder = getattr(model, prefix, None)
        if encoder is None:
            continue
        layers = layer_list(encoder)
        path = next(name for name, module in encoder.named_modules() if module is layers)
        fresh = tuple(f"{name}." for name in getattr(encoder, "fresh", ()))
        for name, _ in encoder.named_parameters():
            below = len(layers) + 1
            if name.startswith(f"{path}."):
                below = len(layers) - int(name[len(path) + 1 :].split(".")[0])
            found[f"{prefix}.{name}"] = 0 if name.startswith(fresh) else below
    return found


def rate_factor(progress: float, warmup: float) -> float:
    """The share of the peak rate: up linearly over `warmup` of the run, then down to 0."""
    if progress < warmup:
        return progress / warmup
    return (1.0 - progress) / (1.0 - warmup)


def new_optimizer(
    model: nn.Module, *, learning_rate: float, layer_decay: float, weight_decay: float
) -> torch.optim.AdamW:
    """AdamW over the model's parameter groups, each group's peak rate kept as `peak`."""
    groups = parameter_groups(
        model,
        learning_rate=learning_rate,
        layer_decay=layer_decay,
        weight_decay=weight_decay,
    )
    optimizer = torch.optim.AdamW(groups, lr=learning_rate, fused=True)
    for group in optimizer.param_groups:
        group["peak"] = group["lr"]
    return optimizer


def set_rates(optimizer: torch.optim.Optimizer, factor: float) -> None:
    """Set every group's rate to its peak times `factor`."""
    for group in optimizer.param_groups:
        group["lr"] = group["peak"] * factor
