"""Tests of teachers.bark: sentences spoken one by one and joined. A stand-in is Bark here,
or a Bark with random weights."""

import json

import numpy as np
import pytest
import torch
from transformers import (
    BarkCoarseConfig,
    BarkConfig,
    BarkFineConfig,
    BarkModel,
    BarkProcessor,
    BarkSemanticConfig,
    BertTokenizerFast,
    EncodecConfig,
)
from transformers.models.bark.generation_configuration_bark import BarkGenerationConfig

from data.errors import InputError
from teachers.bark import check_bark, joined, load_bark, sentences, spoken_by_bark


class Speaker:
    """In Bark's place: a tenth of a second of noise a word, drawn as Bark draws its tokens."""

    device = torch.device("cpu")

    def __init__(self):
        self.said = []
        self.generation_config = self

    def to_dict(self):
        return {"sample_rate": 24_000}

    def to(self, device):
        return self

    def eval(self):
        return self

    def __call__(self, sentence, voice_preset):
        if voice_preset != "v2/en_speaker_6":
            raise FileNotFoundError(voice_preset)
        self.said.append(sentence)
        return {"input_ids": torch.ones(1, len(sentence.split()))}

    def generate(self, input_ids):
        return torch.rand(1, 2400 * input_ids.shape[1])


@pytest.fixture
def speaker(monkeypatch):
    """Stands where Bark's model and processor are loaded."""
    found = Speaker()
    for kind in (BarkModel, BarkProcessor):
        monkeypatch.setattr(kind, "from_pretrained", lambda name: found)
    return found


def speak(texts, **changes):
    options = {"voice": "v2/en_speaker_6", "samples": 10**6} | changes
    return list(spoken_by_bark(texts, "bark", **options))


def test_a_text_is_cut_at_the_ends_of_sentences():
    assert sentences("So sad. Are you ok?  Yes! v2.5 is out") == [
        "So sad.", "Are you ok?", "Yes!", "v2.5 is out",
    ]  # fmt: skip
    assert sentences("  ") == []


def test_a_sentence_has_at_most_45_words():
    words = [str(number) for number in range(100)]
    assert [len(part.split()) for part in sentences(" ".join(words))] == [45, 45, 10]
    assert " ".join(sentences(" ".join(words))).split() == words


def test_clips_are_joined_by_a_quarter_of_a_second_of_silence():
    clip = joined([np.float32([1, 2]), np.float32([3])], rate=8)
    assert clip.tolist() == [1, 2, 0, 0, 3]
    assert joined([], rate=8).tolist() == []


def test_the_clip_of_a_text_is_its_sentences_at_16_khz(speaker):
    (clip,) = speak(["So very sad. Oh no."])
    assert speaker.said == ["So very sad.", "Oh no."]
    assert len(clip) == 16_000 * (0.3 + 0.25 + 0.2)
    assert np.abs(clip[4900:8700]).max() < 0.05  # the silence


def test_a_clip_does_not_depend_on_those_before_it_nor_on_torchs_generator(speaker):
    first = speak(["so sad", "so glad"])
    torch.rand(3)
    (second,) = speak(["so glad"])
    assert second.tobytes() == first[1].tobytes()
    before = torch.get_rng_state()
    speak(["so"])
    assert torch.equal(torch.get_rng_state(), before)


def test_what_would_not_be_heard_is_not_spoken(speaker):
    (clip,) = speak(["So very sad. Oh no."], samples=4800)
    assert speaker.said == ["So very sad."]
    assert len(clip) == 4800
    speaker.said.clear()
    speak(["So very sad. Oh no."], samples=4801)
    assert len(speaker.said) == 2


def test_a_text_without_words_is_silent(speaker):
    (clip,) = speak([" "])
    assert len(clip) == 0


def test_a_voice_that_bark_does_not_have_is_named(speaker):
    with pytest.raises(InputError, match=r"speech.voice: 'mine' is no voice of this Bark: give"):
        speak(["so"], voice="mine")


@pytest.mark.parametrize("look", [check_bark, load_bark])
def test_a_bark_that_is_not_there_is_named(look, tmp_path):
    with pytest.raises(InputError, match=r"speech.bark: '.*empty' can't be loaded: .*: give a"):
        look(str(tmp_path / "empty"))


@pytest.fixture
def random_bark(tmp_path):
    """The folder of a Bark of transformers with random weights, 8 hidden units, and one voice."""
    sizes = {"num_layers": 1, "num_heads": 2, "hidden_size": 8, "block_size": 1024}
    kinds = (
        BarkSemanticConfig(input_vocab_size=129_600, output_vocab_size=10_048, **sizes),
        BarkCoarseConfig(input_vocab_size=12_096, output_vocab_size=12_096, **sizes),
        BarkFineConfig(input_vocab_size=1056, output_vocab_size=1056, **sizes),
        EncodecConfig(num_filters=4, num_lstm_layers=1),
    )
    names = ("semantic_config", "coarse_acoustics_config", "fine_acoustics_config", "codec_config")
    config = BarkConfig(**{n: k.to_dict() for n, k in zip(names, kinds, strict=True)})
    torch.manual_seed(0)
    BarkModel(config).save_pretrained(tmp_path)
    drawn = BarkGenerationConfig()
    drawn.semantic_config.max_new_tokens = 20
    settings = {k: v.to_dict() if hasattr(v, "to_dict") else v for k, v in vars(drawn).items()}
    (tmp_path / "generation_config.json").write_text(json.dumps(settings, default=str))
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "so", "sad"]
    BertTokenizerFast(vocab={p: n for n, p in enumerate(pieces)}).save_pretrained(tmp_path)
    random = np.random.default_rng(0)
    prompts = {
        "semantic_prompt": random.integers(0, 9999, 50),
        "coarse_prompt": random.integers(0, 1023, (2, 75)),
        "fine_prompt": random.integers(0, 1023, (8, 75)),
    }
    for name, values in prompts.items():
        np.save(tmp_path / f"{name}.npy", values)
    voices = {"repo_or_path": "", "v2/en_speaker_6": {name: f"{name}.npy" for name in prompts}}
    (tmp_path / "speaker_embeddings_path.json").write_text(json.dumps(voices))
    return tmp_path


def test_a_bark_of_transformers_speaks_with_a_voice(random_bark):
    """Without its real weights it babbles, but through all four of its models."""
    check_bark(str(random_bark))
    texts = ["So sad. So.", "so"]
    first, second = (
        list(spoken_by_bark(texts, str(random_bark), "v2/en_speaker_6", samples=10**6))
        for _ in range(2)
    )
    assert [clip.tobytes() for clip in first] == [clip.tobytes() for clip in second]
    assert len(first[0]) > len(first[1]) + 4000
    assert all(np.isfinite(clip).all() and np.abs(clip).max() > 0 for clip in first)
