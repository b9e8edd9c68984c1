"""Tests of student.encoders: running encoders, cutting and loading them."""

import json
import shutil
import socket

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import (
    AlbertConfig,
    BertModel,
    CanineConfig,
    CanineTokenizer,
)

from data.errors import InputError
from student import encoders
from student.encoders import (
    check_length,
    cut_layers,
    encode,
    encode_in_groups,
    is_unpadded,
    layer_list,
    load_encoder,
    load_tokenizer,
    locate,
    new_encoder,
    set_dropout,
)
from student.model import StudentModel
from student.unpadded import UNPADDED
from tests.student.tiny_configs import tiny_configs

# RoBERTa and MPNet count positions from pad_token_id + 1, so their positions are the ones that
# an encoder without token ids could get wrong.
CONFIGS = tiny_configs(
    *("bert", "roberta", "mpnet", "distilbert", "electra", "deberta", "modernbert"),
    num_hidden_layers=3,
    max_position_embeddings=32,
)
LENGTHS = [5, 12, 1, 9, 12, 3]


@pytest.fixture(params=CONFIGS)
def encoder(request):
    """A small encoder of each architecture, in float64 and without dropout."""
    torch.manual_seed(0)
    return new_encoder(CONFIGS[request.param]).double().eval()


def padded_ids(encoder):
    """(6, 12) random token ids of different lengths, and their mask."""
    generator = torch.Generator().manual_seed(1)
    mask = (torch.arange(12)[None] < torch.tensor(LENGTHS)[:, None]).long()
    ids = torch.randint(5, 40, (6, 12), generator=generator)
    return torch.where(mask.bool(), ids, encoder.config.pad_token_id or 0), mask


def gradients(encoder, states, mask):
    """Name → gradient of a sum of the real tokens' states with fixed random weights."""
    weights = torch.rand(
        states.shape, dtype=states.dtype, generator=torch.Generator().manual_seed(2)
    )
    encoder.zero_grad()
    (states * weights * mask[..., None]).sum().backward()
    return {name: value.grad.clone() for name, value in encoder.named_parameters()}


@pytest.mark.parametrize("group_size", [1, 2, 16])
def test_encoding_in_groups_equals_one_padded_pass(encoder, group_size):
    """Also for encoders that count positions by token id, which get embeddings here."""
    ids, mask = padded_ids(encoder)
    plain = encoder(input_ids=ids, attention_mask=mask).last_hidden_state
    grouped = encode_in_groups(encoder, ids, LENGTHS, group_size)
    torch.testing.assert_close(grouped, plain * mask[..., None], rtol=0, atol=1e-6)


@pytest.mark.parametrize("group_size", [1, 2, 16])
def test_encoding_in_groups_gives_the_gradients_of_one_padded_pass(encoder, group_size):
    ids, mask = padded_ids(encoder)
    plain = gradients(encoder, encoder(input_ids=ids, attention_mask=mask).last_hidden_state, mask)
    grouped = gradients(encoder, encode_in_groups(encoder, ids, LENGTHS, group_size), mask)
    assert any("word_embeddings" in name or "tok_embeddings" in name for name in grouped)
    assert grouped.keys() == plain.keys()
    for name, gradient in grouped.items():
        torch.testing.assert_close(gradient, plain[name], rtol=1e-5, atol=1e-6, msg=name)


def test_real_token_states_differ_by_position(encoder):
    """Were all positions alike, equal states would not show that the positions are right."""
    ids = torch.full((1, 6), 7)
    ids[0, 0] = 9
    states = encode_in_groups(encoder, ids, [6])
    assert (states[0, 2] - states[0, 5]).abs().max() > 1e-6


def test_a_sequence_of_length_0_is_left_out_and_gives_zeros(encoder):
    """A row without a context must not cost a forward, nor give what its padding says."""
    ids, _ = padded_ids(encoder)
    states = encode(encoder, ids, [5, 0, 1, 9, 0, 3])
    assert (states[[1, 4]] == 0).all()
    alone = encode(encoder, ids[[0, 2, 3, 5]], [5, 1, 9, 3])
    torch.testing.assert_close(states[[0, 2, 3, 5]], alone, rtol=0, atol=1e-6)


def test_an_encoder_that_mixes_tokens_elsewhere_runs_in_groups():
    """Its attention to places knows none of a flat list."""
    encoder = new_encoder(CONFIGS["deberta"]).double().eval()
    assert not is_unpadded(encoder)
    ids, mask = padded_ids(encoder)
    plain = encoder(input_ids=ids, attention_mask=mask).last_hidden_state
    answer = encode(encoder, ids, LENGTHS)
    torch.testing.assert_close(answer, plain * mask[..., None], rtol=0, atol=1e-6)


@pytest.mark.parametrize("kind", CONFIGS)
def test_every_family_is_built_where_there_is_a_gpu(kind, monkeypatch):
    """Not all have sdpa."""
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    encoder = new_encoder(CONFIGS[kind])
    assert is_unpadded(encoder) == (kind != "deberta")


