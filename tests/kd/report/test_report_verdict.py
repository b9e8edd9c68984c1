"""Tests of kd.report.verdict: its words, its tests, and the sentences that sum them up."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from kd.report.measures import compare_on
from kd.report.verdict import TaskVerdict, headline, verdict_section, verdicts
from kd.statistics import Comparison, Estimate

GOLD = np.arange(60) % 3
COST = {
    "systems": [
        {"name": "teachers", "models": 2, "parameters": 30_000_000, "megabytes": 120.0,
         "latency_ms": {"p50": 50.0, "p95": 60.0}, "rows_per_second": 1000.4},
        {"name": "student", "models": 1, "parameters": 12_000_000, "megabytes": 48.0,
         "latency_ms": {"p50": 4.0, "p95": 5.0}, "rows_per_second": 20.0},
    ]
}  # fmt: skip


@pytest.fixture(autouse=True)
def few_resamples(monkeypatch):
    """Ten thousand take half a second."""
    monkeypatch.setattr("kd.report.verdict.compare_on", partial(compare_on, resamples=2_000))


def wrong_on(rows):
    """Answers that are right but on these rows."""
    said = GOLD.copy()
    said[list(rows)] = (said[list(rows)] + 1) % 3
    return said


def row(task, teacher, student, word="worse", p_holm=0.01, measure="macro_f1"):
    """A verdict on one value a model; the interval of the difference is 0.04 wide on each side."""
    apart = Estimate(student - teacher, student - teacher - 0.04, student - teacher + 0.04)
    sides = (Estimate(value, value - 0.1, value + 0.1) for value in (teacher, student))
    compared = Comparison(*sides, apart, p_value=0.005, rows=100)
    return TaskVerdict(task, measure, compared, 0.1, 0.2, word, p_holm)


@pytest.mark.parametrize(
    ("teacher", "student", "margin", "word"),
    [
        (range(20), [], 0.02, "better"),
        ([], range(20), 0.02, "worse"),
        (range(3), range(3, 6), 0.3, "no worse within margin"),
        (range(3), range(3, 6), 0.01, "not decided at this size"),
        ([], range(20), 0.9, "no worse within margin"),
    ],
)
def test_a_verdict_follows_the_students_answers_and_the_configs_margin(
    planted, finished, teacher, student, margin, word
):
    task = planted(GOLD, teacher=wrong_on(teacher), student=wrong_on(student))
    (found,) = verdicts(finished(task, report={"margin": margin}))
    assert found.word == word


def test_a_teacher_that_quotes_nothing_has_no_verdict_on_rationales(planted, finished):
    f1 = {"teacher": np.zeros(60), "student": np.arange(60) / 60}
    task = planted(GOLD, teacher=wrong_on(range(20)), student=GOLD, token_f1=f1)
    silent = replace(task.models["teacher"], token_f1=None, spans=None)
    task = replace(task, models={**task.models, "teacher": silent})
    labels, rationale = verdicts(finished(task))
    assert (labels.word, rationale.word) == ("better", None)
    assert rationale.compared.second.value == pytest.approx(f1["student"][GOLD > 0].mean())


def test_without_the_teachers_cost_the_headline_speaks_of_scores_alone():
    cost = {"systems": COST["systems"][1:], "outside": ["mood"]}
    (found, *_) = headline([row("mood", 0.8, 0.4)], cost, 0.02)
    assert (
        "keeps 50.0 % of the teachers' mean score over 1 tasks (0.400 against 0.800). Of" in found
    )
    assert "parameters" not in found
    whole = headline([row("mood", 0.8, 0.4)], COST, 0.02)[0]
    assert "(0.400 against 0.800); it has 40.0 % of their parameters and takes 8.0 % of" in whole


def test_a_teacher_that_ran_outside_stands_in_the_cost_table(planted, finished, cells):
    run = finished(planted(GOLD, teacher=GOLD, student=GOLD))
    cost = {"systems": COST["systems"][1:], "outside": ["mood"]}
    section = verdict_section(run, verdicts(run), cost)
    rows = [list(line.values())[:2] for line in cells(section.parts[1].tables[0])]
    assert rows == [["student", "1"], ["teacher mood", "outside"]]


def test_p_values_are_corrected_for_all_rows_of_the_table(planted, finished):
    """Holm: of two, the lower counts twice."""
    few, many = (
        planted(GOLD, name=name, teacher=wrong_on(range(rows)), student=GOLD)
        for name, rows in (("few", 6), ("many", 9))
    )
    found = {row.task: row for row in verdicts(finished(few, many))}
    p_few, p_many = found["few"].compared.p_value, found["many"].compared.p_value
    assert p_many < p_few / 2 < 0.01
    assert found["many"].p_holm == pytest.approx(2 * p_many)
    assert found["few"].p_holm == pytest.approx(p_few)


def test_the_p_of_mcnemar_and_the_accuracies_by_hand(planted, finished):
    """Of 9 rows on which one model alone is right, the teacher has 1: 2 · (1 + 9) / 2⁹."""
    task = planted(GOLD, teacher=wrong_on(range(8)), student=wrong_on([8]))
    (found,) = verdicts(finished(task))
    assert found.p_mcnemar == pytest.approx(20 / 512)
    assert found.accuracies == (52 / 60, 59 / 60)


def test_a_verdict_stands_beside_the_constant_answer_and_tf_idf(planted, finished):
    (found,) = verdicts(finished(planted([0, 1, 2], student=[0, 1, 2])))
    assert (found.constant, found.tfidf) == (0.1, 0.2)


def test_a_rationale_has_a_row_of_its_own_over_the_rows_with_a_level(planted, finished):
    gold = [1, 2, 1, 0]
    token_f1 = {"teacher": [1.0, 0.5, np.nan, 0.0], "student": [0.5, 0.3, 1.0, 1.0]}
    task = planted(gold, teacher=gold, student=gold, token_f1=token_f1)
    _, found = verdicts(finished(task))
    assert found.name == "reply, rationale"
    assert (found.constant, found.tfidf, found.p_mcnemar) == (0.25, None, None)
    assert found.compared.first.value == pytest.approx(0.75)
    assert found.compared.second.value == pytest.approx(0.4)
    assert found.compared.rows == 2


def test_the_headline_by_hand():
    """Means 0.6 and 0.45 of the tasks, the rationale's left out: 75 %; 30 M / 12 M; 50 / 4 ms."""
    rows = [
        row("mood", 0.8, 0.6),
        row("warmth", 0.4, 0.3, "no worse within margin", 0.2),
        row("warmth", 0.9, 0.1, "better", 0.04, "rationale_token_f1"),
        row("age", 0.6, 0.45, "worse", 0.3),
    ]
    assert headline(rows, COST, 0.05) == [
        "The student keeps 75.0 % of the teachers' mean score over 3 tasks (0.450 against 0.600); "
        "it has 40.0 % of their parameters and takes 8.0 % of their time. Of 4 scores it is better "
        "on 1, no worse within 0.05 on 1 and worse on 2.",
        "Each word rests on its own interval. Corrected for 4 tests at once, 2 of the 3 “better” "
        "and “worse” stay: mood and warmth, rationale.",
    ]


