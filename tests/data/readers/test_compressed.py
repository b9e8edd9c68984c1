"""Tests of data.readers.compressed: a compressed table is read as the plain one is."""

import gzip
import lzma
from pathlib import Path

import pytest

from data.errors import InputError
from data.readers.compressed import ending_of
from data.readers.table import Columns, header_of, read_table
from data.readers.texts import form_of, read_texts

TABLE = "text,label\nwe laughed,joy\n«né»,fear\n"


@pytest.fixture(params=["mood.csv", "mood.csv.gz", "mood.CSV.XZ"])
def table(request, tmp_path):
    """The same table, plain and compressed."""
    path = tmp_path / request.param
    opened = {".gz": gzip.open, ".xz": lzma.open}.get(path.suffix.lower(), open)
    with opened(path, "wb") as file:
        file.write(TABLE.encode())
    return path


def test_a_table_is_read_whatever_its_compression(table):
    records = list(read_table(table, columns=Columns()))
    assert [(record.text, record.label) for record in records] == [
        ("we laughed", "joy"),
        ("«né»", "fear"),
    ]
    assert records[1].where == f"{table}:3"
    assert header_of(table) == ["text", "label"]
    assert [row.text for row in read_texts(table, form_of(table))] == ["we laughed", "«né»"]


def test_a_byte_of_another_encoding_is_found_in_a_compressed_file(tmp_path):
    path = tmp_path / "mood.csv.gz"
    path.write_bytes(gzip.compress(b"text,label\nn\xe9,joy\n"))
    with pytest.raises(InputError, match=r"mood\.csv\.gz:2, byte 2: 0xe9 is not utf-8"):
        list(read_table(path, columns=Columns()))


@pytest.mark.parametrize("ending", [".gz", ".xz"])
@pytest.mark.parametrize("length", [3, 40])
def test_a_damaged_file_is_named(tmp_path, ending, length):
    """Cut in the archive's head, and in what it holds."""
    packed = {".gz": gzip.compress, ".xz": lzma.compress}[ending](TABLE.encode())
    path = tmp_path / f"mood.csv{ending}"
    path.write_bytes(packed[:length])
    for read in (
        lambda: list(read_table(path, columns=Columns())),
        lambda: list(read_texts(path, form_of(path))),
    ):
        with pytest.raises(InputError, match=rf"mood\.csv\{ending}: can't be read: "):
            read()


def test_an_ending_is_that_of_the_table():
    names = ("a.csv", "a.tsv.gz", "a.b.JSONL.xz", "a.gz", "a")
    assert [ending_of(Path(name)) for name in names] == [".csv", ".tsv", ".jsonl", "", ""]
