"""Tests of student.word_encoders: encoders on word vectors by name, and their tokenizers."""

import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from datasets import Dataset

from data.encoding import encode_table
from data.errors import InputError
from student.encoders import check_length, load_encoder, load_encoder_config, load_tokenizer
from student.word_names import KINDS, NamedVectors, below, named_vectors


@pytest.fixture
def vectors(tmp_path):
    """A file of four words."""
    path = tmp_path / "vectors.txt"
    path.write_text("the 1 2\nsad 3 4\n. 5 6\nn't -1 0\n")
    return path


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("cnn:a/b.txt", ("cnn", Path("a/b.txt"), None, False)),
        ("lstm:b.txt.gz:200", ("lstm", Path("b.txt.gz"), 200, False)),
        ("mlp:b.txt:frozen", ("mlp", Path("b.txt"), None, True)),
        ("bilstm:b.txt:9:frozen", ("bilstm", Path("b.txt"), 9, True)),
        ("conv_lstm:random", ("conv_lstm", None, None, False)),
        ("cnn:random:frozen", ("cnn", None, None, True)),
    ],
)
def test_a_name_says_kind_file_rows_and_whether_the_vectors_stay(name, parts):
    assert named_vectors(name) == NamedVectors(*parts)


@pytest.mark.parametrize("name", ["owner/model", "models/cnn", "cnn", "gru:vectors.txt"])
def test_any_other_name_is_not_of_word_vectors(name):
    assert named_vectors(name) is None


@pytest.mark.parametrize(
    "name",
    ["cnn:", "cnn:b:0", "cnn:b:x", "cnn:b:2:3", "cnn:b:frozen:2", "cnn:random:5", "cnn::frozen"],
)
def test_a_name_that_says_something_else_is_refused(name):
    with pytest.raises(InputError, match=f"encoder '{name}': give cnn:FILE or cnn:FILE:ROWS"):
        named_vectors(name)


def test_a_file_is_found_below_the_root_and_else_where_it_was_said_to_be(vectors, tmp_path):
    assert below(tmp_path, "cnn:vectors.txt:3:frozen") == f"cnn:{vectors}:3:frozen"
    assert below(tmp_path, "cnn:other.txt") == "cnn:other.txt"
    assert below(tmp_path, f"cnn:{vectors}") == f"cnn:{vectors}"
    assert below(tmp_path, "cnn:random") == "cnn:random"
    assert below(tmp_path, "owner/model") == "owner/model"


def test_the_vectors_stand_behind_padding_and_the_unknown_word_in_the_order_of_the_file(vectors):
    encoder = load_encoder(f"lstm:{vectors}")
    expected = [[0, 0], [2, 3], [1, 2], [3, 4], [5, 6], [-1, 0]]
    assert encoder.get_input_embeddings().weight.tolist() == expected
    assert load_encoder(f"lstm:{vectors}:2").get_input_embeddings().weight.tolist() == [
        *([0, 0], [2, 3], [1, 2], [3, 4])
    ]
    tokenizer = load_tokenizer(f"lstm:{vectors}")
    words = ["[PAD]", "[UNK]", "the", "sad", ".", "n't"]
    assert tokenizer.convert_ids_to_tokens(list(range(6))) == words
    assert tokenizer.pad_token_id == load_encoder_config(f"lstm:{vectors}").pad_token_id == 0


def test_texts_are_cut_into_words_in_lower_case_with_clitics_and_signs_apart(vectors):
    text = "The SAD-end... Don’t they’re?"
    found = load_tokenizer(f"cnn:{vectors}")(text, return_offsets_mapping=True)
    parts = [text[start:end] for start, end in found["offset_mapping"]]
    assert parts == [
        *("The", "SAD", "-", "end", ".", ".", ".", "Do", "n’t", "they", "’re", "?"),
    ]
    assert found["input_ids"] == [2, 3, 1, 1, 4, 4, 4, 1, 5, 1, 1, 1]


def test_a_text_of_unknown_words_alone_has_a_token_for_each_of_them(vectors):
    rows = Dataset.from_dict(
        {"id": ["a", "b"], "text": ["zz \u200b 7", "\u2764"], "context": ["", "y"]}
    )
    table = encode_table(rows, load_tokenizer(f"cnn:{vectors}"), [], max_tokens=8)
    assert [table.texts.row(n).tolist() for n in (0, 1)] == [[1, 1, 1], [1]]
    assert (table.offsets[:, 1] > table.offsets[:, 0]).all()
    assert table.contexts.lengths.tolist() == [0, 1]


def test_any_length_of_text_can_be_read(vectors):
    check_length(f"cnn:{vectors}", 8192)


def test_vectors_learn_unless_they_are_frozen(vectors):
    for name, learns in ((f"cnn:{vectors}", True), (f"cnn:{vectors}:frozen", False)):
        parameters = dict(load_encoder(name).named_parameters())
        assert parameters.pop("words.weight").requires_grad is learns
        assert all(values.requires_grad for values in parameters.values())


def test_random_vectors_are_of_the_packaged_tokenizer_and_say_so_in_the_log(minilm, caplog):
    with caplog.at_level(logging.WARNING):
        encoder = load_encoder("cnn:random")
    assert [record.getMessage() for record in caplog.records] == [
        "encoder cnn:random: its word vectors are random: it knows no word before it is trained; "
        "give cnn:FILE for vectors that do"
    ]
    weight = encoder.get_input_embeddings().weight
    assert weight.shape == (30522, 100)
    assert not weight[0].any()
    assert weight[1:].abs().max() <= 0.25
    # Of a uniform distribution on (-a, a) it is a / sqrt(3).
    assert weight[1:].std().item() == pytest.approx(0.25 / 3**0.5, rel=0.01)
    assert load_tokenizer("cnn:random").get_vocab() == load_tokenizer(str(minilm)).get_vocab()


def test_vectors_of_a_file_are_not_called_random(vectors, caplog):
    load_encoder(f"cnn:{vectors}")
    assert caplog.records == []


@pytest.mark.parametrize("kind", KINDS)
def test_layers_can_not_be_chosen(vectors, kind):
    with pytest.raises(InputError, match=rf"an encoder on word vectors \({kind}\) has no layers"):
        load_encoder(f"{kind}:{vectors}", [0])


def test_a_file_that_is_not_there_is_refused(tmp_path):
    for load in (load_encoder, load_tokenizer, load_encoder_config):
        with pytest.raises(InputError, match=r"none\.txt: can't be read"):
            load(f"lstm:{tmp_path / 'none.txt'}")


def test_the_public_vectors_know_most_words_of_the_samples(public_data):
    """A tokenizer that cut words otherwise than the vectors were made would know few of them."""
    tokenizer = load_tokenizer(f"cnn:{public_data / 'glove.6B.100d.20k.txt.gz'}")
    samples = Path(__file__).resolve().parents[2] / "data" / "samples" / "sst2" / "train.tsv"
    lines = samples.read_text(encoding="utf-8").splitlines()[1:]
    ids = np.concatenate(tokenizer([line.split("\t")[0] for line in lines])["input_ids"])
    assert (ids == tokenizer.unk_token_id).mean() < 0.1


def test_the_unknown_word_learns_in_a_table_that_learns(vectors):
    encoder = load_encoder(f"mlp:{vectors}")
    states = encoder(torch.tensor([[1, 2, 0]]), torch.tensor([[1, 1, 0]])).last_hidden_state
    states.sum().backward()
    gradient = encoder.get_input_embeddings().weight.grad
    assert gradient.tolist() == [[0, 0], [1, 1], [1, 1], [0, 0], [0, 0], [0, 0]]
