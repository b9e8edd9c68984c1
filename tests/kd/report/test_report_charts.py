"""Tests of kd.report.charts: pictures as text, and what stands on which axis."""

import pytest

from kd.report import charts


def test_a_picture_takes_the_colour_of_the_page(cells):
    rows = [{"name": "mood", "value": 0.1, "low": 0.0, "high": 0.2}]
    picture = charts.svg(charts.intervals(rows, label="name", title="apart", margin=0.02))
    assert picture.startswith("<svg")
    assert "mood" in picture
    assert "apart" in picture
    assert "currentColor" in picture


def test_a_file_of_its_own_brings_its_text_colours_and_is_else_the_same():
    style = charts.svg_file('<svg width="1"><g></g></svg>')
    before, inside, after = style.partition("</style>")
    assert (before.partition("<style>")[0] + after) == '<svg width="1"><g></g></svg>'
    assert "prefers-color-scheme:dark" in before
    assert before.index("<style>") == len('<svg width="1">')
    assert inside


def test_a_confusion_has_gold_down_and_predicted_across():
    rows = [{"gold": "sad", "predicted": "glad", "rows": 1, "share": 1.0}]
    found = charts.confusion(rows, ["sad", "glad"], "student").to_dict()
    for layer in found["layer"]:
        assert layer["encoding"]["y"]["field"] == "gold"
        assert layer["encoding"]["x"]["field"] == "predicted"
        assert layer["encoding"]["y"]["sort"] == ["sad", "glad"]
    assert found["layer"][1]["encoding"]["text"]["field"] == "rows"


def test_a_reliability_has_the_confidence_across_and_the_accuracy_up():
    rows = [{"model": "student", "confidence": 0.9, "accuracy": 0.5, "rows": 3}]
    points = charts.reliability(rows, ["student"]).to_dict()["layer"][1]["encoding"]
    assert (points["x"]["field"], points["y"]["field"]) == ("confidence", "accuracy")


@pytest.mark.parametrize("models", [["teacher", "student"], ["student"]])
def test_a_model_has_the_same_colour_in_every_chart(models):
    scale = charts.model_colour(models).to_dict()["scale"]
    colours = dict(zip(scale["domain"], scale["range"], strict=True))
    assert colours["student"] == charts.COLOURS["student"]
    assert list(colours) == models


def test_the_cost_joins_the_front_and_fills_its_points_alone():
    rows = [{"name": "student", "score": 0.5, "latency": 2.0, "front_latency": True}]
    found = charts.cost(rows, x="latency", title="ms").to_dict()
    line, points, _ = found["layer"]
    assert line["transform"] == [{"filter": "datum.front_latency"}]
    assert points["encoding"]["fillOpacity"]["condition"]["test"] == "datum.front_latency"
    assert points["encoding"]["x"]["scale"]["type"] == "log"
    assert points["encoding"]["x"]["scale"]["domain"] == pytest.approx([2 / 1.8, 3.6])


def test_names_of_systems_of_nearly_one_cost_stand_above_each_other():
    costs = {"teachers": 200.0, "student": 17.0, "student fp32": 8.2, "student fp16": 8.2}
    rows = [{"name": name, "score": 0.5, "latency": cost, "front_latency": True}
            for name, cost in costs.items()]  # fmt: skip
    points = charts.cost(rows, x="latency", title="ms").to_dict()["data"]["values"]
    lifts = {point["name"]: point["lift"] for point in points}
    assert lifts == {"student fp32": -12, "student fp16": -26, "student": -40, "teachers": -12}


def test_the_band_of_an_interval_chart_goes_from_minus_to_plus_the_margin():
    rows = [{"name": "mood", "value": 0.1, "low": 0.0, "high": 0.2}]
    layers = charts.intervals(rows, label="name", title="", margin=0.03).to_dict()["layer"]
    assert layers[0]["data"]["values"] == [{"low": -0.03, "high": 0.03}]
    without = charts.intervals(rows, label="name", title="").to_dict()["layer"]
    assert len(without) == len(layers) - 1


def test_more_lines_than_colours_start_the_colours_again():
    order = [str(number) for number in range(10)]
    scale = charts.curves([], order=order, y="").to_dict()["encoding"]["color"]["scale"]
    assert scale["domain"] == order
    assert scale["range"][8:] == scale["range"][:2]
