"""Rationales: how well they match the quoted words, and how much the answers rest on them."""

from typing import Any

from kd.report.answers import FinishedRun
from kd.report.section import Part, Section, Table
from kd.report.wording import number, plain, signed

FAITHFULNESS = ("comprehensiveness", "sufficiency", "random_comprehensiveness",
                "random_sufficiency")  # fmt: skip


def rationales_section(finished: FinishedRun) -> Section | None:
    """None when no task has rationales."""
    tasks = {
        name: finished.metrics["tasks"][name]["test"]
        for name, answers in finished.tasks.items()
        if answers.spec.has_rationale
    }
    if not tasks:
        return None
    sentences = [
        "A row scores 1 where neither side quotes anything. “Every token” and “no token” are the "
        "constant answers: on all rows the empty answer is strong, since most rows have no "
        "rationale, so level > 0 is the place to look. IOU-F1 counts a quoted span as found when "
        "it shares at least half of the union with a gold one (DeYoung et al. 2020, ERASER)."
    ]
    erased = [
        "Comprehensiveness: how much the chance of the model's answer falls when the words it "
        "quotes are taken out (higher is better). Sufficiency: how much it falls when only they "
        "are left (lower is better; below 0 it rises). “Random”: the same for one run of as many "
        "tokens at a random place. An answer rests on its quotation when it is more comprehensive "
        "and more sufficient than that. Each model is measured on the rows that it quotes from."
    ]
    parts = [Part("against the quoted words", sentences, [_matches(tasks)])]
    faithful = _faithfulness(tasks)
    if faithful.rows:
        parts.append(Part("what the answers rest on", erased, [faithful]))
    return Section("rationales", "Rationales", parts, {
        name: {model: scores["rationale"] for model, scores in models.items()
               if "rationale" in scores}
        for name, models in tasks.items()
    })  # fmt: skip


def _matches(tasks: dict[str, Any]) -> Table:
    rows = []
    for name, models in tasks.items():
        for key in ("level>0", "all"):
            found = {m: models[m]["rationale"][key]["model"] for m in ("teacher", "student")
                     if "rationale" in models.get(m, {})}  # fmt: skip
            constants = models["student"]["rationale"][key]
            for metric, words in (("token_f1", "token-F1"), ("iou_f1", "IOU-F1")):
                rows.append((
                    plain(name),
                    "level > 0" if key == "level>0" else "all",
                    f"{constants['model']['rows']:,}",
                    words,
                    number(constants["all_tokens"][metric]),
                    number(constants["no_token"][metric]),
                    number(found["teacher"][metric]) if "teacher" in found else "",
                    number(found["student"][metric]),
                ))  # fmt: skip
    columns = ("task", "of rows", "rows", "metric", "every token", "no token", "teacher", "student")
    return Table("Quoted words against gold ones", columns, rows)


def _faithfulness(tasks: dict[str, Any]) -> Table:
    rows = []
    for name, models in tasks.items():
        for model, scores in models.items():
            found = scores.get("rationale", {}).get("faithfulness")
            if found is not None:
                cells = [signed(found[key]) for key in FAITHFULNESS]
                rows.append((plain(name), model, f"{found['rows']:,}", *cells))
    return Table(
        "Faithfulness, on the test rows that the model quotes from",
        ("task", "model", "rows", "comprehensiveness", "sufficiency",
         "comprehensiveness, random", "sufficiency, random"),
        rows,
    )  # fmt: skip