def test_a_sequence_is_padded_only_to_the_longest_of_its_group():
    encoder = new_encoder(CONFIGS["bert"]).eval()
    widths = []
    encoder.register_forward_pre_hook(
        lambda module, args, kwargs: widths.append(tuple(kwargs["inputs_embeds"].shape[:2])),
        with_kwargs=True,
    )
    encode_in_groups(encoder, padded_ids(encoder)[0], LENGTHS, 2)
    assert widths == [(2, 12), (2, 9), (2, 3)]


def test_the_embedding_is_looked_up_once_for_all_groups():
    """A look-up a group would sum one dense gradient of the whole vocabulary a group."""
    encoder = new_encoder(CONFIGS["bert"]).eval()
    calls = []
    encoder.get_input_embeddings().register_forward_hook(lambda *_: calls.append(1))
    encode_in_groups(encoder, padded_ids(encoder)[0], LENGTHS, 1)
    assert len(calls) == 1


@pytest.mark.parametrize("kind", ["bert", "roberta"])
def test_an_encoder_has_no_pooler(kind, tmp_path):
    """Its output is never used, and DDP stops at parameters without a gradient."""
    with_pooler = {"bert": BertModel}.get(kind)
    fresh = new_encoder(CONFIGS[kind])
    assert not [name for name, _ in fresh.named_parameters() if "pool" in name]
    if with_pooler:
        with_pooler(CONFIGS[kind]).save_pretrained(tmp_path)
    else:
        fresh.save_pretrained(tmp_path)
    loaded = load_encoder(str(tmp_path))
    assert not [name for name, _ in loaded.named_parameters() if "pool" in name]


@pytest.mark.parametrize("kind", ["bert", "roberta", "mpnet", "distilbert", "electra", "deberta"])
@pytest.mark.parametrize("layers", [[0, 2], [2, 0], [1]], ids=str)
def test_a_cut_encoder_answers_like_the_full_one_run_through_the_chosen_layers(kind, layers):
    torch.manual_seed(0)
    full = new_encoder(CONFIGS[kind]).eval()
    small = cut_layers(full, layers).eval()
    ids, mask = padded_ids(full)
    answer = small(input_ids=ids, attention_mask=mask).last_hidden_state
    assert len(layer_list(full)) == full.config.num_hidden_layers == 3
    modules = layer_list(full)
    kept = [modules[layer] for layer in layers]
    del modules[len(layers) :]
    for place, module in enumerate(kept):
        modules[place] = module
    expected = full(input_ids=ids, attention_mask=mask).last_hidden_state
    torch.testing.assert_close(answer, expected, rtol=0, atol=1e-6)


def test_a_cut_encoder_holds_exactly_the_chosen_layers_weights():
    torch.manual_seed(0)
    full = new_encoder(CONFIGS["bert"])
    for name, value in full.named_parameters():
        nn.init.normal_(value, mean=float(len(name)))
    small = cut_layers(full, [2, 0])
    before, after = full.state_dict(), small.state_dict()
    for name, value in after.items():
        source = name
        for new, old in enumerate([2, 0]):
            if name.startswith(f"encoder.layer.{new}."):
                source = name.replace(f"layer.{new}.", f"layer.{old}.", 1)
        assert torch.equal(value, before[source]), name
    assert small.config.num_hidden_layers == 2
    assert full.config.num_hidden_layers == 3


def test_a_cut_encoder_shares_no_weight_with_the_full_one():
    full = new_encoder(CONFIGS["bert"])
    small = cut_layers(full, [1])
    before = full.state_dict()["encoder.layer.1.output.dense.weight"].clone()
    nn.init.zeros_(small.encoder.layer[0].output.dense.weight)
    assert torch.equal(full.state_dict()["encoder.layer.1.output.dense.weight"], before)


@pytest.mark.parametrize("kind", ["bert", "distilbert"])
def test_a_cut_encoder_reloads_at_its_reduced_depth(kind, tmp_path):
    small = cut_layers(new_encoder(CONFIGS[kind]), [0, 2])
    small.save_pretrained(tmp_path)
    loaded = load_encoder(str(tmp_path))
    assert len(layer_list(loaded)) == 2
    for name, value in small.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], value), name


def test_kinds_of_layer_follow_the_chosen_layers():
    full = new_encoder(CONFIGS["modernbert"])
    assert full.config.layer_types == ["full_attention", "sliding_attention", "sliding_attention"]
    small = cut_layers(full, [0, 2])
    assert small.config.layer_types == ["full_attention", "sliding_attention"]


@pytest.mark.parametrize("layers", [[0, 5], [-1], []], ids=str)
def test_a_layer_that_does_not_exist_is_named(layers, tiny_encoder):
    with pytest.raises(InputError, match=r"layers: \[.*\]: choose from 0 to 1"):
        load_encoder(str(tiny_encoder), layers)


def test_chosen_layers_are_cut_on_loading(tiny_encoder):
    cut = load_encoder(str(tiny_encoder), [1]).state_dict()
    full = load_encoder(str(tiny_encoder)).state_dict()
    name = "encoder.layer.{}.attention.self.query.weight"
    assert torch.equal(cut[name.format(0)], full[name.format(1)])
    assert name.format(1) not in cut


