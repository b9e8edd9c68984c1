"""Collecting texts to annotate from tables of any size (Hosseini and Caragea 2021, section 3)."""

import csv
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path

from tqdm.auto import tqdm

from data.errors import InputError
from data.lexicon import folded, whole_words
from data.normalization import PLACEHOLDERS, read_text
from data.readers.texts import TEXT_COLUMNS, RejectedRow, TextRow, fault_in, form_of, read_texts
from data.rows import row_id
from kd.atomic import new_file

PLACEHOLDER = re.compile("|".join(PLACEHOLDERS))


@dataclass
class Counts:
    """How many rows were read, were left out by each step in its turn, and were kept.

    first_rejected: the place of the first rejected row and its reason. renamed: kept rows whose
    own id another kept row has.
    """

    read: int = 0
    rejected: int = 0
    without_keyword: int = 0
    without_word: int = 0
    duplicates: int = 0
    kept: int = 0
    renamed: int = 0
    first_rejected: str | None = None


@dataclass
class Filter:
    """What a text must hold, what was kept so far, and the counts.

    Of a kept row its id and 16 bytes of its text's hash are remembered.
    """

    keywords: re.Pattern[str]
    words: re.Pattern[str]
    counts: Counts = field(default_factory=Counts)
    _ids: set[str] = field(default_factory=set)
    _texts: set[bytes] = field(default_factory=set)

    def kept(self, path: Path, row: TextRow | RejectedRow) -> tuple[str, str] | None:
        """The id and the normalised text of a row that is to be kept."""
        counts = self.counts
        counts.read += 1
        fault = fault_in(path, row)
        if isinstance(row, RejectedRow) or fault is not None:
            counts.rejected += 1
            counts.first_rejected = counts.first_rejected or fault
            return None
        text = read_text(row.text, normalized=True).text
        searched = folded(PLACEHOLDER.sub(" ", text))
        if not self.keywords.search(searched):
            counts.without_keyword += 1
            return None
        if not self.words.search(searched):
            counts.without_word += 1
            return None
        digest = hashlib.blake2b(text.casefold().encode(), digest_size=16).digest()
        if digest in self._texts:
            counts.duplicates += 1
            return None
        self._texts.add(digest)
        counts.kept += 1
        return self._free_id(row, text), text

    def _free_id(self, row: TextRow, text: str) -> str:
        """The row's own id, or a hash of its text; both where another row has that id."""
        name = row_id(row.id if row.has_own_id else None, text, "")
        if name in self._ids:
            self.counts.renamed += 1
            name = f"{name}~{row_id(None, text, '')}"
        self._ids.add(name)
        return name


def collect(
    sources: Sequence[Path],
    target: Path,
    *,
    keywords: Sequence[str],
    words: Sequence[str],
    column: str | None = None,
) -> Counts:
    """Write the texts that hold a keyword and a word, each once, as a table to be annotated.

    Texts are normalised first, so that neither is found inside an address or a user name. A word
    that is also a keyword does not count: it would let every text pass. Of texts that differ in
    case and white space alone the first is kept. The table has the columns id, text and an empty
    label; an id is the row's own, or a hash of its text. Memory grows with the kept rows alone.

    column: where the texts stand, in place of the columns that `read_texts` knows. Raises
    InputError as `read_texts` and `form_of` do, for a blank keyword, where no word is left, and
    where the target is there already: people's labels may stand in it.
    """
    if target.suffix.lower() != ".csv":
        raise InputError(f"{target}: is no .csv file: name one for the table")
    if target.exists():
        raise InputError(f"{target}: is there already, maybe with labels: name another file")
    asked = {" ".join(folded(keyword).split()) for keyword in keywords}
    if not asked or "" in asked:
        raise InputError("--keyword: is blank or missing: give a word that a text must hold")
    others = [word for word in words if word not in asked]
    if not others:
        raise InputError("--lexicon: holds no word beside the keywords: give more words")
    columns = TEXT_COLUMNS if column is None else (column,)
    tables = []
    for path in sources:
        rows = read_texts(path, form_of(path), columns)
        # A wrong table is known before all else.
        tables.append((path, chain(list(islice(rows, 1)), rows)))
    chosen = Filter(whole_words(asked), whole_words(others))
    with new_file(target) as part, part.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(("id", "text", "label"))
        for path, rows in tables:
            for row in tqdm(rows, desc=path.name, unit=" rows", disable=None, delay=2):
                found = chosen.kept(path, row)
                if found is not None:
                    table.writerow((*found, ""))
    return chosen.counts
