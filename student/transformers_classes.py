"""One task of a student as a plain class of transformers, where one computes the very same.

Most do not: their classifiers read the first token alone, and put a tanh or a norm before the
last layer, where a student's head has a ReLU or nothing.
"""

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from transformers import (
    AutoModelForTokenClassification,
    DebertaV2ForSequenceClassification,
    DistilBertConfig,
    DistilBertForSequenceClassification,
    PreTrainedConfig,
    PreTrainedModel,
)

from data.tasks import TaskSpec
from student.heads import TaskHead
from student.model import StudentModel

# What DistilBERT's norms add to a variance; its configuration can't say otherwise.
DISTILBERT_EPSILON = 1e-12
# Parts of a BERT layer's names → of a DistilBERT layer's; the longer ones first.
DISTILBERT_NAMES = {
    "encoder.layer.": "transformer.layer.",
    "attention.self.query": "attention.q_lin",
    "attention.self.key": "attention.k_lin",
    "attention.self.value": "attention.v_lin",
    "attention.output.dense": "attention.out_lin",
    "attention.output.LayerNorm": "sa_layer_norm",
    "intermediate.dense": "ffn.lin1",
    "output.dense": "ffn.lin2",
    "output.LayerNorm": "output_layer_norm",
}


class NoSuchClassError(ValueError):
    """Why no class of transformers computes what a head does, as the rest of a sentence."""


def as_classifier(model: StudentModel, spec: TaskSpec) -> PreTrainedModel:
    """A sequence classifier with the task's logits, or a regressor with its values.

    Raises NoSuchClassError where there is none.
    """
    _check_text_only(spec)
    kind = model.config.encoder.model_type
    if model.config.pooling != "cls":
        raise NoSuchClassError(
            f"its head pools by {model.config.pooling!r}, and such classes read the first token"
        )
    if kind not in CLASSIFIERS:
        raise NoSuchClassError(f"the classifier of {kind!r} has a tanh, a GELU or a norm")
    head = model.heads[spec.name]
    assert isinstance(head, TaskHead)
    classifier = CLASSIFIERS[kind](model.encoder, head, _labels(spec))
    last: Any = classifier.classifier
    with torch.no_grad():
        scale, low = (1.0, 0.0) if spec.classes else (spec.high - spec.low, spec.low)
        last.weight.copy_(head.label.weight * scale)
        last.bias.copy_(head.label.bias * scale + low)
    return classifier.eval()


def as_tagger(model: StudentModel, spec: TaskSpec) -> PreTrainedModel:
    """A token classifier of O and RATIONALE with the task's rationale probabilities.

    Raises NoSuchClassError where there is none.
    """
    _check_text_only(spec)
    config = copy.deepcopy(model.config.encoder)
    config.update({"id2label": {0: "O", 1: "RATIONALE"}, "label2id": {"O": 0, "RATIONALE": 1}})
    tagger = AutoModelForTokenClassification.from_config(config, attn_implementation="eager")
    base = f"{tagger.base_model_prefix}."
    if [n for n, _ in tagger.named_parameters() if not n.startswith((base, "classifier."))]:
        raise NoSuchClassError(f"{type(tagger).__name__} has a layer more before its last one")
    getattr(tagger, tagger.base_model_prefix).load_state_dict(model.encoder.state_dict())
    head: Any = model.heads[spec.name]
    with torch.no_grad():
        # softmax of (0, z) is the probability whose log-odds are z.
        nn.init.zeros_(tagger.classifier.weight)
        nn.init.zeros_(tagger.classifier.bias)
        tagger.classifier.weight[1] = head.rationale.weight[0]
        tagger.classifier.bias[1] = head.rationale.bias[0]
    return tagger.eval()


def _check_text_only(spec: TaskSpec) -> None:
    if spec.has_context:
        raise NoSuchClassError("it reads a context beside the text")


