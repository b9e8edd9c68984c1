"""Tests of student.model: what each task may see, gradients, saving, the seeker's encoder."""

import json

import pytest
import torch
from torch import nn
from transformers import (
    AutoModel,
    BertConfig,
    DebertaV2Config,
    DistilBertConfig,
    ModernBertConfig,
    MPNetConfig,
    RobertaConfig,
)

from data.tasks import TaskSpec, load_tasks
from student.encoders import load_encoder, new_encoder
from student.model import StudentModel, new_student

EMPATHY = TaskSpec("empathy", classes=("none", "some"), has_context=True, has_rationale=True)
SENTIMENT = TaskSpec("sentiment", classes=("negative", "positive"))


def ids_of(lengths, width, seed=1):
    """(B, width) random ids on the right of which is padding, and their mask."""
    mask = (torch.arange(width)[None] < torch.tensor(lengths)[:, None]).long()
    ids = torch.randint(5, 90, mask.shape, generator=torch.Generator().manual_seed(seed))
    return ids * mask, mask


def mixed_batch(context_lengths=(7, 0, 3)):
    """Three texts; a context of length 0 is no context."""
    contexts = ids_of(context_lengths, max(1, *context_lengths), seed=2)
    return *ids_of([6, 9, 2], 9), *contexts


def all_values(output):
    return torch.cat([v.flatten() for part in output for v in part.values()])


def backward(model, batch):
    model.zero_grad()
    output = model(*batch)
    weights = torch.rand(all_values(output).shape, generator=torch.Generator().manual_seed(3))
    (all_values(output) * weights).sum().backward()


