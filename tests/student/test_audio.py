"""Tests of student.audio: an AST that is asked by the numbers of clips."""

import numpy as np
import pytest
import torch
from transformers import ASTConfig, ASTFeatureExtractor, ASTModel, BertConfig

from data.errors import InputError
from data.tasks import TaskSpec
from student.audio import check_frames, on_clips
from student.encoders import encode, load_encoder, load_tokenizer
from student.model import StudentModel
from teachers.building import heard, new_hearing_teacher

MEAN, STD = -3.0, 2.0


@pytest.fixture(scope="module")
def ast():
    """An AST of 64 frames and 32 mel bins, patches of 8 by 8: 8 columns in 4 bands."""
    torch.manual_seed(0)
    model = ASTModel(
        ASTConfig(
            hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32,
            max_length=64, num_mel_bins=32, patch_size=8, time_stride=8, frequency_stride=8,
        )
    )  # fmt: skip
    for parameter in model.parameters():  # fresh positions are all 0
        torch.nn.init.normal_(parameter, std=0.3)
    return model.eval()


@pytest.fixture(scope="module")
def clips():
    """Features of 20 clips."""
    return np.random.default_rng(0).normal(MEAN, STD, (20, 64, 32)).astype(np.float16)


def audio(ast, clips):
    model = on_clips(ast, frames=clips.shape[1], mean=MEAN, std=STD)
    model.attach(clips)
    return model


@torch.no_grad()
def test_it_says_what_the_ast_says_of_normalised_features(ast, clips):
    """As transformers' own feature extractor normalises."""
    extractor = ASTFeatureExtractor(num_mel_bins=32, max_length=64, mean=MEAN, std=STD)
    values = torch.from_numpy(np.float32(extractor.normalize(clips[[3, 7]].astype(np.float64))))
    expected = ast(values).pooler_output
    states = audio(ast, clips)(inputs_embeds=torch.tensor([[3], [7]])).last_hidden_state
    torch.testing.assert_close(states, expected[:, None], atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_many_clips_are_fetched_a_group_at_a_time(ast, clips):
    """A batch of thousands of clips would fill memory."""
    model, seen = audio(ast, clips), []
    model.ast.register_forward_pre_hook(lambda module, args: seen.append(len(args[0])))
    numbers = torch.arange(20).flip(0)[:, None]
    states = encode(model, numbers, [1] * 20)
    assert seen == [16, 4]
    alone = model(inputs_embeds=torch.tensor([[5]])).last_hidden_state
    torch.testing.assert_close(states[14], alone[0], atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_fewer_frames_keep_the_positions_of_their_patches(ast, clips):
    """Patches lie band by band: cutting off the end of the table would mix up bands."""
    model = audio(ast, clips[:, :24])
    places = ast.embeddings.position_embeddings
    kept = [0, 1, *(2 + 8 * band + column for band in range(4) for column in range(3))]
    assert torch.equal(model.ast.embeddings.position_embeddings, places[:, kept])
    assert model(inputs_embeds=torch.tensor([[0]])).last_hidden_state.shape == (1, 1, 16)


@pytest.mark.parametrize("frames", [7, 65])
def test_a_number_of_frames_that_the_ast_cannot_hear_is_refused(ast, frames):
    with pytest.raises(InputError, match=rf"speech.frames: {frames}: the encoder hears 8 to 64"):
        on_clips(ast, frames=frames, mean=0.0, std=1.0)


def test_an_encoder_that_reads_is_refused():
    with pytest.raises(InputError, match=r"of type 'bert' hears no speech: give an Audio"):
        check_frames(BertConfig(), 64)


def test_without_clips_it_says_so(ast):
    with pytest.raises(ValueError, match=r"attach them first"):
        on_clips(ast, frames=64, mean=MEAN, std=STD)(inputs_embeds=torch.tensor([[0]]))


@pytest.fixture
def teacher(ast, tmp_path):
    ast.save_pretrained(tmp_path / "ast")
    spec = TaskSpec("mood", classes=("sad", "glad"), has_context=True, has_rationale=True)
    return new_hearing_teacher(
        spec, encoder=str(tmp_path / "ast"), layers=[1], frames=24, mean=MEAN, std=STD,
        head="two_layer", dropout=0.1, encoder_dropout=0.3,
    )  # fmt: skip


def test_a_hearing_teacher_reads_no_context_and_quotes_nothing(teacher):
    assert teacher.specs == [heard(TaskSpec("mood", classes=("sad", "glad")))]
    assert teacher.attention is None
    assert teacher.heads["mood"].rationale is None


def test_its_layers_and_dropout_are_those_asked_for(teacher, ast):
    assert len(teacher.encoder.ast.layers) == 1
    kept, first = teacher.encoder.ast.layers[0].mlp.fc1, ast.layers[1].mlp.fc1
    assert torch.equal(kept.weight, first.weight)
    assert teacher.encoder.ast.config.hidden_dropout_prob == 0.3


@torch.no_grad()
def test_a_saved_teacher_says_the_same_and_holds_no_clips(teacher, clips, tmp_path):
    teacher.eval().encoder.attach(clips[:, :24])
    asked = (torch.tensor([[2], [9]]), torch.ones(2, 1, dtype=torch.long))
    said = teacher(*asked).logits["mood"]
    teacher.save_pretrained(tmp_path / "teacher")
    again = StudentModel.from_pretrained(tmp_path / "teacher")
    assert (again.config.encoder.mean, again.config.encoder.std) == (MEAN, STD)
    assert not any("clips" in name for name in again.state_dict())
    again.encoder.attach(clips[:, :24])
    assert torch.equal(again(*asked).logits["mood"], said)


def test_a_model_of_clips_reads_no_text(teacher, tmp_path):
    teacher.save_pretrained(tmp_path / "teacher")
    for folder in ("ast", "teacher"):
        with pytest.raises(InputError, match=r"hears clips and reads no text"):
            load_tokenizer(str(tmp_path / folder))


def test_an_ast_with_a_classifier_on_it_is_loaded_without(ast, tmp_path):
    """As MIT/ast-finetuned-audioset-10-10-0.4593 is."""
    from transformers import ASTForAudioClassification

    whole = ASTForAudioClassification(ast.config)
    whole.save_pretrained(tmp_path)
    found = load_encoder(str(tmp_path))
    expected = whole.audio_spectrogram_transformer.state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in found.state_dict().items())
