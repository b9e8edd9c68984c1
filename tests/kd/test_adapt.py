"""Tests of kd.adapt: an encoder trained on plain text, read through its folder and its log."""

import json
import os
import signal
import subprocess
import sys
from itertools import count
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import kd.masked_loss
from data.errors import InputError
from data.masking import mask_rows, new_masking
from kd import adapt as adapting
from kd.adapt import adapt
from kd.adapt_settings import Adaptation
from kd.cli import main
from kd.corpus import divide, read_corpus
from kd.hardware import new_accelerator
from kd.masked_loss import held_out_loss, masked_loss
from kd.stopped import Stopped
from student.encoders import load_encoder, load_tokenizer
from student.masked_words import load_masked_word_model

ROOT = Path(__file__).resolve().parents[2]
SETTINGS = Adaptation(
    epochs=4, batch_size=8, learning_rate=3e-3, max_tokens=16, seed=3, precision="fp32"
)
EXACT = {"atol": 0.0, "rtol": 0.0}
SUBJECTS, OBJECTS = ("i", "you", "we", "they"), ("people", "help", "love", "hope", "good", "bad")


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    """A table of 96 texts of six words, of which two follow from the others."""
    lines = [
        f"{subject} {verb} that {subject} {verb} {thing}"
        for subject in SUBJECTS
        for verb in ("feel", "know", "hope", "like")
        for thing in OBJECTS
    ]
    path = tmp_path_factory.mktemp("texts") / "texts.csv"
    path.write_text("\n".join(["text", *lines]) + "\n")
    return path


@pytest.fixture(scope="module")
def said():
    return []


@pytest.fixture(scope="module")
def adapted(tiny_encoder, texts, said, tmp_path_factory):
    """A finished adaptation: its folder and what was told of it."""
    folder = tmp_path_factory.mktemp("adapted") / "encoder"
    return folder, adapt(str(tiny_encoder), [texts], folder, SETTINGS, say=said.append)


def test_the_held_out_loss_falls_and_is_that_of_the_encoder_in_the_folder(adapted, texts):
    folder, about = adapted
    assert about["before"]["loss"] > about["after"]["loss"] + 0.5
    for when in ("before", "after"):
        assert about[when]["perplexity"] == pytest.approx(np.exp(about[when]["loss"]))
    model, has_head = load_masked_word_model(str(folder))
    assert has_head
    tokenizer = load_tokenizer(str(folder))
    masking = new_masking(tokenizer, share=0.15, seed=3)
    _, held_out = divide(read_corpus([texts]).texts, tokenizer, masking, max_tokens=16, seed=3)
    found = held_out_loss(model, held_out, masking, new_accelerator("fp32"))
    assert found == pytest.approx(about["after"]["loss"], abs=1e-5)


def test_the_folder_is_an_encoder_and_says_how_it_came_about(adapted, said, tiny_encoder):
    folder, about = adapted
    assert {path.name for path in folder.iterdir()} >= {
        *("config.json", "model.safetensors", "tokenizer.json", "README.md", "training.json"),
        "logs",
    }
    assert json.loads((folder / "training.json").read_text()) == about
    assert about["texts"] == {"files": ["texts.csv"], "train": 91, "held_out": 5}
    assert said == [
        "texts: 91 to train on, 5 held out\n"
        "the encoder has no language-model head: it gets a fresh one"
    ]
    readme = (folder / "README.md").read_text()
    assert "91 texts, 46 steps of 8, learning rate 0.003, 15% of the pieces" in readme
    assert f"| before, with an untrained head | {about['before']['loss']:.3f} |" in readme
    before, after = load_encoder(str(tiny_encoder)), load_encoder(str(folder))
    assert before.state_dict().keys() == after.state_dict().keys()
    assert not any(folder.parent.glob("*.unfinished"))


