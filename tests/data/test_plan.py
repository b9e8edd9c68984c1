"""Tests of data.plan: a pure function of (seed, step) that owes every row and pool its share."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from data.plan import make_plan, pool_shares, shard

pool_sizes = st.lists(st.integers(1, 60), min_size=1, max_size=15)
samplings = st.sampled_from(["proportional", "size_power", "temperature", "uniform"])


def known_of(sizes):
    """(rows, 4) of which the first sizes[0] rows know the tasks of the bits of 1, and so on."""
    pool = np.repeat(np.arange(1, len(sizes) + 1), sizes)
    return ((pool[:, None] >> np.arange(4)) & 1).astype(bool)


def drawn(plan):
    """How often each row stands in the batches of the whole run."""
    return Counter(np.concatenate([plan.batch(step) for step in range(plan.steps)]).tolist())


def test_a_pool_is_the_rows_that_know_the_same_tasks():
    known = np.array([[1, 0], [1, 1], [0, 0], [1, 0], [0, 1]], dtype=bool)
    plan = make_plan(known, batch_size=2, epochs=1, seed=0)
    assert sorted(pool.tolist() for pool in plan.pools) == [[0, 3], [1], [4]]


def test_rows_without_a_target_are_never_drawn():
    known = np.array([[1, 0], [0, 0], [0, 1]] * 5, dtype=bool)
    plan = make_plan(known, batch_size=4, epochs=3, seed=0)
    assert set(drawn(plan)) == set(np.flatnonzero(known.any(axis=1)).tolist())


def test_a_table_without_any_target_is_refused():
    with pytest.raises(ValueError, match="no row has a target"):
        make_plan(np.zeros((3, 2), dtype=bool), batch_size=2, epochs=1, seed=0)


@pytest.mark.parametrize(
    ("epochs", "steps"), [(1, 4), (2, 7), (0.5, 2), (0.01, 1), (3.2, 10), (3.201, 11)]
)
def test_the_run_has_as_many_steps_as_its_epochs_need(epochs, steps):
    plan = make_plan(np.ones((50, 1), dtype=bool), batch_size=16, epochs=epochs, seed=0)
    assert plan.steps == steps


def test_rounding_adds_no_step():
    """2.2 * 50 / 11 is 10.000000000000002 to the machine."""
    plan = make_plan(np.ones((50, 1), dtype=bool), batch_size=11, epochs=2.2, seed=0)
    assert plan.steps == 10


def test_a_batch_depends_on_the_seed_and_the_step_alone():
    """A resumed run asks for step 9 first; a plan with a state would give it the first rows."""
    known = known_of([30, 7, 12])
    plan, again = (make_plan(known, batch_size=8, epochs=4, seed=5) for _ in range(2))
    forward = [plan.batch(step) for step in range(plan.steps)]
    backward = [again.batch(step) for step in reversed(range(again.steps))][::-1]
    for first, second in zip(forward, backward, strict=True):
        np.testing.assert_array_equal(first, second)


def test_another_seed_gives_another_order_of_the_same_shares():
    known = known_of([30, 7, 12])
    plan, other = (make_plan(known, batch_size=8, epochs=2, seed=seed) for seed in (5, 6))
    np.testing.assert_array_equal(plan.quotas, other.quotas)
    assert plan.batch(0).tolist() != other.batch(0).tolist()


def test_every_pass_has_an_order_of_its_own():
    plan = make_plan(np.ones((40, 1), dtype=bool), batch_size=40, epochs=3, seed=0)
    orders = {tuple(plan.batch(step).tolist()) for step in range(3)}
    assert len(orders) == 3


@given(pool_sizes, st.integers(1, 16), samplings)
@example([4, 1, 4, 4, 1, 4, 1, 1, 4, 1, 4, 300], 1, "proportional")
@example([3, 3, 1, 1, 3, 1, 3, 1, 4, 3, 1, 300], 8, "proportional")
def test_every_batch_is_full_and_no_pool_walks_backwards(sizes, batch_size, sampling):
    """Many small pools beside a large one: a negative quota shows rows twice in a pass."""
    plan = make_plan(known_of(sizes), batch_size=batch_size, epochs=1, seed=0, sampling=sampling)
    quotas = np.diff(plan.quotas, axis=0)
    assert (quotas >= 0).all()
    np.testing.assert_array_equal(quotas.sum(axis=1), batch_size)
    for step in range(plan.steps):
        assert len(plan.batch(step)) == batch_size


@given(pool_sizes, st.integers(1, 16), samplings)
def test_a_pool_is_never_two_rows_from_its_share_of_the_batches_so_far(sizes, batch_size, sampling):
    known = known_of(sizes)
    plan = make_plan(known, batch_size=batch_size, epochs=1, seed=0, sampling=sampling)
    sizes_as_planned = np.array([len(pool) for pool in plan.pools], dtype=float)
    rarest = np.array([known.sum(axis=0)[known[pool[0]]].min() for pool in plan.pools], float)
    shares = pool_shares(sizes_as_planned, rarest, sampling, 0.75)
    owed = np.arange(plan.steps + 1)[:, None] * batch_size * shares
    assert (np.abs(plan.quotas - owed) < 2).all()


@given(pool_sizes, st.integers(1, 16), st.integers(1, 3), samplings)
def test_the_rows_of_a_pool_are_seen_equally_often_up_to_its_last_pass(
    sizes, batch_size, epochs, sampling
):
    plan = make_plan(
        known_of(sizes), batch_size=batch_size, epochs=epochs, seed=1, sampling=sampling
    )
    seen = drawn(plan)
    for pool, number in zip(plan.pools, plan.quotas[-1], strict=True):
        times = [seen[row] for row in pool.tolist()]
        assert sum(times) == number
        assert max(times) - min(times) <= 1


@pytest.mark.parametrize("epochs", [1, 2, 5])
def test_after_whole_epochs_every_row_was_seen_once_an_epoch(epochs):
    known = known_of([37, 5, 1, 53])
    plan = make_plan(known, batch_size=12, epochs=epochs, seed=0)
    assert set(drawn(plan).values()) == {epochs}
    assert len(drawn(plan)) == 96


@pytest.mark.parametrize(
    ("sampling", "alpha", "shares"),
    [
        ("proportional", 0.75, (0.9, 0.1)),
        # 900^0.75 = 164.317 and 100^0.75 = 31.623
        ("size_power", 0.75, (0.83861, 0.16139)),
        # 900^(1/2) = 30 and 100^(1/2) = 10
        ("temperature", 2.0, (0.75, 0.25)),
        ("uniform", 0.75, (0.5, 0.5)),
    ],
)
def test_each_sampling_draws_its_shares_of_pools_of_900_and_100_rows(sampling, alpha, shares):
    sizes = np.array([900.0, 100.0])
    found = pool_shares(sizes, sizes, sampling, alpha)
    np.testing.assert_allclose(found, shares, atol=5e-6)
    plan = make_plan(
        known_of([900, 100]), batch_size=16, epochs=4, seed=0, sampling=sampling, alpha=alpha
    )
    drawn_shares = plan.quotas[-1] / plan.quotas[-1].sum()
    np.testing.assert_allclose(drawn_shares, shares, atol=0.01)


@given(st.lists(st.integers(1, 200), max_size=40), st.integers(1, 50))
def test_the_parts_of_a_batch_hold_each_row_once(lengths, parts):
    rows = np.arange(1000, 1000 + len(lengths))
    shards = shard(rows, lengths, parts)
    assert len(shards) == parts
    assert sorted(np.concatenate(shards).tolist()) == rows.tolist()
    sizes = [len(part) for part in shards]
    assert max(sizes) - min(sizes) <= 1


@given(st.lists(st.integers(1, 200), min_size=1, max_size=40), st.integers(1, 8))
def test_the_parts_of_a_batch_are_even_in_tokens(lengths, parts):
    """One process with all long texts would make every other one wait at each step."""
    lengths = np.array(lengths)
    tokens = [int(lengths[part].sum()) for part in shard(np.arange(len(lengths)), lengths, parts)]
    assert max(tokens) - min(tokens) <= lengths.max()


@pytest.mark.parametrize("processes", [1, 2, 3, 4, 7])
def test_the_union_over_the_processes_is_the_global_batch(processes):
    known = known_of([40, 9, 23])
    lengths = np.random.default_rng(0).integers(3, 64, len(known))
    plans = [make_plan(known, batch_size=10, epochs=1, seed=2) for _ in range(processes)]
    for step in range(plans[0].steps):
        rows = [
            shard(plan.batch(step), lengths[plan.batch(step)], processes)[rank].tolist()
            for rank, plan in enumerate(plans)
        ]
        union = sorted(row for part in rows for row in part)
        assert union == sorted(plans[0].batch(step).tolist())


def test_a_row_of_several_tasks_is_drawn_as_often_as_its_rarest_task_asks():
    """A few rows with another set of the same tasks must not become a pool of their own weight."""
    known = np.zeros((1000, 2), dtype=bool)
    known[:900, 0] = True
    known[900:, 1] = True
    plain = make_plan(known, batch_size=40, epochs=4, seed=0, sampling="uniform")
    known[900:904, 0] = True
    mixed = make_plan(known, batch_size=40, epochs=4, seed=0, sampling="uniform")
    drawn = zip(mixed.pools, mixed.quotas[-1], strict=True)
    passes = {len(pool): total / len(pool) for pool, total in drawn}
    assert passes[4] == pytest.approx(passes[96], rel=0.05)
    assert plain.quotas[-1][1] == pytest.approx(mixed.quotas[-1][1:].sum(), rel=0.02)


@pytest.mark.parametrize("sampling", ["proportional", "size_power", "uniform"])
def test_every_batch_holds_rows_of_each_of_three_tasks(sampling):
    """A batch a task, one after the other, would pull the shared encoder to and fro."""
    known = np.eye(3, dtype=bool)[np.repeat([0, 1, 2], [900, 300, 150])]
    plan = make_plan(known, batch_size=32, epochs=2, seed=0, sampling=sampling)
    for step in range(plan.steps):
        assert known[plan.batch(step)].any(axis=0).all()
