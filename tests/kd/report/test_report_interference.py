"""Tests of kd.report.interference: cosines of the log by pair, in order and over the training."""

import json

import pytest

from kd.report.interference import interference_section, samples_of


def cosines(**pairs):
    return {f"gradient_cosine/{pair.replace('__', '/')}": value for pair, value in pairs.items()}


LOG = [
    {"step": 1, "loss/mood": 1.0},
    {"step": 2, **cosines(mood__reply=0.5, mood__age=-0.5, age__reply=0.25)},
    {"step": 4, **cosines(mood__reply=0.7, mood__age=0.1, age__reply=None)},
    {"step": 6, **cosines(mood__reply=0.0, mood__age=-0.5)},
]


@pytest.fixture
def section(planted, finished):
    names = ("mood", "reply", "age")
    run = finished(*(planted([0, 1], name=name, student=[0, 1]) for name in names))
    run.run.logs.mkdir()
    text = "\n".join(map(json.dumps, LOG)) + "\n"
    (run.run.logs / "distill.jsonl").write_text(text)
    return interference_section(run)


def test_pairs_stand_with_their_mean_and_share_of_conflicts_the_most_in_conflict_first(
    section, cells
):
    """A cosine of exactly 0 is no conflict."""
    assert [list(row.values()) for row in cells(section.parts[0].tables[0])] == [
        ["mood", "age", "3", "−0.30", "66.7 %"],
        ["reply", "age", "1", "+0.25", "0.0 %"],
        ["mood", "reply", "3", "+0.40", "0.0 %"],
    ]


def test_a_pair_is_found_whichever_task_is_named_first_and_only_where_it_was_sampled():
    assert samples_of(LOG, "reply", "age") == ([2], [0.25])
    assert samples_of(LOG, "mood", "reply") == ([2, 4, 6], [0.5, 0.7, 0.0])


def test_the_course_is_the_least_the_mean_and_the_greatest_of_the_pairs_at_each_step(section):
    _, course = section.parts[0].figures
    points = course.chart.to_dict()["data"]["values"]
    found = {(point["series"], point["step"]): point["value"] for point in points}
    assert [found["most in conflict", step] for step in (2, 4, 6)] == [-0.5, 0.1, -0.5]
    assert [found["most in agreement", step] for step in (2, 4, 6)] == [0.5, 0.7, 0.0]
    means = [found["mean of all pairs", step] for step in (2, 4, 6)]
    assert means == pytest.approx([0.25 / 3, 0.4, -0.25])


def test_the_number_of_sampled_batches_is_told(section):
    assert "sampled on 3 batches" in section.parts[0].sentences[0]


def test_without_samples_the_section_says_why(planted, finished):
    found = interference_section(finished(planted([0, 1], student=[0, 1])))
    assert "holds no samples of its gradients" in found.parts[0].sentences[0]
    assert found.data == {}