def test_no_text_is_written_anywhere(adapted, texts):
    folder, _ = adapted
    written = [p for p in folder.rglob("*") if p.is_file() and p.suffix != ".safetensors"]
    assert len(written) >= 6
    for path in written:
        assert b"i feel that" not in path.read_bytes(), path


def test_the_log_has_the_loss_and_a_dev_score_an_epoch(adapted):
    folder, about = adapted
    rows = [json.loads(line) for line in (folder / "logs" / "adapt.jsonl").read_text().splitlines()]
    scores = [row["dev_score"] for row in rows if "dev_score" in row]
    assert len(scores) == 4
    assert max(scores) == pytest.approx(-about["after"]["loss"])
    losses = [row["loss/masked_words"] for row in rows if "loss/masked_words" in row]
    assert losses[-1] < losses[0] - 0.5


def test_a_finished_folder_is_kept_and_one_of_other_settings_is_refused(
    adapted, tiny_encoder, texts
):
    folder, _ = adapted
    written = (folder / "model.safetensors").stat().st_mtime_ns
    assert adapt(str(tiny_encoder), [texts], folder, SETTINGS, say=pytest.fail) is None
    assert (folder / "model.safetensors").stat().st_mtime_ns == written
    changed = SETTINGS.model_copy(update={"seed": 4})
    with pytest.raises(InputError, match=r"is there already, made from another encoder"):
        adapt(str(tiny_encoder), [texts], folder, changed, say=pytest.fail)


def test_another_text_makes_another_encoder(adapted, tiny_encoder, texts, tmp_path):
    folder, _ = adapted
    other = tmp_path / "texts.csv"
    other.write_text(texts.read_text().replace("people", "on"))
    with pytest.raises(InputError, match=r"is there already"):
        adapt(str(tiny_encoder), [other], folder, SETTINGS, say=pytest.fail)


def test_an_adaptation_that_was_stopped_goes_on_bit_for_bit(
    adapted, tiny_encoder, texts, tmp_path, monkeypatch
):
    """With the encoder's dropout, its moments of Adam and its best weights so far."""
    straight, about = adapted
    folder = tmp_path / "encoder"
    calls = count()

    def stopping(*values):
        if next(calls) == 2:  # before the training, after one epoch, after two
            os.kill(os.getpid(), signal.SIGTERM)
        return held_out_loss(*values)

    with monkeypatch.context() as patch:
        patch.setattr(adapting, "held_out_loss", stopping)
        with pytest.raises(Stopped, match="SIGTERM after step 23"):
            adapt(str(tiny_encoder), [texts], folder, SETTINGS, say=lambda _: None)
    assert not folder.exists()
    resumed = adapt(str(tiny_encoder), [texts], folder, SETTINGS, say=lambda _: None)
    assert resumed == about
    weights, expected = (load_file(f / "model.safetensors") for f in (folder, straight))
    torch.testing.assert_close(weights, expected, **EXACT)
    assert (folder / "logs" / "adapt.jsonl").read_text() == (
        straight / "logs" / "adapt.jsonl"
    ).read_text()
    assert not any(tmp_path.glob("*.unfinished"))


def test_the_shares_of_a_batch_add_up_to_the_mean_over_its_hidden_pieces(tiny_encoder, texts):
    tokenizer = load_tokenizer(str(tiny_encoder))
    masking = new_masking(tokenizer, share=0.3, seed=0)
    rows, _ = divide(read_corpus([texts]).texts, tokenizer, masking, max_tokens=16, seed=0)
    accelerator = new_accelerator("fp32")
    model, _ = load_masked_word_model(str(tiny_encoder))
    model.eval()
    batch = np.arange(12)
    loss = masked_loss(rows, masking, accelerator)(5, batch)
    whole, found = loss.share(model, batch)
    whole = whole.item()
    assert found["masked_words"].item() == whole
    parts = sum(loss.share(model, part)[0].item() for part in (batch[:2], batch[2:9], batch[9:]))
    assert parts == pytest.approx(whole, abs=1e-5)
    # A head that was never trained guesses about evenly.
    assert whole == pytest.approx(np.log(len(tokenizer)), abs=0.3)


