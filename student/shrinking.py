"""Shrinking: a smaller student made of a trained one, without training.

Letters: U = units of a feed-forward, H = hidden size, T = tokens, V = pieces of the vocabulary.
"""

import copy
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import nn
from transformers import PreTrainedModel

from data.encoding import EncodedTable
from data.errors import InputError
from student.encoders import cut_layers, layer_list, new_encoder
from student.inference import compute_logits
from student.model import StudentConfig, StudentModel

# What is added to the variances, as a share of their mean, so that few tokens decide nothing alone.
RIDGE = 1e-3


class FeedForward(NamedTuple):
    """Where a layer keeps its feed-forward, and what the configuration calls its units."""

    up: str  # (H → U)
    down: str  # (U → H)
    units: str


_OF_BERT = FeedForward("intermediate.dense", "output.dense", "intermediate_size")
FEED_FORWARDS = {
    **dict.fromkeys(("bert", "camembert", "deberta", "deberta-v2", "electra", "mpnet"), _OF_BERT),
    **dict.fromkeys(("roberta", "xlm-roberta"), _OF_BERT),
    "distilbert": FeedForward("ffn.lin1", "ffn.lin2", "hidden_dim"),
}


class UnitMoments(NamedTuple):
    """What the units of a feed-forward do over many tokens, in float64."""

    mean: torch.Tensor  # (U,)
    covariance: torch.Tensor  # (U, U)


def keep_layers(model: StudentModel, layers: Sequence[int]) -> StudentModel:
    """A copy of a student with only the chosen layers of its encoder, in the order given.

    Raises InputError naming a layer that the encoder does not have.
    """
    return _with_encoders(model, lambda encoder: cut_layers(encoder, layers))


def keep_pieces(model: StudentModel, kept: Sequence[int]) -> StudentModel:
    """A copy of a student with only the chosen rows (V,) of its word embedding.

    Raises InputError when the embedding has no row for a piece.
    """
    return _with_encoders(model, lambda encoder: _with_pieces(encoder, kept))


def keep_units(model: StudentModel, units: int, table: EncodedTable) -> StudentModel:
    """A copy of a student with the `units` most important units of each feed-forward.

    Importance is a unit's variance over the tokens of the table's rows times the squared norm of
    its output weights (An et al. 2024, "Fluctuation-based Adaptive Structured Pruning"): what is
    lost when its mean goes into the bias. The output weights of the others then take over what
    they can tell of it, by least squares (He et al. 2017, "Channel Pruning", equation 1).
    Raises InputError when the architecture is not known, or has no more units than that.
    """
    kind, place = model.config.encoder.model_type, feed_forward_of(model)
    there = getattr(model.config.encoder, place.units)
    if not 0 < units < there:
        raise InputError(f"feed-forward units: {units!r}: choose from 1 to {there - 1} in {kind!r}")
    moments = _moments(model, place, table)
    return _with_encoders(model, lambda encoder: _narrowed(encoder, place, units, moments))


def feed_forward_of(model: StudentModel) -> FeedForward:
    """Where the layers of a student keep their feed-forward.

    Raises InputError when it is not known.
    """
    kind = model.config.encoder.model_type
    if kind not in FEED_FORWARDS:
        known = ", ".join(sorted(FEED_FORWARDS))
        raise InputError(f"feed-forward units: an encoder of kind {kind!r} is none of {known}")
    return FEED_FORWARDS[kind]


def _with_encoders(
    model: StudentModel, change: Callable[[PreTrainedModel], PreTrainedModel]
) -> StudentModel:
    """A student whose encoders are changed ones, the rest a copy."""
    config = copy.deepcopy(model.config)
    assert isinstance(config, StudentConfig)
    state = dict(model.state_dict())
    for name, encoder in (("encoder", model.encoder), ("context_encoder", model.context_encoder)):
        if encoder is not None:
            changed = change(encoder)
            config.encoder = changed.config
            state = {key: state[key] for key in state if not key.startswith(f"{name}.")}
            state |= {f"{name}.{key}": values for key, values in changed.state_dict().items()}
    small = StudentModel(config)
    small.load_state_dict(state)
    return small.eval()


