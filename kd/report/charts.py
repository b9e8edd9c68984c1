"""Charts of the report, as static SVG that takes the page's text colour.

They are narrow enough for a phone and stand side by side on a wide screen.
"""

import json
import math
from collections.abc import Sequence
from itertools import cycle, islice
from typing import Any

import altair as alt
import vl_convert

# Told apart by colour-blind readers, and 3 to 1 against white and against near-black.
COLOURS = {"teacher": "#d97706", "student": "#3b82f6"}
GREY = "#7c7f86"
OTHERS = ["#16a34a", "#dc2626", "#0891b2", "#c026d3", "#a16207", GREY, "#4f46e5", "#65a30d"]
WIDTH = 300
# Pixels of a letter and of a line of a point's name.
LETTER, LINE = 5.5, 14
TEXT = "currentColor"
# More would touch each other in so narrow a chart.
FEW_TICKS = alt.Axis(tickCount=4)
Rows = Sequence[dict[str, Any]]


def svg(chart: alt.TopLevelMixin) -> str:
    """The chart as one <svg> element."""
    text = vl_convert.vegalite_to_svg(_themed(chart).to_dict())
    return str(text)


def png(chart: alt.TopLevelMixin) -> bytes:
    """The chart as a picture on white, for documents that take no SVG."""
    text = json.dumps({**_themed(chart).to_dict(), "background": "white"})
    return bytes(vl_convert.vegalite_to_png(text.replace(TEXT, "black"), scale=2))


def svg_file(picture: str) -> str:
    """The same for a file of its own, which has no page to take its text colour from."""
    style = "<style>svg{color:#1b1f24}@media(prefers-color-scheme:dark){svg{color:#e4e7eb}}</style>"
    return picture.replace(">", f">{style}", 1)


def _themed(chart: Any) -> Any:
    quiet = {"titleColor": TEXT, "labelColor": TEXT, "titleFontWeight": "normal"}
    return (
        chart.configure(background="transparent", font="system-ui, sans-serif",
                        padding={"left": 20, "right": 8, "top": 4, "bottom": 4})
        .configure_view(stroke=None)
        .configure_axis(
            **quiet, gridColor=TEXT, gridOpacity=0.12, domainColor=TEXT, domainOpacity=0.4,
            tickColor=TEXT, tickOpacity=0.4, labelLimit=180,
            labelFontSize=11, titleFontSize=11, titlePadding=8,
        )
        .configure_legend(**quiet, orient="bottom", columns=2, labelLimit=150, symbolOpacity=1,
                          labelFontSize=11, columnPadding=18)
        .configure_title(color=TEXT, fontSize=12, fontWeight="normal", anchor="start")
        .configure_header(**quiet)
    )  # fmt: skip


def model_colour(models: Sequence[str]) -> alt.Color:
    """One colour a model, the same in every chart."""
    return alt.Color(
        "model:N",
        title=None,
        scale=alt.Scale(domain=list(models), range=[COLOURS[model] for model in models]),
    )


def intervals(
    rows: Rows, *, label: str, title: str, margin: float | None = None
) -> alt.TopLevelMixin:
    """Points with 95 % intervals, one a row of `label`, `value`, `low`, `high`; 0 is marked.

    margin: a band from -margin to margin in which a loss is of no account.
    """
    base = alt.Chart(alt.Data(values=list(rows))).encode(
        y=alt.Y(f"{label}:N", sort=None, title=None)
    )
    layers: list[Any] = []
    if margin is not None:
        band = alt.Chart(alt.Data(values=[{"low": -margin, "high": margin}]))
        layers.append(band.mark_rect(color=TEXT, opacity=0.1).encode(x="low:Q", x2="high:Q"))
    zero = alt.Chart(alt.Data(values=[{"at": 0}]))
    layers += [
        zero.mark_rule(color=TEXT, opacity=0.6).encode(x="at:Q"),
        base.mark_rule(color=COLOURS["student"], strokeWidth=2).encode(
            x=alt.X("low:Q", title=title, axis=FEW_TICKS), x2="high:Q"
        ),
        base.mark_point(color=COLOURS["student"], filled=True, size=60, opacity=1).encode(
            x="value:Q"
        ),
    ]
    return alt.layer(*layers).properties(width=WIDTH - 120, height=alt.Step(24))


def confusion(rows: Rows, classes: Sequence[str], title: str) -> alt.TopLevelMixin:
    """Gold down, predicted across; the number of rows, shaded by the share of the gold class."""
    size = 240 / len(classes)
    axis = alt.Axis(labelAngle=0 if len(classes) <= 4 else -90)
    base = alt.Chart(alt.Data(values=list(rows))).encode(
        x=alt.X("predicted:N", sort=list(classes), title="predicted", axis=axis),
        y=alt.Y("gold:N", sort=list(classes), title="gold"),
    )
    shade = alt.Opacity("share:Q", scale=alt.Scale(domain=[0, 1], range=[0.03, 0.6]), legend=None)
    cells = base.mark_rect(color=COLOURS["student"]).encode(opacity=shade)
    numbers = base.mark_text(color=TEXT, fontSize=11).encode(text="rows:Q")
    return alt.layer(cells, numbers).properties(
        width=alt.Step(size), height=alt.Step(min(size, 40)), title=title
    )


