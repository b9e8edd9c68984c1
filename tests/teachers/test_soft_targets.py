"""Tests of teachers.soft_targets: on disk bit by bit, and on a student's rows by hand."""

import json
import math
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from data.encoding import EncodedTable
from data.errors import InputError
from data.ragged import Ragged
from data.tasks import TaskSpec
from student.inference import Logits
from teachers.soft_targets import (
    SoftTargets,
    fingerprint,
    from_logits,
    load_soft_targets,
    probabilities,
    save_soft_targets,
    soft_columns,
)

SENTIMENT = TaskSpec("sentiment", classes=("negative", "positive"))
EMPATHY = TaskSpec("empathy", classes=("none", "some"), has_context=True, has_rationale=True)
DISTRESS = TaskSpec("distress", kind="regression", low=1.0, high=7.0)
NAN = float("nan")


def make_table(ids, offsets=None):
    """A table of the given rows; `offsets` lists each row's token spans."""
    rows = offsets or [[(0, 0), (0, 3), (0, 0)]] * len(ids)
    return EncodedTable(
        ids=tuple(ids),
        texts=Ragged.of([[1] * len(row) for row in rows]),
        offsets=np.array([pair for row in rows for pair in row], dtype=np.int32).reshape(-1, 2),
        contexts=Ragged.of([[] for _ in rows]),
        pad_id=0,
        gold={},
        gold_tokens={},
    )


def make_targets(ids, logits, spec=SENTIMENT, **rationale):
    return SoftTargets(
        task=spec.name,
        classes=spec.classes,
        fingerprint="f" * 32,
        ids=pa.array(ids),
        logits=np.array(logits, dtype=np.float32),
        **rationale,
    )


def with_tokens(ids, spans, token_logits):
    lengths = np.array([len(row) for row in spans])
    flat = np.array([span for row in spans for span in row], dtype=np.int32).reshape(-1, 2)
    return make_targets(
        ids,
        [[0.0, 0.0]] * len(ids),
        EMPATHY,
        token_spans=Ragged.from_lengths(flat, lengths),
        token_logits=Ragged.from_lengths(np.concatenate(token_logits, dtype=np.float32), lengths),
    )


# Several of them have no short decimal form; the smallest is subnormal in float32.
AWKWARD = [[1 / 3, -1e-45], [3.4e38, -0.0], [math.pi * 1e-7, 1e8 + 1]]


def test_soft_targets_come_back_from_disk_bit_by_bit(tmp_path):
    targets = with_tokens(
        ["a", "b", "ü-3"], [[(0, 3), (4, 9)], [], [(2, 5)]], [[1 / 3, -7.1], [], [1e-38]]
    )
    targets = SoftTargets(**{**vars(targets), "logits": np.array(AWKWARD, dtype=np.float32)})
    save_soft_targets(targets, tmp_path / "soft.arrow")
    loaded = load_soft_targets(tmp_path / "soft.arrow")
    assert (loaded.task, loaded.classes, loaded.fingerprint) == (
        targets.task,
        targets.classes,
        targets.fingerprint,
    )
    assert loaded.ids.to_pylist() == ["a", "b", "ü-3"]
    assert loaded.logits.dtype == np.float32
    assert loaded.logits.tobytes() == targets.logits.tobytes()
    assert loaded.token_logits.values.dtype == np.float32
    assert loaded.token_logits.values.tobytes() == targets.token_logits.values.tobytes()
    assert loaded.token_spans.row(1).shape == (0, 2)
    for row in range(3):
        np.testing.assert_array_equal(loaded.token_spans.row(row), targets.token_spans.row(row))
        np.testing.assert_array_equal(loaded.token_logits.row(row), targets.token_logits.row(row))


def test_loaded_soft_targets_are_mapped_and_not_copied(tmp_path):
    """A copy of every column would fill the memory before the first step."""
    rows, path = 200_000, tmp_path / "soft.arrow"
    ids = [str(row) for row in range(rows)]
    save_soft_targets(make_targets(ids, np.zeros((rows, 2))), path)
    before = pa.total_allocated_bytes()
    loaded = load_soft_targets(path)
    assert pa.total_allocated_bytes() - before < 10_000
    assert str(path) in Path("/proc/self/maps").read_text()
    assert not loaded.logits.flags.owndata
    assert not loaded.logits.flags.writeable


