"""Tests of teachers.outside: what a file may say, and the sentence that a wrong one gets."""

import json
import math

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data.errors import InputError
from data.tasks import TaskSpec
from teachers.outside import file_fingerprint, outside_targets, read_answers

MOOD = TaskSpec("mood", classes=("sad", "glad"))
RATING = TaskSpec("rating", kind="regression", low=1.0, high=7.0)
MINE = "id,sad,glad\na,0.25,0.75\nb,1,0\n"


@pytest.fixture
def write(tmp_path):
    """A function that writes a teacher's file."""

    def written(text, name="mine.csv"):
        (tmp_path / name).write_text(text, encoding="utf-8")
        return tmp_path / name

    return written


def targets_of(path, *, ids="abc", asked=(0, 1, 2), required=(0, 1), spec=MOOD):
    return outside_targets(
        path, spec, list(ids), asked=np.array(asked), required=np.array(required), fingerprint="f"
    )


def chances(logits):
    return np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)


def test_probabilities_become_their_logarithms_so_that_the_softmax_gives_them_back(write):
    found, logits = read_answers(write(MINE), MOOD)
    assert found == {"a": 0, "b": 1}
    assert logits.dtype == np.float32
    np.testing.assert_allclose(logits[0], [math.log(0.25), math.log(0.75)], atol=1e-6)
    np.testing.assert_allclose(chances(logits), [[0.25, 0.75], [1, 0]], atol=1e-6)
    assert np.isfinite(logits).all()


@pytest.mark.parametrize(
    "text",
    [
        "id,glad,sad\na,0.75,0.25\n",
        "glad,id,sad\n0.75,a,0.25\n",
        "id,p_glad,p_sad,note\na,0.75,0.25,mine\n",
        "id,split,tasks,text,context,sad,glad\na,train,mood,some words,,0.25,0.75\n",
        f"id,logit_sad,logit_glad\na,0,{math.log(3)}\n",
    ],
)
def test_classes_are_found_by_their_names_and_not_by_their_order(write, text):
    """By order a teacher would teach the wrong classes without any error."""
    _, logits = read_answers(write(text), MOOD)
    np.testing.assert_allclose(chances(logits), [[0.25, 0.75]], atol=1e-6)


def test_every_kind_of_table_says_the_same(tmp_path, write):
    rows = [{"id": "a", "sad": 0.25, "glad": 0.75}, {"id": "b", "sad": 1.0, "glad": 0.0}]
    paths = [
        write(MINE),
        write(MINE.replace(",", "\t"), "mine.tsv"),
        write("".join(json.dumps(row) + "\n" for row in rows), "mine.jsonl"),
        tmp_path / "mine.parquet",
    ]
    pq.write_table(pa.Table.from_pylist(rows), paths[3])
    first, *others = [read_answers(path, MOOD) for path in paths]
    for found, logits in others:
        assert found == first[0]
        np.testing.assert_array_equal(logits, first[1])


def test_a_regressions_values_are_on_the_tasks_own_scale(write):
    _, values = read_answers(write("id,value\na,1\nb,2.5\nc,7.6\n"), RATING)
    np.testing.assert_allclose(values, [[0.0], [0.25], [1.1]], atol=1e-6)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id,sad\na,1\n", r"mine\.csv: column 'glad' is missing: task 'mood' needs a column for "),
        ("id,p_sad\na,1\n", r"column 'p_glad' is missing: .* sad, glad: CLASS, p_CLASS or logit"),
        ("id,text\na,b\n", r"column 'sad', 'glad' is missing"),
        ("id,sad,glad,calm\na,0,1,0\n", r"column 'calm' is no class of task 'mood': its classes "),
        ("id,p_sad,p_glad,p_calm\na,0,1,0\n", r"column 'p_calm' is no class of task 'mood'"),
        ("id,sad,glad,logit_sad,logit_glad\na,0,1,0,1\n", "columns CLASS and logit_CLASS of every"),
        ("name,sad,glad\na,0,1\n", r"column 'id' is missing"),
        ("id,sad,glad,sad\na,0,1,0\n", r"column 'sad' stands twice"),
        ("", r"mine\.csv: column 'id' is missing"),
        (f"{MINE}c,0.5,0.4\n", r"mine\.csv:4: the probabilities sum to 0\.9: .* 1 within 0\.001"),
        (f"{MINE}c,-0.1,1.1\n", r"mine\.csv:4, column 'sad': -0\.1 is no probability: .* logit_"),
        (f"{MINE}c,many,1\n", r"mine\.csv:4, column 'sad': 'many' is no finite number"),
        (f"{MINE}c,nan,1\n", r"mine\.csv:4, column 'sad': 'nan' is no finite number"),
        (f"{MINE}c,,1\n", r"mine\.csv:4, column 'sad': '' is no finite number"),
        ("id,logit_sad,logit_glad\na,0,inf\n", r":2, column 'logit_glad': 'inf' is no finite"),
        ("id,logit_sad,logit_glad\na,0,1e39\n", r":2, column 'logit_glad': '1e39' is no finite"),
        (f"{MINE}a,0.5,0.5\n", r"mine\.csv:4: id 'a' stands in line 2 already: give each row once"),
        (f"{MINE},0.5,0.5\n", r"mine\.csv:4, column 'id': is empty"),
        (f"{MINE}c,0.5\n", r"mine\.csv:4: has 2 cells: the header names 3"),
    ],
)
def test_a_wrong_file_is_named_with_its_line_or_column_and_what_would_be_right(
    write, text, message
):
    with pytest.raises(InputError, match=message) as caught:
        read_answers(write(text), MOOD)
    assert len(str(caught.value).splitlines()) == 1


