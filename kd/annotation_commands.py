"""The commands around annotation by people: kd collect | kd kappa."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.markup import escape
from rich.table import Table

from data.errors import InputError, shown
from data.lexicon import TOP, top_words
from kd.cli_options import out

if TYPE_CHECKING:
    from kd.agreement import Agreement
    from kd.collect import Counts

# Ids that are named of those that are left out.
NAMED = 5


def collect(
    sources: Annotated[
        list[Path], typer.Argument(metavar="IN [IN …]", help=".csv, .tsv, .jsonl or .parquet files")
    ],
    target: Annotated[Path, typer.Option("--out", metavar="FILE.csv", help="the table, a new one")],
    keywords: Annotated[
        list[str], typer.Option("--keyword", help="of which a text must hold one; give it again")
    ],
    lexicon: Annotated[
        Path, typer.Option(metavar="FILE", help="rows word,rating, or a word a line")
    ],
    top: Annotated[
        int | None,
        typer.Option(
            min=1, help=f"the words rated highest, of which a text must hold one [default: {TOP}]"
        ),
    ] = None,
    column: Annotated[
        str | None, typer.Option(help="of the texts [default: text or response_post]")
    ] = None,
) -> None:
    """Collect the texts to annotate: normalised, with a keyword and a word, each once.

    Words are whole and in any case. Addresses, user names and e-mail addresses become <URL>,
    <USER> and <EMAIL>. The table has the columns id, text and an empty label for people to fill.
    """
    from kd.collect import collect as collect_texts

    words = top_words(lexicon, top)
    try:
        counts = collect_texts(sources, target, keywords=keywords, words=words, column=column)
    except OSError as error:
        raise InputError(f"kd collect: {str(error).splitlines()[0]}") from None
    print_counts(counts, target)


def kappa(
    first: Annotated[Path, typer.Argument(metavar="A.csv", help="one annotator's rows")],
    second: Annotated[Path, typer.Argument(metavar="B.csv", help="another's of the same ids")],
    column: Annotated[str, typer.Option(help="of the labels")] = "label",
    levels: Annotated[
        str | None, typer.Option(metavar="A,B…", help="the labels in order, lowest first")
    ] = None,
    weights: Annotated[
        Literal["linear", "quadratic"] | None,
        typer.Option(help="levels further apart disagree more; needs --levels"),
    ] = None,
) -> None:
    """Compare two annotators' labels: Cohen's kappa, the share of equal ones, who said what.

    Rows are joined by the column id. Those that one of the two left out are left out.
    """
    from kd.agreement import agreement, read_annotations

    one, other = read_annotations(first, column), read_annotations(second, column)
    named = [level.strip() for level in levels.split(",")] if levels else []
    found = agreement(one, other, levels=named, weights=weights)
    for this, that in ((one, other), (other, one)):
        _print_left_out(f"{this.path}: without a label", this.unlabelled)
        _print_left_out(
            f"{this.path}: not in {that.path}",
            [name for name in (*this.labels, *this.unlabelled) if name not in that.ids],
        )
    print_agreement(found, weights)


def print_counts(counts: "Counts", target: Path) -> None:
    """A line a step: how many rows it left out, and why the first was rejected."""
    shown_table = Table(box=None, pad_edge=False, show_header=False)
    shown_table.add_column()
    shown_table.add_column(justify="right")
    for step, count in (
        ("read", counts.read),
        ("rejected", counts.rejected),
        ("without a keyword", counts.without_keyword),
        ("without a word of the lexicon", counts.without_word),
        ("repeated", counts.duplicates),
        ("kept", counts.kept),
    ):
        shown_table.add_row(step, f"{count:,}")
    out.print(shown_table)
    if counts.first_rejected is not None:
        out.print(f"first rejected: {counts.first_rejected}", markup=False)
    if counts.renamed:
        out.print(f"ids that another text had, now with a hash behind: {counts.renamed:,}")
    out.print(f"{target}", markup=False)


def print_agreement(found: "Agreement", weights: str | None) -> None:
    """Both numbers with their intervals, and the confusion table."""
    from kd.report.wording import with_interval

    out.print(f"rows labelled in both: {found.rows:,}")
    kind = f"kappa, {weights} weights" if weights else "kappa"
    said = "none: both gave one label to all rows"
    out.print(f"{kind}: {with_interval(found.kappa) if found.kappa else said}", markup=False)
    out.print(f"equal labels: {with_interval(found.share)}", markup=False)
    confusion = Table(box=None, pad_edge=False)
    confusion.add_column("first \\ second")
    names = [escape(label if len(label) <= 30 else shown(label)) for label in found.labels]
    for name in names:
        confusion.add_column(name, justify="right")
    for name, counts in zip(names, found.confusion.tolist(), strict=True):
        confusion.add_row(name, *(f"{count:,}" for count in counts))
    out.print(confusion)


def _print_left_out(reason: str, ids: Sequence[str]) -> None:
    if ids:
        named = ", ".join(map(shown, ids[:NAMED])) + (" …" if len(ids) > NAMED else "")
        out.print(f"left out, {reason}: {len(ids):,} ({named})", markup=False)