def test_the_same_soft_targets_are_the_same_bytes(tmp_path):
    """A run that is repeated can be compared file by file."""
    written = []
    for name in ("one", "two"):
        spans = [[(0, 3), (4, 9)], [], [(2, 5)]]
        targets = with_tokens(["a", "b", "c"], spans, [[1 / 3, -7.1], [], [1e-38]])
        save_soft_targets(targets, tmp_path / name)
        written.append((tmp_path / name).read_bytes())
    assert written[0] == written[1]


def test_a_task_without_rationales_comes_back_without_them(tmp_path):
    save_soft_targets(make_targets(["a"], [[0.5]], DISTRESS), tmp_path / "soft.arrow")
    loaded = load_soft_targets(tmp_path / "soft.arrow")
    assert loaded.token_spans is None
    assert loaded.token_logits is None
    assert loaded.classes == ()
    assert loaded.logits.shape == (1, 1)


def test_the_file_holds_ids_and_numbers_and_no_text(tmp_path):
    """The public posts may not be handed on, so what is shared must not quote them."""
    save_soft_targets(with_tokens(["a"], [[(0, 3)]], [[1.0]]), tmp_path / "soft.arrow")
    schema = pa.ipc.open_file(tmp_path / "soft.arrow").schema
    assert {field.name: field.type for field in schema} == {
        "id": pa.string(),
        "logits": pa.list_(pa.float32(), 2),
        "token_spans": pa.large_list(pa.list_(pa.int32(), 2)),
        "token_logits": pa.large_list(pa.float32()),
    }
    assert set(schema.metadata) == {b"kd"}
    assert set(json.loads(schema.metadata[b"kd"])) == {"task", "classes", "fingerprint"}


def test_soft_targets_that_are_missing_are_an_error(tmp_path):
    with pytest.raises(InputError, match=r"soft\.arrow: no soft targets: run kd label first"):
        load_soft_targets(tmp_path / "soft.arrow")


def test_an_arrow_file_of_another_program_is_an_error(tmp_path):
    table = pa.table({"id": ["a"]})
    with pa.ipc.new_file(tmp_path / "soft.arrow", table.schema) as writer:
        writer.write_table(table)
    with pytest.raises(InputError, match=r"soft\.arrow: holds no soft targets: delete it"):
        load_soft_targets(tmp_path / "soft.arrow")


def test_a_file_that_is_no_arrow_file_is_an_error(tmp_path):
    (tmp_path / "soft.arrow").write_text("id,logits\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"soft\.arrow: holds no soft targets: delete it"):
        load_soft_targets(tmp_path / "soft.arrow")


def test_the_chosen_rows_are_taken_without_special_tokens():
    table = make_table(["a", "b", "c"], [[(0, 0), (0, 3), (0, 0)]] * 2 + [[(0, 0), (1, 2), (0, 0)]])
    logits = Logits(
        labels={"empathy": np.array([[0, 1], [2, 3], [4, 5]], dtype=np.float32)},
        tokens={"empathy": np.array([NAN, 10, NAN, NAN, 11, NAN, NAN, 12, NAN], np.float32)},
    )
    targets = from_logits(EMPATHY, table, logits, np.array([2, 0]), "mark")
    assert targets.ids.to_pylist() == ["c", "a"]
    assert targets.classes == EMPATHY.classes
    assert targets.fingerprint == "mark"
    np.testing.assert_array_equal(targets.logits, [[4, 5], [0, 1]])
    assert [targets.token_spans.row(row).tolist() for row in (0, 1)] == [[[1, 2]], [[0, 3]]]
    assert [targets.token_logits.row(row).tolist() for row in (0, 1)] == [[12.0], [10.0]]


@pytest.fixture
def teacher(tmp_path):
    """A folder with the files of a teacher that decide what it says."""
    for name in ("model.safetensors", "config.json", "tokenizer.json", "training.json"):
        (tmp_path / name).write_text(f"the {name}", encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "tokenizer.json"])
