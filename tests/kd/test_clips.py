"""Tests of kd.clips: a run's texts spoken once and kept as features."""

import random
import sys
import warnings

import numpy as np
import pytest
from datasets import Dataset, DatasetDict, concatenate_datasets
from transformers import ASTFeatureExtractor

from data.errors import InputError
from data.sources import SPLITS
from kd.clips import clip_features, clip_table, new_extractor, speak_missing, statistics
from kd.config import Speech
from kd.run_folder import RunFolder
from teachers.speech import RATE, spoken
from tests.killing import run_until_whole

FRAMES, BINS = 24, 32
# Writes a tone whose pitch is the text's last word, and the text's first word to a list; one
# whose first word stands in the file `bad` fails.
SPEAKER = """
import sys, wave, math, array, pathlib
here = pathlib.Path(__file__).parent
name, *_, pitch = sys.stdin.read().split()
if (here / "bad").is_file() and name in (here / "bad").read_text().split():
    sys.exit(3)
with (here / "said").open("a") as file:
    file.write(name + "\\n")
with wave.open(sys.argv[1], "wb") as file:
    file.setnchannels(1); file.setsampwidth(2); file.setframerate(16000)
    file.writeframes(array.array("h", (int(9000 * math.sin(6.283185307 * int(pitch) * t / 16000))
                                       for t in range(2000))).tobytes())
"""


@pytest.fixture
def speech(tmp_path):
    (tmp_path / "speaker.py").write_text(SPEAKER)
    return Speech(command=(sys.executable, str(tmp_path / "speaker.py"), "{wav}"), frames=FRAMES)


@pytest.fixture
def run(tmp_path):
    return RunFolder(tmp_path / "mine")


@pytest.fixture(scope="module")
def extractor():
    return new_extractor(BINS, FRAMES)


def table_of(train=3, dev=1, test=2, **pitches):
    """Rows r0, r1 … of pitches 200, 300 …; pitches: of some, by their ids."""
    made, number = DatasetDict(), 0
    for split, count in (("train", train), ("dev", dev), ("test", test)):
        ids = [f"r{number + more}" for more in range(count)]
        texts = [f"{one} at {pitches.get(one, 200 + 100 * int(one[1:]))}" for one in ids]
        gold = [[1.0, 0.0], [0.0, 1.0], [float("nan")] * 2]
        made[split] = Dataset.from_dict(
            {"id": ids, "text": texts, "gold/mood": [gold[int(one[1:]) % 3] for one in ids]}
        )
        number += count
    return made


def said(tmp_path):
    """The rows that were spoken since the last time this was asked, in order of their names."""
    path = tmp_path / "said"
    found = sorted(path.read_text().split()) if path.is_file() else []
    path.unlink(missing_ok=True)
    return found


def features(run, speech, extractor, rows, table=None):
    return clip_features(run, table or table_of(), "hash", speech, extractor, np.array(rows))


def test_the_features_are_those_of_the_extractor(run, speech, extractor, tmp_path):
    found = features(run, speech, extractor, range(6))
    assert found.shape == (6, FRAMES, BINS)
    assert isinstance(found, np.memmap)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        plain = ASTFeatureExtractor(num_mel_bins=BINS, max_length=FRAMES, do_normalize=False)
    (clip,) = spoken(["r4 at 600"], ["r4"], speech.command, tmp_path)
    expected = plain(clip, sampling_rate=RATE, return_tensors="np")["input_values"][0]
    np.testing.assert_allclose(found[4], expected, rtol=1e-3, atol=1e-2)
    assert (found[4][11:] == 0).all()  # 2,000 samples are 11 frames
    assert (found[4][:11] != 0).any()


def test_only_the_rows_asked_for_are_spoken_and_each_once(run, speech, extractor, tmp_path):
    first = np.array(features(run, speech, extractor, [0, 5]))
    assert said(tmp_path) == ["r0", "r5"]
    found = features(run, speech, extractor, [0, 3, 5])
    assert said(tmp_path) == ["r3"]
    assert np.array_equal(found[[0, 5]], first[[0, 5]])
    assert not found[1].any()
    features(run, speech, extractor, [0, 3])
    assert said(tmp_path) == []