def test_the_folder_of_a_student_is_that_of_its_encoder(tiny_model):
    """Such as kd shrink writes: a student may start from it."""
    student = StudentModel.from_pretrained(tiny_model).encoder
    for layers, expected in ((None, student), ([1], cut_layers(student, [1]))):
        encoder = load_encoder(str(tiny_model), layers)
        assert type(encoder) is type(student)
        assert encoder.config._attn_implementation == UNPADDED
        assert encoder.state_dict().keys() == expected.state_dict().keys()
        for name, values in expected.state_dict().items():
            torch.testing.assert_close(encoder.state_dict()[name], values, rtol=0, atol=0)
    with pytest.raises(InputError, match=r"200 is more than encoder .* can read: give at most 128"):
        check_length(str(tiny_model), 200)


@pytest.mark.parametrize("layers", [None, [1]], ids=["whole", "cut"])
def test_an_encoder_stored_in_half_precision_is_loaded_in_float32(layers, tmp_path):
    new_encoder(CONFIGS["bert"]).half().save_pretrained(tmp_path)
    loaded = load_encoder(str(tmp_path), layers)
    assert {value.dtype for value in loaded.parameters()} == {torch.float32}


def test_an_encoder_that_is_not_there_is_named_with_the_cure():
    with pytest.raises(InputError, match=r"encoder 'no/such/folder': is not there: give a folder"):
        load_encoder("no/such/folder")


def test_a_packaged_encoder_that_is_not_installed_names_its_extra(monkeypatch):
    monkeypatch.setitem(encoders.PACKAGED, "not/in/stalled", "not_an_installed_package")
    with pytest.raises(InputError, match=r"'not/in/stalled': is not there: install the extra"):
        load_encoder("not/in/stalled")


def test_a_folder_without_weights_is_an_error(tiny_encoder, tmp_path):
    shutil.copy(tiny_encoder / "config.json", tmp_path)
    with pytest.raises(InputError, match=r"holds no model\.safetensors"):
        load_encoder(str(tmp_path))


def test_a_configuration_that_is_no_json_is_an_error(tmp_path):
    (tmp_path / "config.json").write_text("{no", encoding="utf-8")
    with pytest.raises(InputError, match=r"encoder .*: is not there"):
        load_encoder(str(tmp_path))


def test_weights_of_another_shape_are_an_error(tiny_encoder, tmp_path):
    shutil.copytree(tiny_encoder, tmp_path / "encoder")
    config = json.loads((tiny_encoder / "config.json").read_text(encoding="utf-8"))
    config["intermediate_size"] = 48
    (tmp_path / "encoder" / "config.json").write_text(json.dumps(config), encoding="utf-8")
    with pytest.raises(InputError, match=r"encoder .*weights"):
        load_encoder(str(tmp_path / "encoder"))


def test_missing_weights_are_an_error(tiny_encoder, tmp_path):
    """Otherwise the missing layer is drawn at random, and training starts from noise."""
    folder = tmp_path / "encoder"
    shutil.copytree(tiny_encoder, folder)
    weights = load_file(folder / "model.safetensors")
    kept = {name: value for name, value in weights.items() if "layer.1." not in name}
    assert len(kept) < len(weights)
    save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(InputError, match=r"encoder .*weights"):
        load_encoder(str(folder))


def test_a_truncated_weights_file_is_an_error(tiny_encoder, tmp_path):
    folder = tmp_path / "encoder"
    shutil.copytree(tiny_encoder, folder)
    whole = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"encoder .*weights"):
        load_encoder(str(folder))


def test_the_packaged_encoder_is_found_without_network(minilm, monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    name = "sentence-transformers/all-MiniLM-L6-v2"
    assert locate(name) == str(minilm)
    assert load_encoder(name, [0]).config.hidden_size == 384
    assert len(load_tokenizer(name)) == 30522


def test_a_name_that_is_no_folder_and_not_packaged_stays_a_hub_id():
    assert locate("owner/some-encoder") == "owner/some-encoder"


def test_a_folder_without_a_tokenizer_is_an_error(tiny_encoder, tmp_path):
    """Otherwise an empty vocabulary is made up, and every word is unknown."""
    for name in ("config.json", "model.safetensors"):
        shutil.copy(tiny_encoder / name, tmp_path)
    with pytest.raises(InputError, match=r"encoder .*tokenizer"):
        load_tokenizer(str(tmp_path))


def test_a_tokenizer_without_offsets_is_an_error(tmp_path):
    """Rationales are characters of the text, so each token must say where it stands."""
    CanineConfig().save_pretrained(tmp_path)
    CanineTokenizer().save_pretrained(tmp_path)
    with pytest.raises(InputError, match="gives no offsets: use a fast one"):
        load_tokenizer(str(tmp_path))


def test_every_rate_of_dropout_is_set_whole_numbers_too():
    config = AlbertConfig(hidden_dropout_prob=0, attention_probs_dropout_prob=0)
    set_dropout(config, 0.25)
    assert config.hidden_dropout_prob == config.attention_probs_dropout_prob == 0.25
    assert config.classifier_dropout_prob == 0.1