def _labels(spec: TaskSpec) -> dict[str, Any]:
    """What a configuration says of a task's answers."""
    names = spec.classes or (spec.name,)
    return {
        "id2label": dict(enumerate(names)),
        "label2id": {name: number for number, name in enumerate(names)},
        "problem_type": "single_label_classification" if spec.classes else "regression",
    }


def _distilbert(
    encoder: PreTrainedModel, head: TaskHead, labels: dict[str, Any]
) -> PreTrainedModel:
    """Linear, ReLU and linear on the first token: a head of two layers."""
    if head.dense is None:
        raise NoSuchClassError("its head is one layer, and DistilBERT's classifier has two")
    config = _labelled(encoder.config, labels)
    classifier = DistilBertForSequenceClassification._from_config(
        config, attn_implementation="eager"
    )
    classifier.distilbert.load_state_dict(encoder.state_dict())
    classifier.pre_classifier.load_state_dict(head.dense.state_dict())
    return classifier


def _bert(encoder: PreTrainedModel, head: TaskHead, labels: dict[str, Any]) -> PreTrainedModel:
    """BERT's own classifier has a tanh. DistilBERT's layers are BERT's under other names, and the
    one segment that is ever read is the same for all tokens: it is added to the positions."""
    given: Any = encoder.config
    if given.layer_norm_eps != DISTILBERT_EPSILON:
        raise NoSuchClassError(
            f"as a DistilBERT model, whose head would fit, its norms would add "
            f"{DISTILBERT_EPSILON:g} in place of {given.layer_norm_eps:g}"
        )
    config = DistilBertConfig(
        vocab_size=given.vocab_size,
        max_position_embeddings=given.max_position_embeddings,
        n_layers=given.num_hidden_layers,
        n_heads=given.num_attention_heads,
        dim=given.hidden_size,
        hidden_dim=given.intermediate_size,
        activation=given.hidden_act,
        dropout=given.hidden_dropout_prob,
        attention_dropout=given.attention_probs_dropout_prob,
        pad_token_id=given.pad_token_id,
    )
    state = {}
    for name, values in encoder.state_dict().items():
        for part, other in DISTILBERT_NAMES.items():
            name = name.replace(part, other)
        state[name] = values
    segment = state.pop("embeddings.token_type_embeddings.weight")[0]
    positions = "embeddings.position_embeddings.weight"
    state[positions] = state[positions] + segment
    renamed = DistilBertForSequenceClassification._from_config(config).distilbert
    renamed.load_state_dict(state)
    return _distilbert(renamed, head, labels)


def _deberta(encoder: PreTrainedModel, head: TaskHead, labels: dict[str, Any]) -> PreTrainedModel:
    """A dense layer on the first token with an activation that can be chosen: both heads fit."""
    config: Any = _labelled(encoder.config, labels)
    config.pooler_hidden_act = "linear" if head.dense is None else "relu"
    config.pooler_hidden_size = config.hidden_size
    classifier = DebertaV2ForSequenceClassification._from_config(
        config, attn_implementation="eager"
    )
    classifier.deberta.load_state_dict(encoder.state_dict())
    if head.dense is None:
        nn.init.eye_(classifier.pooler.dense.weight)
        nn.init.zeros_(classifier.pooler.dense.bias)
    else:
        classifier.pooler.dense.load_state_dict(head.dense.state_dict())
    return classifier


def _labelled(config: PreTrainedConfig, labels: dict[str, Any]) -> PreTrainedConfig:
    """A copy of an encoder's configuration that says what is answered."""
    labelled = copy.deepcopy(config)
    labelled.update(labels)
    return labelled


# encoder type → the function that makes a classifier, all but its last layer
CLASSIFIERS: dict[str, Callable[[PreTrainedModel, TaskHead, dict[str, Any]], PreTrainedModel]] = {
    "bert": _bert,
    "distilbert": _distilbert,
    "deberta-v2": _deberta,
}
