"""Token files: an encoded table on disk, memory-mapped, so that many models share one reading.

Each array of the table is a .npy file. They hold token ids, which can be read back as the text.
"""

from collections.abc import Sequence
from contextlib import ExitStack
from io import BufferedWriter
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from datasets import Dataset
from transformers import PreTrainedTokenizerBase

from data.encoding import EncodedTable, assembled, encoded_chunks
from data.tasks import TaskSpec


def write_tokens(
    folder: Path,
    table: Dataset,
    tokenizer: PreTrainedTokenizerBase,
    tasks: Sequence[TaskSpec],
    *,
    max_tokens: int,
) -> None:
    """Encode a table, as data.encoding.encode_table does, into the files of an empty folder."""
    files: dict[str, BufferedWriter] = {}
    shapes: dict[str, tuple[int, ...]] = {}
    with ExitStack() as stack:
        for chunk in encoded_chunks(table, tokenizer, tasks, max_tokens=max_tokens):
            for name, values in chunk.items():
                if name not in files:
                    files[name] = stack.enter_context((folder / f"{name}.npy").open("wb"))
                    shapes[name] = (0, *values.shape[1:])
                    _write_header(files[name], shapes[name], values)
                shapes[name] = (shapes[name][0] + len(values), *values.shape[1:])
                files[name].write(values.tobytes())
        for name, file in files.items():
            file.seek(0)
            _write_header(file, shapes[name], chunk[name])


def _write_header(file: BufferedWriter, shape: tuple[int, ...], values: npt.NDArray[Any]) -> None:
    """Write the head of a .npy file; numpy leaves room in it for the first axis to grow."""
    about = {**np.lib.format.header_data_from_array_1_0(values), "shape": shape}
    np.lib.format.write_array_header_1_0(file, about)


def map_tokens(
    folder: Path,
    table: Dataset,
    tokenizer: PreTrainedTokenizerBase,
    tasks: Sequence[TaskSpec],
) -> EncodedTable:
    """The table that `write_tokens` encoded: its token arrays are read from disk when used."""
    arrays = {path.stem: np.asarray(np.load(path, mmap_mode="r")) for path in folder.glob("*.npy")}
    return assembled(arrays, table, tokenizer, tasks)
