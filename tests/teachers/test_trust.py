"""Tests of teachers.trust, and of what it does to soft targets, against numbers by hand."""

import math

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.encoding import EncodedTable
from data.ragged import Ragged
from data.tasks import TaskSpec
from teachers.soft_targets import SoftTargets, soft_columns
from teachers.trust import shares, trust_in

MOOD = TaskSpec("mood", classes=("sad", "glad", "calm"))
REPLY = TaskSpec("reply", classes=("none", "weak", "strong"), has_rationale=True)
RATING = TaskSpec("rating", kind="regression", low=1.0, high=7.0)
NAN = math.nan
UNKNOWN = [NAN, NAN, NAN]
GLAD = [0.0, 1.0, 0.0]


def table_of(gold, spec=MOOD, gold_tokens=(NAN, 1.0, 0.0, NAN)):
    """Rows a, b, c … of four tokens, the first and last special; token targets as given in all."""
    rows = len(gold)
    return EncodedTable(
        ids=tuple("abcdef"[:rows]),
        texts=Ragged.of([[1] * 4] * rows),
        offsets=np.array([[0, 0], [0, 3], [4, 9], [0, 0]] * rows, dtype=np.int32),
        contexts=Ragged.of([[]] * rows),
        pad_id=0,
        gold={spec.name: np.float32(gold)},
        gold_tokens={spec.name: np.float32([*gold_tokens] * rows)} if spec.has_rationale else {},
    )


def says(chances, spec=MOOD, ids="abcdef", token_chances=None):
    """A teacher with these chances of the first rows; token_chances: of the two tokens of each."""
    values = np.float32(chances)
    rows, tokens = len(chances), {}
    if token_chances is not None:
        odds = np.log(np.divide(token_chances, np.subtract(1, token_chances)))
        spans = np.array([[0, 3], [4, 9]] * rows, dtype=np.int32)
        tokens = {
            "token_spans": Ragged.from_lengths(spans, np.full(rows, 2)),
            "token_logits": Ragged.from_lengths(np.float32(np.tile(odds, rows)), np.full(rows, 2)),
        }
    logits = values if spec.kind == "regression" else np.log(values)
    return SoftTargets(spec.name, spec.classes, "f", pa.array(list(ids[:rows])), logits, **tokens)


def columns(table, *teachers, weights=None, spec=MOOD, temperature=1.0, trust="gold"):
    weights = weights or [1.0] * len(teachers)
    return soft_columns(list(teachers), weights, table, spec, temperature, trust)


def test_the_trust_in_a_teacher_is_the_chance_that_it_gives_to_gold():
    soft = np.float32([[0.2, 0.5, 0.3], [0.2, 0.5, 0.3], [0.2, 0.5, 0.3], UNKNOWN])
    gold = np.float32([[1, 0, 0], [0, 0, 1], UNKNOWN, GLAD])
    np.testing.assert_allclose(trust_in(soft, gold, MOOD), [0.2, 0.3, NAN, NAN], atol=1e-6)


@given(st.lists(st.floats(0.01, 1.0), min_size=3, max_size=3), st.integers(0, 2))
def test_trust_is_one_less_the_total_variation_distance_from_gold(values, answer):
    soft = np.float32([values]) / np.float32(sum(values))
    gold = np.eye(3, dtype=np.float32)[[answer]]
    distance = np.abs(soft - gold).sum() / 2
    assert trust_in(soft, gold, MOOD)[0] == pytest.approx(1 - distance, abs=1e-6)


@pytest.mark.parametrize(("value", "trust"), [(0.2, 1.0), (0.9, 0.3), (-0.1, 0.7), (1.5, 0.0)])
def test_a_value_is_trusted_by_its_distance_from_gold_on_the_scale(value, trust):
    found = trust_in(np.float32([[value]]), np.float32([[0.2]]), RATING)
    np.testing.assert_allclose(found, [trust], atol=1e-6)


def test_one_teacher_keeps_the_share_that_it_is_trusted_with_and_gold_takes_the_rest():
    """Trust 0.6: gold + 0.6 * (soft - gold) = 0.6 * (0.3, 0.6, 0.1) + 0.4 * (0, 1, 0)."""
    labels, tokens = columns(table_of([GLAD]), says([[0.3, 0.6, 0.1]]))
    np.testing.assert_allclose(labels, [[0.18, 0.76, 0.06]], atol=1e-6)
    assert tokens is None


def test_several_teachers_keep_the_share_of_their_weight_that_they_are_trusted_with():
    """Weights 3/4 and 1/4, trust 0.2 and 0.8: shares 0.15 and 0.2, and 0.65 of gold.

    0.15 * (0.7, 0.2, 0.1) + 0.2 * (0.1, 0.8, 0.1) + 0.65 * (0, 1, 0) = (0.125, 0.84, 0.035).
    """
    first, second = says([[0.7, 0.2, 0.1]]), says([[0.1, 0.8, 0.1]])
    labels, _ = columns(table_of([GLAD]), first, second, weights=[3.0, 1.0])
    np.testing.assert_allclose(labels, [[0.125, 0.84, 0.035]], atol=1e-6)


def test_without_gold_in_the_mixture_the_trusted_take_what_the_others_lose():
    """Shares 0.15 and 0.2 of 0.35: 3/7 and 4/7."""
    first, second = says([[0.7, 0.2, 0.1]]), says([[0.1, 0.8, 0.1]])
    labels, _ = columns(table_of([GLAD]), first, second, weights=[3.0, 1.0], trust="among")
    expected = [(3 * 0.7 + 4 * 0.1) / 7, (3 * 0.2 + 4 * 0.8) / 7, 0.1]
    np.testing.assert_allclose(labels, [expected], atol=1e-6)