def assert_same_answers(first, second):
    """Equal weights read from a file lie elsewhere in memory, where sums may round otherwise."""
    expected = all_values(second(*mixed_batch()))
    torch.testing.assert_close(all_values(first(*mixed_batch())), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("separate", [False, True], ids=["shared", "separate"])
def test_another_seeker_changes_only_the_tasks_with_context(make_student, separate):
    model = make_student(separate=separate)
    text, text_mask, seeker, seeker_mask = mixed_batch((7, 4, 3))
    other = torch.where(seeker_mask.bool(), (seeker + 11) % 90, 0)
    first = model(text, text_mask, seeker, seeker_mask)
    second = model(text, text_mask, other, seeker_mask)
    assert (first.logits["empathy"] - second.logits["empathy"]).abs().min() > 1e-7
    rationale = first.rationale_logits["empathy"] - second.rationale_logits["empathy"]
    assert (rationale[text_mask.bool()].abs() > 1e-7).all()
    assert torch.equal(first.logits["sentiment"], second.logits["sentiment"])
    assert torch.equal(first.logits["distress"], second.logits["distress"])


def test_a_rows_seeker_reaches_no_other_row(make_student):
    """A row's place among those with a seeker is not its place in the batch."""
    model = make_student()
    text, text_mask, seeker, seeker_mask = mixed_batch((7, 0, 3))
    other = seeker.clone()
    other[2, :3] = (other[2, :3] + 11) % 90
    first = model(text, text_mask, seeker, seeker_mask).logits["empathy"]
    second = model(text, text_mask, other, seeker_mask).logits["empathy"]
    changed = (first - second).abs().amax(-1) > 1e-7
    assert changed.tolist() == [False, False, True]


@pytest.mark.parametrize("separate", [False, True], ids=["shared", "separate"])
@pytest.mark.parametrize("pooling", ["cls", "mean", "attention"])
def test_padding_changes_no_logit(make_student, separate, pooling):
    model = make_student(separate=separate, pooling=pooling)
    batch = mixed_batch()
    text, text_mask, seeker, seeker_mask = (nn.functional.pad(part, (0, 20)) for part in batch)
    short, long = model(*batch), model(text, text_mask, seeker, seeker_mask)
    for name, values in short.logits.items():
        torch.testing.assert_close(long.logits[name], values, rtol=0, atol=1e-5)
    real = batch[1].bool()
    torch.testing.assert_close(
        long.rationale_logits["empathy"][:, :9][real],
        short.rationale_logits["empathy"][real],
        rtol=0,
        atol=1e-5,
    )


def test_a_row_alone_gets_the_logits_it_gets_in_a_batch(make_student):
    model = make_student()
    batch = mixed_batch()
    together = model(*batch)
    for row in range(3):
        alone = model(*(part[row : row + 1] for part in batch))
        for name, values in alone.logits.items():
            torch.testing.assert_close(values[0], together.logits[name][row], rtol=0, atol=1e-5)


@pytest.mark.parametrize("separate", [False, True], ids=["shared", "separate"])
@pytest.mark.parametrize("pooling", ["cls", "mean", "attention"])
def test_every_parameter_gets_a_gradient_in_a_mixed_batch(make_student, separate, pooling):
    """DDP stops at step two when one does not."""
    model = make_student(separate=separate, pooling=pooling).train()
    backward(model, mixed_batch())
    assert [name for name, value in model.named_parameters() if value.grad is None] == []


@pytest.mark.parametrize("separate", [False, True], ids=["shared", "separate"])
def test_every_parameter_gets_a_gradient_in_a_batch_without_context(make_student, separate):
    model = make_student(separate=separate).train()
    backward(model, mixed_batch((0, 0, 0)))
    assert [name for name, value in model.named_parameters() if value.grad is None] == []
    assert all(value.grad.isfinite().all() for value in model.parameters())


def test_a_student_without_context_tasks_has_no_attention_and_needs_no_context(make_student):
    model = make_student(tasks=[SENTIMENT]).train()
    assert model.attention is None
    backward(model, mixed_batch()[:2])
    assert [name for name, value in model.named_parameters() if value.grad is None] == []


def test_a_task_with_context_without_a_context_argument_is_an_error(make_student):
    with pytest.raises(ValueError, match="needs context_ids and context_mask"):
        make_student()(*mixed_batch()[:2])


def test_logits_are_float32_under_bfloat16_autocast(make_student):
    model = make_student()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = model(*mixed_batch())
    assert {v.dtype for part in output for v in part.values()} == {torch.float32}
    torch.testing.assert_close(
        all_values(output), all_values(model(*mixed_batch())), atol=0.1, rtol=0
    )


def test_a_new_student_starts_from_the_pretrained_encoder(make_student, tiny_encoder):
    model = make_student(separate=True)
    for name, value in load_encoder(str(tiny_encoder)).state_dict().items():
        assert torch.equal(model.encoder.state_dict()[name], value), name
        assert torch.equal(model.context_encoder.state_dict()[name], value), name


def test_a_separate_context_encoder_is_a_second_parameter_set(make_student):
    shared, separate = make_student(), make_student(separate=True)
    encoder_size = sum(value.numel() for value in shared.encoder.parameters())
    assert separate.num_parameters() == shared.num_parameters() + encoder_size
    before = separate.context_encoder.get_input_embeddings().weight.clone()
    nn.init.zeros_(separate.encoder.get_input_embeddings().weight)
    assert torch.equal(separate.context_encoder.get_input_embeddings().weight, before)


def test_a_student_has_one_encoder_and_a_head_for_each_task(tiny_model):
    model = StudentModel.from_pretrained(tiny_model)
    parts = {name.split(".")[0] for name, _ in model.named_parameters()}
    assert parts == {"encoder", "attention", "heads"}
    assert list(model.heads) == [spec.name for spec in model.specs]
    assert len(model.heads) == 5
    sizes = [sum(p.numel() for p in part.parameters()) for part in (model, model.encoder)]
    mood, reply = (
        sum(p.numel() for p in model.heads[name].parameters()) for name in ("mood", "explorations")
    )
    # Two layers of 32 units to 2 and to 3 classes, and the rationale's 33.
    assert (mood, reply) == (32 * 32 + 32 + 66, 32 * 32 + 32 + 99 + 33)
    attention = sum(p.numel() for p in model.attention.parameters())
    assert sizes[0] - sizes[1] - attention == 3 * reply + mood + (32 * 32 + 32 + 33)


def test_a_frozen_seeker_encoder_is_bit_equal_after_an_optimizer_step(make_student):
    model = make_student(separate=True)
    model.freeze_context_encoder()
    model.train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1, weight_decay=0.1)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    backward(model, mixed_batch())
    optimizer.step()
    after = model.state_dict()
    same = {name for name, value in before.items() if torch.equal(after[name], value)}
    assert same == {name for name in before if name.startswith("context_encoder.")}