def test_a_post_in_the_place_of_a_number_is_not_repeated(write):
    post = "i feel so alone since my dog died"
    with pytest.raises(InputError, match=r"a text of 33 characters is no finite") as caught:
        read_answers(write(f"id,sad,glad\na,{post},1\n"), MOOD)
    assert "alone" not in str(caught.value)


def test_probabilities_may_be_rounded_to_three_decimals(write):
    _, logits = read_answers(write("id,sad,glad\na,0.333,0.6665\n"), MOOD)
    np.testing.assert_allclose(chances(logits), [[0.333 / 0.9995, 0.6665 / 0.9995]], atol=1e-6)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("mine.xls", "'.xls' is no table: give .csv, .tsv, .jsonl or .parquet"),
        ("mine.parquet", "is not a Parquet file"),
        ("mine.jsonl", "mine.jsonl:1: is not JSON: Expecting value at character 1"),
    ],
)
def test_a_file_of_another_kind_is_refused(write, name, message):
    with pytest.raises(InputError, match=message):
        read_answers(write(MINE, name), MOOD)


def test_the_rows_that_the_task_asks_about_are_taken_by_id_in_the_tables_order(write):
    path = write("id,sad,glad\nx,0.5,0.5\nc,0.1,0.9\nb,0.2,0.8\na,0.3,0.7\ny,0.5,0.5\n")
    targets, unknown = targets_of(path, ids="dabc", asked=(0, 1, 3), required=(1,))
    assert targets.ids.to_pylist() == ["a", "c"]
    np.testing.assert_allclose(chances(targets.logits), [[0.3, 0.7], [0.1, 0.9]], atol=1e-6)
    assert (targets.task, targets.classes, targets.fingerprint) == ("mood", MOOD.classes, "f")
    assert targets.token_logits is None
    assert unknown == 2  # b is a row, of another task


def test_train_rows_that_are_missing_are_counted_and_the_first_three_named(write):
    ids = [f"row{number}" for number in range(6)]
    path = write("id,sad,glad\nrow1,0.5,0.5\n")
    expected = (
        r"mine\.csv: 4 of 5 train rows of task 'mood' are missing: 'row0', 'row2', 'row3' …: .*"
        r"kd data --table"
    )
    with pytest.raises(InputError, match=expected):
        targets_of(path, ids=ids, asked=range(6), required=range(5))


def test_dev_and_test_rows_may_be_missing(write):
    targets, _ = targets_of(write(MINE), required=(0, 1))
    assert targets.ids.to_pylist() == ["a", "b"]


def test_the_fingerprint_changes_with_the_file_and_the_rows_and_not_with_its_name(write):
    first = file_fingerprint(write(MINE), "rows")
    assert file_fingerprint(write(MINE, "other.csv"), "rows") == first
    assert file_fingerprint(write(MINE), "other rows") != first
    assert file_fingerprint(write(MINE.replace("0.25,0.75", "0.75,0.25")), "rows") != first


def test_a_file_that_is_gone_is_asked_for(tmp_path):
    with pytest.raises(InputError, match=r"gone\.csv: no such file: check file in teachers\.tasks"):
        file_fingerprint(tmp_path / "gone.csv", "rows")
