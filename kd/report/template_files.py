"""The files in templates/, ready to be filled in."""

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

# Names of the templates end in what they make, so that only HTML is escaped as HTML.
TEMPLATES = Environment(
    loader=PackageLoader("kd.report"),
    autoescape=select_autoescape(("html",)),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def _cell(value: object) -> str:
    """A cell of a Markdown table, in which | ends a cell and < begins a tag."""
    return str(value).replace("|", "\\|").replace("<", "&lt;")


TEMPLATES.filters["cell"] = _cell