def test_it_goes_on_after_a_failure_with_the_chunk_at_hand(
    run, speech, extractor, tmp_path, monkeypatch
):
    """What a kill leaves is what a failure leaves: whole chunks, and at most clips beside them."""
    monkeypatch.setattr("kd.clips.CHUNK", 4)
    table = table_of(train=10)
    (tmp_path / "bad").write_text("r7")
    with pytest.raises(InputError, match=r"row 'r7': speech.command"):
        features(run, speech, extractor, range(10), table)
    said(tmp_path)
    (made,) = (run.path / "speech").iterdir()
    (made / "wav-of-a-kill").mkdir()
    (tmp_path / "bad").unlink()
    found = features(run, speech, extractor, range(10), table)
    assert said(tmp_path) == sorted(f"r{4 + more}" for more in range(6))
    other = RunFolder(tmp_path / "other")
    whole = features(other, speech, extractor, range(10), table)
    assert found.tobytes() == whole.tobytes()
    assert sorted(path.name for path in made.iterdir()) == ["done.npy", "features.npy"]


def test_killed_at_any_point_it_comes_to_the_same_end(speech, extractor, tmp_path, monkeypatch):
    monkeypatch.setattr("kd.clips.CHUNK", 2)
    table = table_of()
    texts = concatenate_datasets([table[split] for split in SPLITS])
    shape, rows = (6, FRAMES, BINS), np.arange(6)
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    speak_missing(whole, texts, shape, speech, extractor, rows)
    chance = random.Random(3)
    kills = run_until_whole(
        lambda: speak_missing(killed, texts, shape, speech, extractor, rows),
        lambda: chance.randrange(40),
    )
    assert kills > 1
    for name in ("features.npy", "done.npy"):
        assert (killed / name).read_bytes() == (whole / name).read_bytes()
    assert not list(killed.glob("wav-*"))


def test_other_rows_or_another_voice_are_spoken_anew(run, speech, extractor, tmp_path):
    features(run, speech, extractor, [0])
    said(tmp_path)
    clip_features(run, table_of(), "other rows", speech, extractor, np.array([0]))
    assert said(tmp_path) == ["r0"]
    features(run, speech.model_copy(update={"command": (*speech.command, "2")}), extractor, [0])
    assert said(tmp_path) == ["r0"]


def test_new_splits_take_what_was_heard_of_the_old_ones_away(run, speech, extractor):
    features(run, speech, extractor, [0])
    run.save_splits(table_of(), {"hash": "other"})
    assert not (run.path / "speech").exists()


def test_a_text_of_which_nothing_is_heard_is_a_silent_clip(run, extractor, tmp_path):
    script = (
        "import sys, wave; sys.stdin.read(); f = wave.open(sys.argv[1], 'wb'); "
        "f.setparams((1, 2, 16000, 0, 'NONE', '')); f.close()"
    )
    silent = Speech(command=(sys.executable, "-c", script, "{wav}"), frames=FRAMES)
    found = features(run, silent, extractor, [0])[0]
    assert len(np.unique(found[0])) == 1  # one frame of the least energy
    assert not found[1:].any()


def test_mean_and_deviation_are_over_all_values_of_the_rows():
    values = np.array([[[1, 2]], [[3, 6]], [[900, 0]]], dtype=np.float16)
    mean, std = statistics(values, np.array([0, 1]))
    assert mean == 3.0
    assert std == pytest.approx(np.sqrt((4 + 1 + 0 + 9) / 4))


def test_a_row_is_a_token_that_is_its_number(mood):
    table = clip_table(table_of(), [mood])
    assert table.ids == ("r0", "r1", "r2", "r3", "r4", "r5")
    assert [table.texts.row(row).tolist() for row in range(6)] == [[n] for n in range(6)]
    assert table.contexts.lengths.tolist() == [0] * 6
    assert table.offsets.tolist() == [[0, 0]] * 6
    assert table.known("mood").tolist() == [True, True, False] * 2
    assert table.between(3, 6).take(np.array([1])).texts.row(0).tolist() == [4]