def test_a_frozen_seeker_encoder_stays_in_evaluation_mode(make_student):
    model = make_student(separate=True)
    model.freeze_context_encoder()
    model.train()
    assert model.encoder.training
    assert not any(module.training for module in model.context_encoder.modules())


def test_a_seeker_encoder_frozen_in_training_mode_drops_nothing_out_at_once(make_student):
    model = make_student(separate=True).train()
    model.freeze_context_encoder()
    assert not model.context_encoder.training


def test_a_seeker_encoder_that_is_not_frozen_trains(make_student):
    model = make_student(separate=True).train()
    assert model.context_encoder.training
    assert not model.eval().context_encoder.training


SIZES = {
    "vocab_size": 90,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "max_position_embeddings": 40,
}


@pytest.mark.parametrize(
    "config",
    [
        BertConfig(**SIZES),
        RobertaConfig(**SIZES, pad_token_id=1),
        MPNetConfig(**SIZES, pad_token_id=1),
        DistilBertConfig(
            vocab_size=90, dim=16, n_layers=2, n_heads=2, hidden_dim=24, max_position_embeddings=40
        ),
        DebertaV2Config(**SIZES, relative_attention=True, pos_att_type=["c2p", "p2c"]),
        ModernBertConfig(
            **SIZES, pad_token_id=0, bos_token_id=1, eos_token_id=2, cls_token_id=1, sep_token_id=2
        ),
    ],
    ids=lambda config: config.model_type,
)
def test_a_saved_student_on_any_encoder_reloads_exactly(config, tmp_path):
    """Buffers that are not in the file (positions, rotary frequencies) must come back too."""
    torch.manual_seed(0)
    model = new_student(
        new_encoder(config),
        [EMPATHY, SENTIMENT],
        pooling="mean",
        head="linear",
        attention_heads=1,
        dropout=0.1,
        max_tokens=24,
    ).eval()
    model.save_pretrained(tmp_path)
    loaded = StudentModel.from_pretrained(tmp_path)
    assert not loaded.training
    for part in ("named_parameters", "named_buffers"):
        before, after = dict(getattr(model, part)()), dict(getattr(loaded, part)())
        assert before.keys() == after.keys()
        for name, value in before.items():
            assert torch.equal(after[name], value), name
    assert_same_answers(loaded, model)


@pytest.mark.parametrize("separate", [False, True], ids=["shared", "separate"])
def test_the_auto_class_loads_a_saved_student(make_student, separate, tmp_path):
    model = make_student(separate=separate)
    if separate:
        nn.init.ones_(model.context_encoder.get_input_embeddings().weight)
    model.save_pretrained(tmp_path)
    loaded = AutoModel.from_pretrained(tmp_path)
    assert type(loaded) is StudentModel
    assert_same_answers(loaded, model)


def test_a_saved_student_writes_its_tasks(make_student, tmp_path):
    model = make_student()
    model.save_pretrained(tmp_path)
    assert load_tasks(tmp_path) == model.specs
    assert StudentModel.from_pretrained(tmp_path).specs == model.specs


def test_a_saved_student_is_safetensors_and_json_alone(make_student, tmp_path):
    """A pickle runs code when it is loaded."""
    make_student().save_pretrained(tmp_path)
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"config.json", "model.safetensors", "tasks.json"}


@pytest.mark.parametrize("separate", [False, True], ids=["shared", "separate"])
def test_a_saved_configuration_names_no_path_of_the_machine(
    make_student, separate, tiny_encoder, tmp_path
):
    make_student(separate=separate).save_pretrained(tmp_path / "first")
    StudentModel.from_pretrained(tmp_path / "first").save_pretrained(tmp_path / "second")
    for folder in ("first", "second"):
        text = (tmp_path / folder / "config.json").read_text(encoding="utf-8")
        assert str(tiny_encoder) not in text
        assert str(tmp_path) not in text


def test_a_saved_configuration_keeps_the_settings_of_the_heads(make_student, tmp_path):
    make_student(pooling="attention").save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text(encoding="utf-8"))
    kept = {name: config[name] for name in ("pooling", "head", "attention_heads", "max_tokens")}
    assert kept == {
        "pooling": "attention",
        "head": "two_layer",
        "attention_heads": 2,
        "max_tokens": 24,
    }


def test_the_same_seed_draws_the_same_heads(make_student):
    first, second = make_student().state_dict(), make_student().state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)
