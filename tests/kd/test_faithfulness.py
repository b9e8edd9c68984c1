"""Tests of kd.faithfulness: models that look at one token, or count them, and hand-made quotes."""

import numpy as np
import pytest
import torch
from torch import nn

from data.encoding import EncodedTable
from data.ragged import Ragged
from data.tasks import TaskSpec
from kd import faithfulness as module
from kd.faithfulness import drawn_rows, faithfulness, random_runs
from kd.hardware import new_accelerator
from student.inference import Logits, compute_logits
from student.model import StudentOutput

REPLY = TaskSpec("reply", classes=("no", "yes"), has_context=True, has_rationale=True)
START, END, KEY = 1, 2, 7


class HandMade(nn.Module):
    """A model whose chance of "yes" is a function of a text's token ids; it notes what it reads."""

    def __init__(self, chance):
        super().__init__()
        self.unused = nn.Parameter(torch.zeros(1))
        self.specs, self.chance, self.read = [REPLY], chance, []

    def forward(self, ids, mask, context_ids, context_mask, text_lengths, context_lengths):
        texts = [row[:length].tolist() for row, length in zip(ids, text_lengths, strict=True)]
        contexts = zip(context_ids, context_lengths, strict=True)
        contexts = [row[:length].tolist() for row, length in contexts]
        self.read += zip(texts, contexts, strict=True)
        chances = torch.tensor([self.chance(text) for text in texts])
        logits = torch.stack([(1 - chances).log(), chances.log()], dim=-1)
        return StudentOutput({"reply": logits}, {"reply": torch.zeros(ids.shape)})


def sees_the_key(text):
    return 0.9 if KEY in text else 0.2


def table_of(*texts):
    """Rows of these tokens between two special ones, each with a context of its own."""
    offsets = [[[0, 0], *([i, i + 1] for i in range(len(text))), [0, 0]] for text in texts]
    return EncodedTable(
        ids=tuple(f"row{number}" for number in range(len(texts))),
        texts=Ragged.of([[START, *text, END] for text in texts]),
        offsets=np.array([pair for row in offsets for pair in row], dtype=np.int32),
        contexts=Ragged.of([[START, 30 + number, END] for number in range(len(texts))]),
        pad_id=0,
        gold={"reply": np.eye(2, dtype=np.float32)[[1] * len(texts)]},
        gold_tokens={"reply": np.zeros(sum(map(len, offsets)), dtype=np.float32)},
    )


def measured(chance, table, *quotes, seed=0, rows=None):
    """The scores of a hand-made model that quotes those places of each text, and the model."""
    model = HandMade(chance)
    logits = compute_logits(model, table)
    model.read.clear()
    for row, places in enumerate(quotes):
        part = logits.tokens["reply"][table.part(row)]
        part[1:-1] = -1.0
        part[[1 + place for place in places]] = 1.0
    rows = np.arange(len(table)) if rows is None else np.array(rows)
    scores = faithfulness(model, table, REPLY, logits, rows, new_accelerator("fp32"), seed=seed)
    return scores, model


def test_quoting_the_token_that_decides_is_comprehensive_and_sufficient():
    scores, _ = measured(sees_the_key, table_of([5, KEY, 6]), [1])
    assert scores["rows"] == 1
    assert scores["comprehensiveness"] == pytest.approx(0.9 - 0.2)
    assert scores["sufficiency"] == pytest.approx(0.0)


def test_quoting_another_token_is_neither():
    scores, _ = measured(sees_the_key, table_of([5, KEY, 6]), [0, 2])
    assert scores["comprehensiveness"] == pytest.approx(0.0)
    assert scores["sufficiency"] == pytest.approx(0.9 - 0.2)


def test_the_fall_is_that_of_the_class_predicted_on_the_whole_text():
    """Here "no" with 0.8 on the whole text, and 0.1 once a token is gone."""
    falls, _ = measured(lambda text: 0.2 if len(text) == 4 else 0.9, table_of([5, 6]), [0])
    assert falls["comprehensiveness"] == pytest.approx(0.8 - 0.1)


def test_scores_are_means_over_the_rows_that_quote_something():
    """A row without a quotation loses nothing, and would pull both towards 0."""
    table = table_of([5, KEY], [KEY, 6, 8], [KEY, 9], [5, 6])
    scores, model = measured(sees_the_key, table, [1], [1, 2], [], [0])
    assert scores["rows"] == 3
    assert scores["comprehensiveness"] == pytest.approx((0.7 + 0 + 0) / 3, abs=1e-4)
    assert scores["sufficiency"] == pytest.approx((0 + 0.7 + 0) / 3, abs=1e-4)
    assert not any(context == [START, 32, END] for _, context in model.read)


def test_without_any_quotation_there_is_no_score_and_nothing_is_read():
    scores, model = measured(sees_the_key, table_of([5, KEY], [6]), [], [])
    assert scores.pop("rows") == 0
    assert len(scores) == 4
    assert set(scores.values()) == {None}
    assert model.read == []


def test_only_the_rows_that_were_chosen_count():
    table = table_of([5, 6], [KEY, 6], [KEY, 9])
    scores, model = measured(sees_the_key, table, [0], [0], [1], rows=[1])
    assert (scores["rows"], scores["comprehensiveness"]) == (1, pytest.approx(0.7))
    assert {context[1] for _, context in model.read} == {31}


