"""Reader of a data set on the Hugging Face hub, or in a local folder, through `datasets`."""

from collections.abc import Iterator
from typing import Any

from data.errors import InputError
from data.readers.record import Record, Row, check_header
from data.readers.table import Columns, cell_text

HUB_SPLITS = {"train": "train", "validation": "dev", "dev": "dev", "test": "test"}


def read_hub(
    name: str, *, columns: Columns, subset: str | None = None
) -> Iterator[tuple[str | None, Record]]:
    """(split, record) of every row; validation is dev. Class numbers become their names.

    A data set of a single part has no given split (None). Raises InputError when the data set
    can't be loaded or a column is missing.
    """
    from datasets import load_dataset

    try:
        splits = load_dataset(name, subset)
    except Exception as error:  # the hub's client raises dozens of kinds
        raise InputError(
            f"hub {name!r}: can't be loaded ({type(error).__name__}): "
            f"check the name and the network, or give local files"
        ) from None
    for split, rows in splits.items():
        if len(splits) > 1 and split not in HUB_SPLITS:
            continue
        where = f"hub {name!r}, {split}"
        check_header(where, list(rows.column_names), columns.wanted)
        class_names = (
            getattr(rows.features[columns.label], "names", None) if columns.label else None
        )
        for number, cells in enumerate(rows, start=1):
            if columns.label and class_names is not None:
                cells[columns.label] = _class_name(cells[columns.label], class_names)
            row = Row(
                f"{where} row {number}", {key: cell_text(cells[key]) for key in columns.wanted}
            )
            yield (HUB_SPLITS[split] if len(splits) > 1 else None), columns.record(row)


def _class_name(value: Any, class_names: list[str]) -> str | None:
    """The name of a class number; -1 is the hub's mark of an unlabelled row."""
    return class_names[value] if value is not None and value >= 0 else None