def test_the_headline_names_the_scores_that_are_undefined(planted, finished):
    mood = planted(GOLD, name="mood", teacher=GOLD, student=GOLD)
    age = planted(GOLD + 1.0, name="age", kind="regression", teacher=GOLD + 1.0, student=[4.0] * 60)
    rows = verdicts(finished(mood, age))
    first, *_, last = headline(rows, COST, 0.02)
    assert "(1.000 against 1.000)" in first
    assert last == "Undefined on these rows, and left out: age."
    assert rows[1].compared is None


def test_teachers_at_0_have_no_share_to_keep():
    (found, *_) = headline([row("age", -0.1, 0.2)], COST, 0.02)
    assert found.startswith("The student stands beside the teachers' mean score")


def test_without_teachers_no_word_is_said(planted, finished, cells):
    run = finished(planted(GOLD, student=wrong_on(range(6))))
    section = verdict_section(run, verdicts(run), COST)
    assert "stands alone" in section.parts[0].sentences[0]
    (found,) = cells(section.parts[0].tables[0])
    assert list(found) == ["task", "student", "TF-IDF", "constant", "rows"]
    assert len(section.parts) == 2


def test_the_tables_of_the_first_screen_by_hand(planted, finished, cells):
    run = finished(planted(GOLD, student=GOLD), report={"margin": 0.02})
    about = {"accuracies": (0.75, 0.5), "p_mcnemar": 0.125}
    rows = [TaskVerdict(**{**vars(row("mood", 0.8, 0.6)), **about})]
    first, cost, tests = verdict_section(run, rows, COST).parts
    assert cells(first.tables[0]) == [{
        "task": "mood", "verdict": "worse", "student − teacher": "−0.200 [−0.240, −0.160]",
        "student": "0.600 [0.500, 0.700]", "teacher": "0.800 [0.700, 0.900]", "TF-IDF": "0.200",
        "constant": "0.100", "rows": "100",
    }]  # fmt: skip
    assert cells(cost.tables[0]) == [
        {"system": "teachers", "models": "2", "parameters": "30.0 M", "weights": "120 MB",
         "one pair, median": "50.0 ms", "95th percentile": "60.0 ms",
         "pairs a second, 32 at once": "1,000"},
        {"system": "student", "models": "1", "parameters": "12.0 M", "weights": "48 MB",
         "one pair, median": "4.0 ms", "95th percentile": "5.0 ms",
         "pairs a second, 32 at once": "20"},
    ]  # fmt: skip
    # Half a width of 0.04 on 100 rows: half of that takes four times the rows.
    assert cells(tests.tables[0]) == [{
        "task": "mood", "p": "0.005", "p, Holm": "0.010", "accuracy, teacher": "0.750",
        "student": "0.500", "p, McNemar": "0.125", "rows for ±0.02": "400",
    }]  # fmt: skip
    assert [figure.name for figure in tests.figures] == ["differences"]
