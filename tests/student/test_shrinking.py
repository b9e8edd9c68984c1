"""Tests of student.shrinking: what a cut student answers, against one that never had the rest."""

import pytest
import torch
from transformers import (
    BertConfig,
    ModernBertConfig,
)

from data.encoding import EncodedTable
from data.errors import InputError
from data.ragged import Ragged
from data.tasks import TaskSpec
from student.encoders import cut_layers, layer_list, new_encoder
from student.inference import compute_logits
from student.model import StudentModel, new_student
from student.shrinking import (
    FEED_FORWARDS,
    UnitMoments,
    fitted,
    keep_layers,
    keep_pieces,
    keep_units,
)
from tests.student.tiny_configs import sizes_of, tiny_configs

SIZES = sizes_of(vocab_size=200, max_position_embeddings=32)
CONFIGS = tiny_configs(
    *("bert", "roberta", "electra", "deberta", "distilbert"),
    vocab_size=200,
    max_position_embeddings=32,
)
REPLY = TaskSpec("reply", classes=("none", "some"), has_context=True, has_rationale=True)


def student_of(config):
    torch.manual_seed(3)
    return new_student(
        new_encoder(config),
        [REPLY],
        pooling="mean",
        head="two_layer",
        attention_heads=2,
        dropout=0.1,
        max_tokens=24,
    ).eval()


@pytest.fixture(params=CONFIGS)
def student(request):
    """A student of each architecture whose feed-forward is known."""
    return student_of(CONFIGS[request.param])


def assert_same(one, two, atol=0.0):
    """Two Logits, within a distance."""
    for old, new in ((one.labels, two.labels), (one.tokens, two.tokens)):
        assert old.keys() == new.keys()
        for name in old:
            values = torch.from_numpy(old[name]), torch.from_numpy(new[name])
            torch.testing.assert_close(*values, rtol=0, atol=atol, equal_nan=True)


def renumbered(table, kept):
    """The table as a tokenizer of the kept ids alone reads it."""
    place = {old: new for new, old in enumerate(kept)}

    def moved(ragged):
        return Ragged.of([[place[n] for n in ragged.row(r).tolist()] for r in range(len(table))])

    fields = {**vars(table), "texts": moved(table.texts), "contexts": moved(table.contexts)}
    return EncodedTable(**fields)


def test_a_student_of_fewer_layers_is_one_built_with_these_layers(make_student, table):
    whole = make_student()
    short = keep_layers(whole, [1])
    built = new_student(
        cut_layers(whole.encoder, [1]),
        whole.specs,
        pooling="mean",
        head="two_layer",
        attention_heads=2,
        dropout=0.1,
        max_tokens=24,
    ).eval()
    for part in ("attention", "heads"):
        getattr(built, part).load_state_dict(getattr(whole, part).state_dict())
    assert_same(compute_logits(short, table), compute_logits(built, table))
    assert len(layer_list(short.encoder)) == short.config.encoder.num_hidden_layers == 1
    assert len(layer_list(whole.encoder)) == 2


def test_all_layers_in_their_order_are_the_whole_student(make_student, table):
    whole = make_student(separate=True)
    assert_same(compute_logits(keep_layers(whole, [0, 1]), table), compute_logits(whole, table))
    other = compute_logits(keep_layers(whole, [1, 0]), table)
    assert abs(other.labels["empathy"] - compute_logits(whole, table).labels["empathy"]).max() > 0


def test_a_layer_that_is_not_there_is_named(make_student):
    with pytest.raises(InputError, match=r"layers: \[0, 2\]: choose from 0 to 1"):
        keep_layers(make_student(), [0, 2])


def test_texts_of_kept_pieces_are_answered_exactly_as_before(student, table):
    used = {0, 1, *table.texts.values.tolist(), *table.contexts.values.tolist()}
    kept = sorted(used)
    small = keep_pieces(student, kept)
    answers = compute_logits(small, renumbered(table, kept))
    assert_same(answers, compute_logits(student, table))
    assert small.config.encoder.vocab_size == len(kept) < 100
    assert small.get_input_embeddings().weight.shape[0] == len(kept)


def test_the_configuration_names_special_pieces_by_their_new_number():
    config = BertConfig(**SIZES, pad_token_id=4, bos_token_id=9, eos_token_id=7)
    small = keep_pieces(student_of(config), [2, 4, 9]).config.encoder
    assert (small.pad_token_id, small.bos_token_id, small.eos_token_id) == (1, 2, None)


def test_pieces_without_a_row_are_refused():
    with pytest.raises(InputError, match="a piece 200, the encoder rows up to 199"):
        keep_pieces(student_of(CONFIGS["bert"]), [0, 1, 200])


@torch.no_grad()
def silence(student, units):
    """Have some units of every feed-forward give nothing to the output."""
    place = FEED_FORWARDS[student.config.encoder.model_type]
    for layer in layer_list(student.encoder):
        layer.get_submodule(place.down).weight[:, units] = 0