def test_rows_without_gold_keep_the_given_weights():
    first, second = says([[0.7, 0.2, 0.1]]), says([[0.1, 0.8, 0.1]])
    labels, _ = columns(table_of([UNKNOWN]), first, second, weights=[3.0, 1.0])
    np.testing.assert_allclose(labels, [[0.55, 0.35, 0.1]], atol=1e-6)


def test_trust_goes_by_what_a_teacher_says_before_the_temperature():
    """At temperature 2 it says 1/3 and 2/3 of the first two classes, but is trusted by 0.8."""
    mood = TaskSpec("mood", classes=("sad", "glad"))
    labels, _ = columns(
        table_of([[0.0, 1.0]], mood), says([[0.2, 0.8]], mood), spec=mood, temperature=2.0
    )
    np.testing.assert_allclose(labels, [[0.8 / 3, 0.8 * 2 / 3 + 0.2]], atol=1e-6)


@pytest.mark.parametrize("trust", ["gold", "among"])
def test_a_teacher_that_is_not_trusted_at_all_gives_no_division_by_zero(trust):
    (row,), _ = columns(table_of([GLAD]), says([[1.0, 1e-38, 1e-38]]), trust=trust)
    np.testing.assert_allclose(row, GLAD if trust == "gold" else [1, 0, 0], atol=1e-6)
    among, kept = shares([1.0, 3.0], np.array([[True, True]]), np.array([[0.0, 0.0]]))
    assert among.tolist() == [[0.25, 0.75]]
    assert kept.tolist() == [0.0]


def test_where_gold_is_unknown_the_whole_share_stays_with_the_given_weights():
    among, kept = shares([1.0, 3.0], np.array([[True, True]]), np.array([[NAN, NAN]]))
    assert among.tolist() == [[0.25, 0.75]]
    assert kept.tolist() == [1.0]


@given(
    st.lists(st.tuples(st.floats(0.1, 5), st.floats(0, 1), st.booleans()), min_size=1, max_size=4)
)
def test_shares_add_up_to_one_where_a_teacher_knows_the_row(teachers):
    weights, trust, knows = (np.array(column) for column in zip(*teachers, strict=True))
    among, kept = shares(weights, knows[None].astype(bool), trust[None])
    assert among.sum() == pytest.approx(1.0 if knows.any() else 0.0)
    assert (among[0][~knows.astype(bool)] == 0).all()
    if knows.any():
        own = weights * knows
        assert kept[0] == pytest.approx(float((own * trust).sum() / own.sum()))


def test_a_regression_moves_to_gold_as_far_as_the_teacher_is_off():
    """Off by 0.3 it keeps 0.7: 0.2 + 0.7 * 0.3 = 0.41."""
    labels, _ = columns(table_of([[0.2]], RATING), says([[0.5]], RATING), spec=RATING)
    np.testing.assert_allclose(labels, [[0.41]], atol=1e-6)


def test_rationale_tokens_are_mixed_with_the_rows_own_trust():
    """Trust 0.6 and 0.3; the tokens' gold is 1 and 0, the teacher says 0.5 and 0.9."""
    table = table_of([GLAD, [1.0, 0.0, 0.0]], REPLY)
    _, tokens = columns(table, says([[0.3, 0.6, 0.1]] * 2, REPLY, token_chances=[0.5, 0.9]),
                        spec=REPLY)  # fmt: skip
    expected = [NAN, 0.6 * 0.5 + 0.4, 0.6 * 0.9, NAN, NAN, 0.3 * 0.5 + 0.7, 0.3 * 0.9, NAN]
    np.testing.assert_allclose(tokens, expected, atol=1e-6)
    assert tokens.dtype == np.float32


def test_tokens_without_gold_stay_the_teachers():
    table = table_of([GLAD], REPLY, gold_tokens=[NAN] * 4)
    _, tokens = columns(table, says([[0.3, 0.6, 0.1]], REPLY, token_chances=[0.5, 0.9]), spec=REPLY)
    np.testing.assert_allclose(tokens, [NAN, 0.5, 0.9, NAN], atol=1e-6)


def test_a_teacher_that_quotes_nothing_has_no_part_in_the_rationales():
    """The second takes half of the labels; the tokens are the first's, kept by its own trust."""
    quoting = says([[0.3, 0.6, 0.1]], REPLY, token_chances=[0.5, 0.9])
    table, silent = table_of([GLAD], REPLY), says([[0.1, 0.8, 0.1]], REPLY)
    labels, tokens = columns(table, quoting, silent, spec=REPLY, trust=None)
    np.testing.assert_allclose(labels, [[0.2, 0.7, 0.1]], atol=1e-6)
    np.testing.assert_allclose(tokens, [NAN, 0.5, 0.9, NAN], atol=1e-6)
    _, trusted = columns(table, quoting, silent, spec=REPLY)
    np.testing.assert_allclose(trusted, [NAN, 0.7, 0.54, NAN], atol=1e-6)
    assert columns(table, silent, spec=REPLY)[1] is None


def test_a_row_that_one_of_two_teachers_labelled_is_that_ones():
    """An outside teacher may know the train rows of its task alone."""
    first, second = says([[0.2, 0.7, 0.1], [0.5, 0.4, 0.1]]), says([[0.6, 0.3, 0.1]])
    labels, _ = columns(table_of([GLAD] * 3), first, second, trust=None)
    expected = [[0.4, 0.5, 0.1], [0.5, 0.4, 0.1], UNKNOWN]
    np.testing.assert_allclose(labels, expected, atol=1e-6)
