"""Tests of kd.report.rationales: which score stands in which cell."""

from dataclasses import replace

from kd.report.rationales import rationales_section

GOLD = [0, 1, 2]


def scores(start):
    """Token-F1 and IOU-F1 of each answer, a hundredth apart from `start`."""
    cells = ("model", "all_tokens", "no_token")
    return {
        key: {
            cell: {
                "token_f1": start + 0.1 * group + 0.02 * place,
                "iou_f1": start + 0.1 * group + 0.02 * place + 0.01,
                "rows": 7 - group,
            }
            for place, cell in enumerate(cells)
        }
        for group, key in enumerate(("level>0", "all"))
    }


def faithful(start):
    names = ("comprehensiveness", "sufficiency", "random_comprehensiveness", "random_sufficiency")
    return {name: start + 0.1 * place for place, name in enumerate(names)} | {"rows": 1234}


def run_of(planted, finished, models):
    """A run with a task that quotes, of which metrics.json has these scores, and one without."""
    sides = dict.fromkeys(models, GOLD)
    task = planted(GOLD, token_f1={model: [1, 1, 1] for model in models}, **sides)
    run = finished(task, planted(GOLD, name="mood", **sides))
    mood = run.metrics["tasks"]["mood"]
    return replace(run, metrics={"tasks": {"reply": {"test": models}, "mood": mood}})


def test_a_teacher_that_quotes_nothing_leaves_its_cells_empty(planted, finished, cells):
    models = {"teacher": {}, "student": {"rationale": scores(0.3)}}
    (part,) = rationales_section(run_of(planted, finished, models)).parts
    assert [row["teacher"] for row in cells(part.tables[0])] == [""] * 4
    assert cells(part.tables[0])[0]["student"] == "0.300"


def test_scores_stand_below_their_model_and_beside_the_constant_answers(planted, finished, cells):
    models = {"teacher": {"rationale": scores(0.5)}, "student": {"rationale": scores(0.3)}}
    section = rationales_section(run_of(planted, finished, models))
    (part,) = section.parts
    rows = [list(row.values()) for row in cells(part.tables[0])]
    # Of rows, rows, metric, every token, no token, teacher, student.
    assert rows == [
        ["reply", "level > 0", "7", "token-F1", "0.320", "0.340", "0.500", "0.300"],
        ["reply", "level > 0", "7", "IOU-F1", "0.330", "0.350", "0.510", "0.310"],
        ["reply", "all", "6", "token-F1", "0.420", "0.440", "0.600", "0.400"],
        ["reply", "all", "6", "IOU-F1", "0.430", "0.450", "0.610", "0.410"],
    ]
    assert list(cells(part.tables[0])[0])[4:] == ["every token", "no token", "teacher", "student"]
    assert section.data == {"reply": {name: found["rationale"] for name, found in models.items()}}


def test_faithfulness_stands_in_the_column_of_its_name(planted, finished, cells):
    models = {
        "teacher": {"rationale": scores(0.5)},
        "student": {"rationale": scores(0.3) | {"faithfulness": faithful(-0.1)}},
    }
    _, part = rationales_section(run_of(planted, finished, models)).parts
    assert cells(part.tables[0]) == [{
        "task": "reply", "model": "student", "rows": "1,234", "comprehensiveness": "−0.100",
        "sufficiency": "+0.000", "comprehensiveness, random": "+0.100",
        "sufficiency, random": "+0.200",
    }]  # fmt: skip


def test_a_student_alone_has_no_teachers_score(planted, finished, cells):
    section = rationales_section(run_of(planted, finished, {"student": {"rationale": scores(0.3)}}))
    assert {row["teacher"] for row in cells(section.parts[0].tables[0])} == {""}


def test_without_rationales_there_is_no_section(planted, finished):
    assert rationales_section(finished(planted(GOLD, student=GOLD))) is None