def _with_pieces(encoder: PreTrainedModel, kept: Sequence[int]) -> PreTrainedModel:
    weight: nn.Parameter = encoder.get_input_embeddings().get_parameter("weight")
    if max(kept) >= len(weight):
        raise InputError(
            f"--vocabulary: the tokenizer has a piece {max(kept)}, the encoder rows up to "
            f"{len(weight) - 1}: they do not belong together"
        )
    config = copy.deepcopy(encoder.config)
    config.vocab_size = len(kept)
    new = {old: number for number, old in enumerate(kept)}
    for key, value in config.to_dict().items():
        if key.endswith("_token_id") and isinstance(value, int):
            setattr(config, key, new.get(value))
    small = new_encoder(config)
    name = next(name for name, values in encoder.named_parameters() if values is weight)
    small.load_state_dict(encoder.state_dict() | {name: weight.detach()[list(kept)]})
    return small


def _moments(
    model: StudentModel, place: FeedForward, table: EncodedTable
) -> dict[nn.Module, UnitMoments]:
    """The moments of what goes into each `down` layer; padding of an encoder that runs on padded
    groups counts as tokens, of which it has few."""
    sums: dict[nn.Module, list[torch.Tensor]] = {}

    def add(module: nn.Module, given: tuple[torch.Tensor, ...]) -> None:
        values = given[0].flatten(0, -2)  # (T, U)
        found = torch.tensor(len(values)), values.sum(0), values.T @ values
        sums.setdefault(module, [part.new_zeros(part.shape, dtype=torch.float64) for part in found])
        for total, part in zip(sums[module], found, strict=True):
            total += part

    encoders = [
        encoder for encoder in (model.encoder, model.context_encoder) if encoder is not None
    ]
    hooks = [
        layer.get_submodule(place.down).register_forward_pre_hook(add)
        for encoder in encoders
        for layer in layer_list(encoder)
    ]
    try:
        compute_logits(model, table, progress="feed-forwards")
    finally:
        for hook in hooks:
            hook.remove()
    return {
        module: UnitMoments(total / count, products / count - torch.outer(total, total) / count**2)
        for module, (count, total, products) in sums.items()
    }


def _narrowed(
    encoder: PreTrainedModel, place: FeedForward, units: int, moments: dict[nn.Module, UnitMoments]
) -> PreTrainedModel:
    config = copy.deepcopy(encoder.config)
    setattr(config, place.units, units)
    state = dict(encoder.state_dict())
    layers = layer_list(encoder)
    prefix = next(name for name, module in encoder.named_modules() if module is layers)
    for number, layer in enumerate(layers):
        up, down = layer.get_submodule(place.up), layer.get_submodule(place.down)
        assert isinstance(up, nn.Linear)
        assert isinstance(down, nn.Linear)
        kept, weight, bias = fitted(
            down.weight.detach().double(), down.bias.detach().double(), moments[down], units
        )
        at = f"{prefix}.{number}"
        state[f"{at}.{place.up}.weight"] = up.weight.detach()[kept]
        state[f"{at}.{place.up}.bias"] = up.bias.detach()[kept]
        state[f"{at}.{place.down}.weight"] = weight
        state[f"{at}.{place.down}.bias"] = bias
    small = new_encoder(config)
    small.load_state_dict(state)
    return small


def fitted(
    weight: torch.Tensor, bias: torch.Tensor, moments: UnitMoments, units: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The numbers of the most important units (units,), ascending; output weights (H, units) and
    bias (H,) for them, fitted to the outputs of all; of weights (H, U) and a bias (H,)."""
    mean, covariance = moments
    importance = covariance.diag() * weight.square().sum(0)
    order = torch.argsort(importance, descending=True, stable=True)
    kept, gone = order[:units].sort().values, order[units:]
    among = covariance[kept][:, kept]
    # Units that never vary have no variance to take a share of.
    ridge = (RIDGE * among.diag().mean()).clamp(min=torch.finfo(torch.float64).tiny)
    shares = torch.linalg.solve(
        among + ridge * torch.eye(units, dtype=torch.float64), covariance[kept][:, gone]
    )  # (units, U - units): how much of each unit that goes is in each that stays
    new = weight[:, kept] + weight[:, gone] @ shares.T
    return kept, new, bias + weight @ mean - new @ mean[kept]