def test_units_that_give_nothing_are_cut_without_any_change(student, table):
    silence(student, [1, 2, 3, 5, 8, 13, 21])
    before = compute_logits(student, table)
    small = keep_units(student, 17, table)
    assert_same(compute_logits(small, table), before, atol=1e-6)
    place = FEED_FORWARDS[student.config.encoder.model_type]
    assert getattr(small.config.encoder, place.units) == 17
    for layer in layer_list(small.encoder):
        assert layer.get_submodule(place.up).weight.shape == (17, 16)
    parameters = [sum(v.numel() for v in model.parameters()) for model in (student, small)]
    assert parameters[0] - parameters[1] == 2 * 7 * (16 + 1 + 16)


def test_both_encoders_of_two_are_cut(make_student, table):
    whole = make_student(separate=True)
    small = keep_units(whole, 40, table)
    for encoder in (small.encoder, small.context_encoder):
        assert layer_list(encoder)[1].output.dense.weight.shape == (32, 40)
    torch.testing.assert_close(
        compute_logits(small, table).labels["empathy"],
        compute_logits(whole, table).labels["empathy"],
        rtol=0,
        atol=0.05,
    )


def test_cutting_leaves_the_whole_student_as_it_was(make_student, table):
    whole = make_student()
    before = compute_logits(whole, table)
    keep_units(whole, 3, table)
    keep_layers(whole, [0])
    assert_same(compute_logits(whole, table), before)
    assert all(not layer.output.dense._forward_pre_hooks for layer in whole.encoder.encoder.layer)


def moments(mean, covariance):
    as_numbers = torch.tensor(mean, dtype=torch.float64)
    return UnitMoments(as_numbers, torch.tensor(covariance, dtype=torch.float64))


def test_the_units_that_vary_most_in_the_output_stay_and_means_go_into_the_bias():
    """Importances 4 x 1, 1 x 9 and 9 x 0.25; unit 2, which is told by no other, has mean 2."""
    found = moments([1.0, 5.0, 2.0], [[4.0, 0, 0], [0, 1.0, 0], [0, 0, 9.0]])
    weight = torch.tensor([[1.0, 3.0, 0.5]], dtype=torch.float64)
    kept, new, bias = fitted(weight, torch.tensor([0.1], dtype=torch.float64), found, 2)
    assert kept.tolist() == [0, 1]
    torch.testing.assert_close(new, weight[:, :2])
    torch.testing.assert_close(bias, torch.tensor([0.1 + 0.5 * 2], dtype=torch.float64))


def test_a_unit_that_stays_takes_over_what_it_tells_of_one_that_goes():
    """Unit 0 varies by 4, unit 1 half as far and always with it: it goes up 1 where 0 goes up 2."""
    found = moments([3.0, 1.0], [[4.0, 2.0], [2.0, 1.0]])
    weight = torch.tensor([[1.0, 1.0], [0.0, 2.0]], dtype=torch.float64)
    kept, new, bias = fitted(weight, torch.zeros(2, dtype=torch.float64), found, 1)
    assert kept.tolist() == [1]  # 1 x (1 + 4) is more than 4 x 1
    torch.testing.assert_close(
        new, torch.tensor([[3.0], [2.0]], dtype=torch.float64), rtol=0, atol=2e-3
    )
    # Means are kept exactly: 3 + 1 and 2, whatever the ridge does to the weights.
    torch.testing.assert_close(new[:, 0] * 1.0 + bias, torch.tensor([4.0, 2.0]).double())


def test_units_that_never_vary_leave_only_their_mean():
    found = moments([3.0, 1.0], [[0.0, 0.0], [0.0, 0.0]])
    weight = torch.tensor([[1.0, 1.0]], dtype=torch.float64)
    kept, new, bias = fitted(weight, torch.zeros(1, dtype=torch.float64), found, 1)
    assert (kept.tolist(), new.tolist(), bias.tolist()) == ([0], [[1.0]], [1.0])


@pytest.mark.parametrize("units", [0, 64, 65])
def test_a_number_of_units_that_cuts_nothing_is_refused(units, make_student, table):
    with pytest.raises(InputError, match=f"units: {units}: choose from 1 to 63 in 'bert'"):
        keep_units(make_student(), units, table)


def test_an_architecture_that_is_not_known_is_refused(table):
    tokens = {"pad_token_id": 0, "cls_token_id": 1, "sep_token_id": 2}
    tokens |= {"bos_token_id": 1, "eos_token_id": 2}
    student = student_of(ModernBertConfig(**SIZES, **tokens))
    with pytest.raises(InputError, match="encoder of kind 'modernbert' is none of bert, camembert"):
        keep_units(student, 8, table)


def test_a_student_cut_in_all_three_ways_is_loaded_as_it_was_saved(make_student, table, tmp_path):
    small = keep_units(keep_layers(make_student(), [1]), 9, table)
    kept = sorted({0, *table.texts.values.tolist(), *table.contexts.values.tolist()})
    small = keep_pieces(small, kept)
    small.save_pretrained(tmp_path)
    loaded = StudentModel.from_pretrained(tmp_path).eval()
    own = renumbered(table, kept)
    # Where its weights lie in memory decides how a matrix product is rounded.
    assert_same(compute_logits(loaded, own), compute_logits(small, own), atol=1e-6)
