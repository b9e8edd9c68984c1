"""Tests of kd.optimization: parameter groups and rates against numbers computed by hand."""

import pytest
import torch
from transformers import BertConfig, BertModel

from kd.optimization import depths, new_optimizer, parameter_groups, rate_factor, set_rates
from student.encoders import new_encoder
from student.model import new_student
from student.word_vectors import WordVectorConfig


def settings_by_name(model):
    """Parameter name → (rate over the heads' rate, weight decay)."""
    groups = parameter_groups(model, learning_rate=1.0, layer_decay=0.9, weight_decay=0.01)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    return {
        names[id(parameter)]: (group["lr"], group["weight_decay"])
        for group in groups
        for parameter in group["params"]
    }


@pytest.mark.parametrize(
    ("part", "factor"),
    [
        ("heads.", 1.0),
        ("attention.", 1.0),
        ("encoder.encoder.layer.1.", 0.9),
        ("encoder.encoder.layer.0.", 0.81),
        ("encoder.embeddings.", 0.729),
    ],
)
def test_each_layer_learns_at_nine_tenths_of_the_one_above(mood, reply, new_model, part, factor):
    found = settings_by_name(new_model(mood, reply))
    rates = [rate for name, (rate, _) in found.items() if name.startswith(part)]
    assert rates
    assert rates == pytest.approx([factor] * len(rates))


def test_the_factors_of_twelve_layers_go_down_to_a_quarter(mood):
    """1 for what is new, .9 and .81 for the two layers at the top, .282 for the lowest of twelve
    and .254 for the embeddings; there is no pooler, to which Clark et al. (2019) give a step."""
    encoder = BertModel(
        BertConfig(
            vocab_size=9, hidden_size=8, num_hidden_layers=12, num_attention_heads=1,
            intermediate_size=8, max_position_embeddings=9,
        ),
        add_pooling_layer=False,
    )  # fmt: skip
    model = new_student(
        encoder, [mood], pooling="mean", head="linear", attention_heads=1, dropout=0.0,
        max_tokens=8,
    )  # fmt: skip
    found = settings_by_name(model)
    parts = ["heads.", *(f"encoder.encoder.layer.{n}." for n in range(11, -1, -1))]
    factors = [
        {round(rate, 3) for name, (rate, _) in found.items() if name.startswith(part)}
        for part in (*parts, "encoder.embeddings.")
    ]
    assert factors == [{round(0.9**step, 3)} for step in range(14)]
    assert [factors[0], factors[1], factors[2]] == [{1.0}, {0.9}, {0.81}]
    assert factors[-2:] == [{0.282}, {0.254}]


def test_biases_and_normalisation_weights_are_not_decayed_and_matrices_are(mood, reply, new_model):
    for name, (_, decay) in settings_by_name(new_model(mood, reply)).items():
        exempt = name.endswith(".bias") or "LayerNorm" in name
        assert decay == (0.0 if exempt else 0.01), name


def test_every_trainable_parameter_is_in_exactly_one_group(mood, reply, new_model):
    model = new_model(mood, reply)
    model.encoder.get_input_embeddings().weight.requires_grad_(False)
    groups = parameter_groups(model, learning_rate=1.0, layer_decay=0.9, weight_decay=0.01)
    grouped = [id(parameter) for group in groups for parameter in group["params"]]
    trainable = {id(parameter) for parameter in model.parameters() if parameter.requires_grad}
    assert len(grouped) == len(set(grouped))
    assert set(grouped) == trainable


def test_depths_name_every_parameter_of_the_model(mood, reply, new_model):
    model = new_model(mood, reply)
    assert depths(model).keys() == dict(model.named_parameters()).keys()


@pytest.mark.parametrize(
    ("progress", "factor"), [(0.0, 0.0), (0.05, 0.5), (0.1, 1.0), (0.55, 0.5), (1.0, 0.0)]
)
def test_the_rate_rises_over_the_warmup_and_falls_to_zero(progress, factor):
    assert rate_factor(progress, warmup=0.1) == pytest.approx(factor)


def test_without_warmup_the_rate_starts_at_its_peak():
    assert rate_factor(0.0, warmup=0.0) == 1.0


def test_setting_rates_keeps_the_layers_proportions(mood, new_model):
    optimizer = new_optimizer(
        new_model(mood), learning_rate=1e-3, layer_decay=0.5, weight_decay=0.01
    )
    peaks = [group["lr"] for group in optimizer.param_groups]
    for factor in (0.1, 0.7):  # a second call must not multiply the first
        set_rates(optimizer, factor)
        rates = [group["lr"] for group in optimizer.param_groups]
        assert rates == pytest.approx([peak * factor for peak in peaks])
    assert max(peaks) == 1e-3
    assert isinstance(optimizer, torch.optim.AdamW)


@pytest.mark.parametrize(
    ("kind", "steps"),
    [
        ("mlp", {"words.weight": 1}),
        ("cnn", {"words.weight": 2, "layers.0.of_width.5.bias": 1}),
        ("bilstm", {"words.weight": 2, "layers.0.cells.weight_hh_l0_reverse": 1}),
        (
            "conv_lstm",
            {
                "words.weight": 3,
                "layers.0.of_width.3.weight": 2,
                "layers.1.cells.weight_ih_l0": 1,
            },
        ),
    ],
)
def test_on_word_vectors_rates_fall_from_the_heads_to_the_vectors(mood, kind, steps):
    model = new_student(
        new_encoder(WordVectorConfig(kind, 40, 6)), [mood],
        pooling="mean", head="linear", attention_heads=1, dropout=0.0, max_tokens=8,
    )  # fmt: skip
    found = depths(model)
    assert found["heads.mood.label.weight"] == 0
    for name, depth in steps.items():
        assert found[f"encoder.{name}"] == depth
