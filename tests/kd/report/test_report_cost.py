"""Tests of kd.report.cost: the Pareto front."""

from kd.report.cost import mark_front


def system(name, score, latency, megabytes=1.0):
    return {"name": name, "score": score, "latency_ms": {"p50": latency}, "megabytes": megabytes}


def front(rows):
    mark_front(rows)
    return {row["name"] for row in rows if row["front_latency"]}


def test_a_system_that_another_beats_in_score_and_cost_is_off_the_front():
    rows = [system("slow", 0.8, 10), system("quick", 0.7, 1), system("poor", 0.6, 5)]
    assert front(rows) == {"slow", "quick"}


def test_equal_systems_are_both_on_the_front():
    assert front([system("a", 0.8, 10), system("b", 0.8, 10)]) == {"a", "b"}


def test_an_equal_score_at_a_higher_cost_is_off_the_front():
    assert front([system("a", 0.8, 10), system("b", 0.8, 11)]) == {"a"}


def test_a_system_without_a_score_is_off_the_front_and_beats_nobody():
    assert front([system("a", 0.8, 10), system("none", None, 1)]) == {"a"}
