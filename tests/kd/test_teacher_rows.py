"""Tests of kd.teacher_rows: which rows a teacher is asked about, and what one learns that hears."""

import math
import sys

import numpy as np
import pytest
from datasets import Dataset, DatasetDict
from transformers import ASTConfig, ASTModel

from data.encoding import EncodedTable
from data.errors import InputError
from data.ragged import Ragged
from kd.config import Config
from kd.run_folder import RunFolder
from kd.stages.label import teacher_mark
from kd.teacher_rows import check_speaker, rows_of, rows_to_label, rows_to_teach

UNKNOWN, SAD = [math.nan, math.nan], [1.0, 0.0]


def table_of(*rows):
    """A table of rows (has a context, gold of mood, gold of reply)."""
    return EncodedTable(
        ids=tuple(map(str, range(len(rows)))),
        texts=Ragged.of([[1]] * len(rows)),
        offsets=np.zeros((len(rows), 2), dtype=np.int32),
        contexts=Ragged.of([[1] if has_context else [] for has_context, _, _ in rows]),
        pad_id=0,
        gold={"mood": np.float32([r[1] for r in rows]), "reply": np.float32([r[2] for r in rows])},
        gold_tokens={},
    )


def test_a_teacher_labels_rows_of_its_task_and_rows_that_no_task_labels(mood):
    rows = [(False, SAD, UNKNOWN), (False, UNKNOWN, SAD), (False, UNKNOWN, UNKNOWN)]
    assert rows_of(table_of(*rows), mood).tolist() == [0, 2]


def test_a_teacher_that_reads_a_post_labels_only_rows_that_answer_one(reply):
    rows = [(True, UNKNOWN, SAD), (False, UNKNOWN, UNKNOWN), (True, UNKNOWN, UNKNOWN)]
    assert rows_of(table_of(*rows), reply).tolist() == [0, 2]


# Writes a tone whose loudness is the text's last word.
SPEAKER = (
    "import sys, wave, math, array; loud = int(sys.stdin.read().split()[-1]); "
    "f = wave.open(sys.argv[1], 'wb'); f.setparams((1, 2, 16000, 0, 'NONE', '')); "
    "f.writeframes(array.array('h', (int(loud * math.sin(t)) for t in range(2000))).tobytes())"
)
# Rows of train, dev and test and how loud each is; the last of train has no gold.
LOUD = {"train": [100, 2000, 300, 9], "dev": [700], "test": [400, 30]}


@pytest.fixture(scope="module")
def ast(tmp_path_factory):
    """The folder of a tiny AST."""
    folder = tmp_path_factory.mktemp("ast")
    ASTModel(
        ASTConfig(
            hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32,
            max_length=16, num_mel_bins=32, patch_size=8, time_stride=8, frequency_stride=8,
        )
    ).save_pretrained(folder)  # fmt: skip
    return folder


def table_with(loud):
    return DatasetDict(
        {
            split: Dataset.from_dict(
                {
                    "id": [f"{split}{n}" for n in range(len(values))],
                    "text": [f"as loud as {value}" for value in values],
                    "context": [""] * len(values),
                    "gold/mood": [UNKNOWN if value < 10 else SAD for value in values],
                }
            )
            for split, values in loud.items()
        }
    )


@pytest.fixture
def hear(ast, tmp_path, mood):
    """A function that asks for what a teacher learns from rows that are so loud."""

    def made(loud=LOUD, command=(sys.executable, "-c", SPEAKER, "{wav}"), frames=16):
        speech = {"command": list(command), "frames": frames}
        config = Config.model_validate(
            {
                "name": "mine",
                "tasks": {"mood": {"classes": ["sad", "glad"], "sources": [{"files": "a.csv"}]}},
                "teachers": {"tasks": {"mood": [{"speech": speech, "encoder": str(ast)}]}},
            }
        )
        settings = config.teachers.hearing("mood")["mood"]
        key = str(sorted(loud.items()))
        table, run = table_with(loud), RunFolder(tmp_path / "mine")
        return config, run, settings, table, rows_to_teach(config, run, mood, settings, table, key)

    return made


def normalisation(heard):
    taught = heard[-1]
    return taught.reader.mean, taught.reader.std


def test_clips_are_normalised_by_the_train_rows_of_the_task_alone(hear):
    """3M-Health took those of dev and test too."""
    mean, std = normalisation(hear())
    for split, louder in (("dev", [9000]), ("test", [400, 9000]), ("train", [100, 2000, 300, 1])):
        assert normalisation(hear({**LOUD, split: louder})) == (mean, std)
    other, _ = normalisation(hear({**LOUD, "train": [100, 9000, 300, 9]}))
    assert abs(other - mean) > 0.1


def test_they_are_the_mean_and_deviation_of_what_the_model_hears(hear):
    taught = hear()[-1]
    model = taught.new_model()
    values = np.concatenate([model.encoder._clips[row] for row in range(3)]).astype(np.float64)
    assert model.config.encoder.mean == pytest.approx(values.mean())
    assert model.config.encoder.std == pytest.approx(values.std())
    normal = (values - model.config.encoder.mean) / (2 * model.config.encoder.std)
    assert (normal.mean(), normal.std()) == (pytest.approx(0), pytest.approx(0.5))


def test_a_trained_teacher_is_asked_what_it_would_read(hear, mood):
    config, run, settings, table, taught = hear()
    taught.new_model().save_pretrained(run.teacher("mood"))
    asked = rows_to_label(config, run, "mood", mood, settings, table, str(sorted(LOUD.items())))
    assert asked.rows.tolist() == [0, 1, 2, 3, 4, 5, 6]
    assert asked.model.encoder._clips.shape == (7, 16, 32)
    assert asked.table.ids == ("train0", "train1", "train2", "train3", "dev0", "test0", "test1")


def test_clips_that_are_all_the_same_teach_nothing(hear):
    """As of a program that does not read its standard input."""
    with pytest.raises(InputError, match=r"all clips of task 'mood' are the same: give another"):
        hear({**LOUD, "train": [70, 70, 70, 9]})


def test_a_speaker_is_checked_before_any_text_is_spoken(hear):
    config, _, settings, _, _ = hear()
    check_speaker(config, settings)
    for changes, said in (
        ({"command": ("no-such-speaker", "{wav}")}, r"'no-such-speaker' is not there"),
        ({"frames": 17}, r"speech.frames: 17: the encoder hears 8 to 16"),
        ({"bark": "no/such/bark"}, r"speech.bark: 'no/such/bark' can't be loaded"),
    ):
        speech = settings.speech.model_copy(update=changes)
        with pytest.raises(InputError, match=said):
            check_speaker(config, settings.model_copy(update={"speech": speech}))


def test_soft_targets_of_another_voice_are_not_taken_for_those_of_this(hear):
    config, run, settings, _, taught = hear()
    taught.new_model().save_pretrained(run.teacher("mood"))
    mark = teacher_mark(config, run, "mood", settings, "hash")
    louder = settings.speech.model_copy(update={"command": ("louder", "{wav}")})
    other = settings.model_copy(update={"speech": louder})
    assert teacher_mark(config, run, "mood", settings, "hash") == mark
    assert teacher_mark(config, run, "mood", other, "hash") != mark