def test_the_fingerprint_changes_with_each_file_that_decides(teacher, name):
    before = fingerprint(teacher, "rows", 64)
    (teacher / name).write_text("another", encoding="utf-8")
    assert fingerprint(teacher, "rows", 64) != before


def test_the_fingerprint_changes_with_the_rows_and_with_the_length(teacher):
    marks = [
        fingerprint(teacher, rows, length)
        for rows, length in (("rows", 64), ("other", 64), ("rows", 63))
    ]
    assert len(set(marks)) == 3


def test_the_fingerprint_stays_with_what_decides_nothing(teacher):
    before = fingerprint(teacher, "rows", 64)
    (teacher / "training.json").write_text("another", encoding="utf-8")
    assert fingerprint(teacher, "rows", 64) == before


def test_probabilities_are_the_softmax_of_the_logits_over_the_temperature_by_hand():
    """exp(ln 9 / 2) = 3, so the classes share 1 : 3."""
    logits = np.array([[0.0, math.log(9)]], dtype=np.float32)
    np.testing.assert_allclose(probabilities(logits, SENTIMENT, 2.0), [[0.25, 0.75]], rtol=1e-6)
    np.testing.assert_allclose(probabilities(logits, SENTIMENT, 1.0), [[0.1, 0.9]], rtol=1e-6)


def test_a_regressions_values_stay_as_they_are():
    values = np.array([[0.3], [1.2]], dtype=np.float32)
    np.testing.assert_array_equal(probabilities(values, DISTRESS, 2.0), values)


@pytest.mark.parametrize("weight", [1.0, 0.2, 7.0])
def test_one_teacher_of_any_weight_is_its_own_mean(weight):
    targets = make_targets(["a", "b"], [[0.0, math.log(3)], [math.log(4), 0.0]])
    labels, tokens = soft_columns([targets], [weight], make_table(["a", "b"]), SENTIMENT, 1.0)
    np.testing.assert_allclose(labels, [[0.25, 0.75], [0.8, 0.2]], rtol=1e-6)
    assert labels.dtype == np.float32
    assert tokens is None


def test_several_teachers_are_averaged_with_their_weights_by_hand():
    """3/4 of (1/4, 3/4) and 1/4 of (1/2, 1/2) is (5/16, 11/16)."""
    first = make_targets(["a"], [[0.0, math.log(3)]])
    second = make_targets(["a"], [[5.0, 5.0]])
    labels, _ = soft_columns([first, second], [3.0, 1.0], make_table(["a"]), SENTIMENT, 1.0)
    np.testing.assert_allclose(labels, [[5 / 16, 11 / 16]], rtol=1e-6)


def test_probabilities_are_averaged_and_not_logits():
    """Of logits 0 and 2 ln 3 the mean is ln 3, which would be 3/4; of 1/2 and 9/10 it is 7/10."""
    teachers = [make_targets(["a"], [[0.0, 0.0]]), make_targets(["a"], [[0.0, 2 * math.log(3)]])]
    labels, _ = soft_columns(teachers, [1.0, 1.0], make_table(["a"]), SENTIMENT, 1.0)
    np.testing.assert_allclose(labels, [[0.3, 0.7]], rtol=1e-6)


def test_rows_that_the_teacher_did_not_label_are_unknown():
    targets = make_targets(["b"], [[0.0, math.log(3)]])
    labels, _ = soft_columns([targets], [1.0], make_table(["a", "b", "c"]), SENTIMENT, 1.0)
    np.testing.assert_allclose(labels, [[NAN, NAN], [0.25, 0.75], [NAN, NAN]], rtol=1e-6)