def test_erased_texts_keep_their_special_tokens_and_the_whole_context():
    table = table_of([5, KEY, 6, 8], [9])
    _, model = measured(sees_the_key, table, [1, 3], [0])
    without, alone = model.read[:2], model.read[2:4]
    first, second = [START, 30, END], [START, 31, END]
    assert without == [([START, 5, 6, END], first), ([START, END], second)]
    assert alone == [([START, KEY, 8, END], first), ([START, 9, END], second)]


def test_the_control_erases_as_many_tokens():
    """A model that counts tokens answers to their number alone."""
    table = table_of([5, 6, 8, 9, 10], [11, 12, 13], [14])
    scores, model = measured(lambda text: 0.5 + 0.05 * len(text), table, [0, 2, 4], [1], [0])
    assert scores["comprehensiveness"] == pytest.approx(0.05 * (3 + 1 + 1) / 3, abs=1e-4)
    assert scores["random_comprehensiveness"] == scores["comprehensiveness"]
    assert scores["sufficiency"] == pytest.approx(0.05 * (2 + 2 + 0) / 3, abs=1e-4)
    assert scores["random_sufficiency"] == scores["sufficiency"]
    assert all((text[0], text[-1]) == (START, END) for text, _ in model.read)


def test_the_control_erases_tokens_at_random_and_not_those_that_are_quoted():
    """One token of ten: it is the one that decides in a tenth of the rows."""
    table = table_of(*[[KEY, *range(20, 29)]] * 60)
    scores, _ = measured(sees_the_key, table, *[[0]] * 60)
    assert (scores["comprehensiveness"], scores["sufficiency"]) == (pytest.approx(0.7), 0.0)
    assert 0.0 < scores["random_comprehensiveness"] < 0.2
    assert 0.5 < scores["random_sufficiency"] < 0.7
    other, _ = measured(sees_the_key, table, *[[0]] * 60, seed=1)
    assert other["random_sufficiency"] != scores["random_sufficiency"]


def test_a_text_without_special_tokens_that_is_all_quoted_is_left_out():
    """Nothing would be left for the model to read."""
    table = table_of([5, KEY], [KEY, 6])
    bare = table.keep_tokens(table.offsets[:, 1] > 0)
    labels, tokens = np.log(np.float32([[0.1, 0.9]] * 2)), np.float32([1, 1, 1, -1])
    said = Logits({"reply": labels}, {"reply": tokens})
    model, rows, accelerator = HandMade(sees_the_key), np.arange(2), new_accelerator("fp32")
    scores = faithfulness(model, bare, REPLY, said, rows, accelerator, seed=0)
    assert (scores["rows"], scores["comprehensiveness"]) == (1, pytest.approx(0.7))


@pytest.mark.parametrize("seed", range(20))
def test_a_random_run_has_its_length_in_the_real_tokens_of_its_row(seed):
    table = table_of([5, 6, 8, 9, 10], [11, 12, 13], [14])
    is_real = table.offsets[:, 1] > 0
    runs = random_runs(table.texts, is_real, np.array([2, 3, 1]), seed)
    assert not runs[~is_real].any()
    for row, length in enumerate([2, 3, 1]):
        places = np.flatnonzero(runs[table.part(row)])
        assert len(places) == length
        assert places[-1] - places[0] == length - 1
    np.testing.assert_array_equal(
        runs, random_runs(table.texts, is_real, np.array([2, 3, 1]), seed)
    )


def test_a_random_run_may_stand_at_every_place():
    table = table_of([5, 6, 8, 9])
    is_real = table.offsets[:, 1] > 0
    runs = [random_runs(table.texts, is_real, np.array([2]), seed) for seed in range(40)]
    assert {int(run.argmax()) for run in runs} == {1, 2, 3}


def test_rows_are_drawn_by_the_seed_from_those_with_gold(table, reply, monkeypatch):
    table.gold[reply.name][::2] = np.nan
    assert drawn_rows(table, reply, seed=0).tolist() == list(range(1, 24, 2))
    monkeypatch.setattr(module, "FAITHFULNESS_ROWS", 5)
    first, again, other = (drawn_rows(table, reply, seed).tolist() for seed in (0, 0, 1))
    assert first == again == sorted(set(first))
    assert len(first) == 5
    assert first != other
    assert all(row % 2 for row in first)


def test_the_scores_of_a_real_model_do_not_depend_on_the_size_of_the_batches(
    table, reply, new_model
):
    model = new_model(reply)
    with torch.no_grad():
        model.heads[reply.name].label.weight.mul_(50)
        model.heads[reply.name].rationale.weight.mul_(50)
    logits = compute_logits(model, table)
    rows, accelerator = np.arange(24), new_accelerator("fp32")
    found = [
        faithfulness(model, table, reply, logits, rows, accelerator, seed=3, batch_rows=size)
        for size in (None, 1, 7)
    ]
    assert found[1] == found[2] == found[0]
    assert found[0]["rows"] > 10
    assert abs(found[0]["comprehensiveness"]) > 1e-3