def reliability(rows: Rows, models: Sequence[str]) -> alt.TopLevelMixin:
    """How often an answer is right, over how sure the model was."""
    line = alt.Chart(alt.Data(values=[{"x": 0, "y": 0}, {"x": 1, "y": 1}])).mark_line(
        color=TEXT, opacity=0.4, strokeDash=[4, 4], strokeWidth=1
    )
    unit = alt.Scale(domain=[0, 1])
    base = alt.Chart(alt.Data(values=list(rows)))
    points = base.mark_point(filled=True, opacity=0.9).encode(
        x=alt.X(
            "confidence:Q",
            scale=unit,
            title="how sure (mean chance of the answer)",
            axis=alt.Axis(tickCount=5),
        ),
        y=alt.Y("accuracy:Q", scale=unit, title="how often right"),
        size=alt.Size("rows:Q", legend=None, scale=alt.Scale(range=[20, 300])),
        color=model_colour(models),
        shape=alt.Shape("model:N", title=None, scale=alt.Scale(domain=list(models))),
    )
    return alt.layer(line.encode(x="x:Q", y="y:Q"), points).properties(width=WIDTH, height=220)


def curves(rows: Rows, *, order: Sequence[str], y: str) -> alt.TopLevelMixin:
    """Lines of `value` over `step`, one a `series`; order: all series, each with its colour."""
    scale = alt.Scale(zero=False)
    chart = alt.Chart(alt.Data(values=list(rows))).mark_line(strokeWidth=1.5, clip=True)
    return chart.encode(
        x=alt.X("step:Q", title="optimizer step", axis=FEW_TICKS),
        y=alt.Y("value:Q", title=y, scale=scale),
        color=alt.Color(
            "series:N", title=None, sort=None,
            scale=alt.Scale(domain=list(order), range=[*islice(cycle(OTHERS), len(order))]),
        ),
    ).properties(width=WIDTH, height=200)  # fmt: skip


def cost(rows: Rows, *, x: str, title: str) -> alt.TopLevelMixin:
    """Mean score over a cost (logarithmic), a point a system, the Pareto front joined by a line."""
    low, high = min(row[x] for row in rows) / 1.8, max(row[x] for row in rows) * 1.8
    data = alt.Data(values=_lifted(rows, x, low, high))
    names = [row["name"] for row in rows]
    known = {"teachers": COLOURS["teacher"], "student": COLOURS["student"]}
    colours = [known.get(name, GREY) for name in names]
    scale = alt.Scale(type="log", domain=[low, high], nice=False)
    at = alt.X(f"{x}:Q", title=title, scale=scale, axis=alt.Axis(labelOverlap="greedy"))
    colour = alt.Scale(domain=names, range=colours)
    base = alt.Chart(data).encode(
        x=at,
        y=alt.Y("score:Q", title="mean score over tasks", scale=alt.Scale(zero=False, padding=24)),
    )
    front = base.transform_filter(f"datum.front_{x}")
    return alt.layer(
        front.mark_line(color=TEXT, opacity=0.4, strokeDash=[4, 4], interpolate="step-after"),
        base.mark_point(filled=True, size=90, opacity=1, strokeWidth=2).encode(
            fill=alt.Fill("name:N", legend=None, scale=colour),
            stroke=alt.Stroke("name:N", legend=None, scale=colour),
            fillOpacity=alt.condition(f"datum.front_{x}", alt.value(1), alt.value(0)),
        ),
        base.mark_text(color=TEXT, dy=alt.expr("datum.lift")).encode(text="name:N"),
    ).properties(width=WIDTH, height=220)


def _lifted(rows: Rows, x: str, low: float, high: float) -> list[dict[str, Any]]:
    """The rows with the pixels by which their names are lifted, so that no two overlap."""
    ends: list[float] = []  # the right end of the last name, a line of names each
    found = []
    for row in sorted(rows, key=lambda row: row[x]):
        middle = WIDTH * math.log(row[x] / low) / math.log(high / low)
        half = LETTER * len(row["name"]) / 2
        line = next((n for n, end in enumerate(ends) if end < middle - half), len(ends))
        ends[line:] = [middle + half, *ends[line + 1 :]]
        found.append({**row, "lift": -12 - LINE * line})
    return found


def arms(rows: Rows, *, title: str, order: Sequence[str]) -> alt.TopLevelMixin:
    """The score of each seed, an arm a line, its mean marked."""
    base = alt.Chart(alt.Data(values=list(rows))).encode(
        y=alt.Y("arm:N", sort=list(order), title=None)
    )
    x = alt.X("score:Q", title=title, scale=alt.Scale(zero=False), axis=FEW_TICKS)
    seeds = base.mark_point(filled=True, size=40, opacity=0.7, color=OTHERS[3])
    means = base.mark_tick(color=TEXT, thickness=3, height=16)
    return alt.layer(
        seeds.encode(x=x), means.encode(x=alt.X("mean(score):Q", title=title, axis=FEW_TICKS))
    ).properties(width=WIDTH - 120, height=alt.Step(24))


def matrix(rows: Rows, names: Sequence[str]) -> alt.TopLevelMixin:
    """Cosines of pairs of tasks: blue where they agree, orange where they are in conflict."""
    base = alt.Chart(alt.Data(values=list(rows))).encode(
        x=alt.X("second:N", sort=list(names), title=None, axis=alt.Axis(labelAngle=-90)),
        y=alt.Y("first:N", sort=list(names), title=None),
    )
    colour = alt.condition(
        "datum.value < 0", alt.value(COLOURS["teacher"]), alt.value(COLOURS["student"])
    )
    shade = alt.Opacity(
        "strength:Q", scale=alt.Scale(domain=[0, 1], range=[0.05, 0.7]), legend=None
    )
    cells = base.mark_rect().encode(color=colour, opacity=shade)
    numbers = base.mark_text(color=TEXT, fontSize=11).encode(
        text=alt.Text("value:Q", format="+.2f")
    )
    return alt.layer(cells, numbers).properties(width=alt.Step(44), height=alt.Step(34))