def test_other_pieces_are_hidden_in_each_step_and_those_that_are_held_out_stay(
    tiny_encoder, texts, monkeypatch, tmp_path
):
    """Masks that were drawn once would be learnt by heart (RoBERTa, section 4.1)."""
    hidden = []

    def watched(table, rows, step, masking):
        found = mask_rows(table, rows, step, masking)
        hidden.append((step, tuple(rows), found.places.tolist()))
        return found

    monkeypatch.setattr(kd.masked_loss, "mask_rows", watched)
    settings = SETTINGS.model_copy(update={"batch_size": 91, "epochs": 2})
    adapt(str(tiny_encoder), [texts], tmp_path / "encoder", settings, say=lambda _: None)
    learnt = {step: places for step, rows, places in hidden if len(rows) == 91}
    assert list(learnt) == [0, 1]
    assert learnt[0] != learnt[1]
    held_out = [places for _, rows, places in hidden if len(rows) == 5]
    assert len(held_out) == 3
    assert held_out.count(held_out[0]) == 3


@pytest.mark.skipif(torch.cuda.is_available(), reason="two processes share one GPU")
def test_two_processes_end_with_the_weights_of_one(tiny_encoder, texts, tmp_path):
    """Seven texts a step: the halves differ in size and in hidden pieces."""
    sure = tmp_path / "sure"
    model, tokenizer = load_encoder(str(tiny_encoder)), load_tokenizer(str(tiny_encoder))
    model.config.hidden_dropout_prob = model.config.attention_probs_dropout_prob = 0.0
    model.save_pretrained(sure)
    tokenizer.save_pretrained(sure)
    arguments = [
        *("adapt", str(sure), "--texts", str(texts), "--max-tokens", "16", "--seed", "3"),
        *("--batch-size", "7", "--max-steps", "6", "--learning-rate", "0.001"),
        *("--precision", "fp32", "--to"),
    ]
    with pytest.raises(SystemExit, match=r"^0$"):
        main([*arguments, str(tmp_path / "one")])
    ended = subprocess.run(
        [
            *(sys.executable, "-m", "torch.distributed.run", "--standalone"),
            *("--nproc_per_node", "2", "-m", "kd", *arguments, str(tmp_path / "two")),
        ],
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr[-3000:]
    assert ended.stdout.count("perplexity") == 1
    one, two = (load_file(tmp_path / name / "model.safetensors") for name in ("one", "two"))
    torch.testing.assert_close(two, one, atol=1e-5, rtol=0.0)
    first, second = (
        json.loads((tmp_path / name / "training.json").read_text()) for name in ("one", "two")
    )
    for when in ("before", "after"):
        assert second[when] == pytest.approx(first[when], rel=1e-4)


def refused(capsys, *arguments):
    with pytest.raises(SystemExit, match=r"^2$"):
        main(["adapt", *map(str, arguments)])
    return capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--mask", "1.5"), "kd adapt: mask: input should be less than 1, not 1.5"),
        (("--max-tokens", "400"), "--max-tokens: 400 is more than encoder"),
        (("--column", "said"), "no column 'said': the header is 'text'"),
        (("--texts", "absent.csv"), "absent.csv: no such file"),
    ],
)
def test_a_mistake_is_told_in_one_line(capsys, tiny_encoder, texts, tmp_path, options, message):
    said = refused(capsys, tiny_encoder, "--texts", texts, "--to", tmp_path / "encoder", *options)
    assert message in said
    assert len(said.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_can_not_be_made_is_told_before_the_training(
    capsys, tiny_encoder, texts, tmp_path
):
    (tmp_path / "file").touch()
    said = refused(capsys, tiny_encoder, "--texts", texts, "--to", tmp_path / "file" / "encoder")
    assert "--to: " in said
    assert "can't be made: Not a directory" in said
