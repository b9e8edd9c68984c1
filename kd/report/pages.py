"""The report's files: one page that opens from disk, the same in Markdown, every figure as JSON."""

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from kd.report.charts import png, svg, svg_file
from kd.report.section import Mark, Section
from kd.report.template_files import TEMPLATES

FILES = {"index.html", "README.md", "report.json", "figures"}


def write_pages(
    folder: Path,
    *,
    title: str,
    sections: Sequence[Section],
    config: str,
    examples: Sequence[dict[str, Any]] | None,
) -> None:
    """Write index.html, README.md, report.json and figures/*.svg, with a PNG and a CSV beside
    those that have cells.

    examples: rows for the page's browser, None where no text may be shown.
    """
    figures = [figure for one in sections for part in one.parts for figure in part.figures]
    pictures = {figure.name: svg(figure.chart) for figure in figures}
    (folder / "figures").mkdir()
    for name, picture in pictures.items():
        (folder / "figures" / f"{name}.svg").write_text(svg_file(picture), encoding="utf-8")
    for figure in figures:
        if figure.cells is not None:
            (folder / "figures" / f"{figure.name}.png").write_bytes(png(figure.chart))
            path = folder / "figures" / f"{figure.name}.csv"
            with path.open("w", encoding="utf-8", newline="") as file:
                csv.writer(file, lineterminator="\n").writerows(figure.cells)
    data: dict[str, Any] = {"title": title, "config": config}
    data |= {section.key: section.data for section in sections}
    # allow_nan: a NaN would not be JSON; better no report than one that no program can read.
    text = json.dumps(data, indent=1, ensure_ascii=False, allow_nan=False)
    (folder / "report.json").write_text(text + "\n", encoding="utf-8")
    shown = {
        "title": title,
        "sections": sections,
        "config": config,
        "is_mark": lambda cell: isinstance(cell, Mark),
    }
    for name in ("index.html", "README.md"):
        page = TEMPLATES.get_template(name).render(
            **shown,
            pictures={key: Markup(picture) for key, picture in pictures.items()},
            examples=None if examples is None else in_script(examples),
        )
        (folder / name).write_text(page, encoding="utf-8")


def in_script(values: Any) -> Markup:
    """JSON that may stand in a <script>: nothing in it can end the element."""
    text = json.dumps(values, ensure_ascii=False, allow_nan=False)
    # <, > and & are rare in JSON outside strings, where \u003c is the same letter.
    for letter in "<>&":
        text = text.replace(letter, f"\\u{ord(letter):04x}")
    return Markup(text)