def test_targets_are_found_by_id_and_not_by_place():
    """A cache by position gives every row another row's target as soon as rows are shuffled."""
    ids, logits = ["a", "b", "c"], [[0.0, 1.0], [2.0, 0.0], [0.0, 3.0]]
    spans = [[(0, 3)]] * 3
    chances = [[1.0], [-1.0], [2.0]]
    forward = with_tokens(ids, spans, chances)
    backward = with_tokens(ids[::-1], spans, chances[::-1])
    forward = SoftTargets(**{**vars(forward), "logits": np.array(logits, np.float32)})
    backward = SoftTargets(**{**vars(backward), "logits": np.array(logits[::-1], np.float32)})
    table = make_table(["c", "a", "b"])
    first = soft_columns([forward], [1.0], table, EMPATHY, 1.0)
    second = soft_columns([backward], [1.0], table, EMPATHY, 1.0)
    np.testing.assert_array_equal(first[0], second[0])
    np.testing.assert_array_equal(first[1], second[1])
    np.testing.assert_array_equal(first[0].argmax(axis=1), [1, 1, 0])
    sigmoid = [1 / (1 + math.exp(-logit)) for logit in (2.0, 1.0, -1.0)]
    np.testing.assert_allclose(first[1][1::3], sigmoid, rtol=1e-6)


def test_a_rationale_on_another_tokenizers_tokens_by_hand():
    """Chances 3/4, 1/2 and 1/4 on characters 0-4, 4-8 and 9-12, read by tokens 0-6 and 6-12.

    The first shares 4 and 2 characters: (4 * 3/4 + 2 * 1/2) / 6 = 2/3; the second 2 and 3:
    (2 * 1/2 + 3 * 1/4) / 5 = 7/20. The temperature of 2 halves the logits 2 ln 3, 0 and -2 ln 3.
    """
    targets = with_tokens(
        ["a"], [[(0, 4), (4, 8), (9, 12)]], [[2 * math.log(3), 0.0, -2 * math.log(3)]]
    )
    table = make_table(["a"], [[(0, 0), (0, 6), (6, 12), (0, 0)]])
    _, tokens = soft_columns([targets], [1.0], table, EMPATHY, 2.0)
    np.testing.assert_allclose(tokens, [NAN, 2 / 3, 7 / 20, NAN], rtol=1e-6)
    assert tokens.dtype == np.float32


def test_rationales_of_several_teachers_are_averaged_with_their_weights_by_hand():
    first = with_tokens(["a"], [[(0, 3)]], [[math.log(3)]])
    second = with_tokens(["a"], [[(0, 1), (1, 3)]], [[0.0, 0.0]])
    _, tokens = soft_columns([first, second], [1.0, 3.0], make_table(["a"]), EMPATHY, 1.0)
    np.testing.assert_allclose(tokens, [NAN, 0.75 / 4 + 3 * 0.5 / 4, NAN], rtol=1e-6)


def test_rationale_tokens_of_rows_that_the_teacher_did_not_label_are_unknown():
    targets = with_tokens(["b"], [[(0, 3)]], [[0.0]])
    _, tokens = soft_columns([targets], [1.0], make_table(["a", "b"]), EMPATHY, 1.0)
    np.testing.assert_allclose(tokens, [NAN, NAN, NAN, NAN, 0.5, NAN])


def test_text_that_the_teacher_cut_off_is_unknown():
    targets = with_tokens(["a"], [[(0, 3)]], [[0.0]])
    table = make_table(["a"], [[(0, 0), (0, 3), (4, 9), (0, 0)]])
    _, tokens = soft_columns([targets], [1.0], table, EMPATHY, 1.0)
    np.testing.assert_allclose(tokens, [NAN, 0.5, NAN, NAN])


@pytest.mark.parametrize("logit", [-1000.0, 1000.0])
def test_a_teacher_that_is_very_sure_of_a_token_gives_no_overflow(logit):
    targets = with_tokens(["a"], [[(0, 3)]], [[logit]])
    _, tokens = soft_columns([targets], [1.0], make_table(["a"]), EMPATHY, 1.0)
    np.testing.assert_allclose(tokens, [NAN, 1.0 if logit > 0 else 0.0, NAN])
