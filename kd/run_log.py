"""The log of one training: JSON lines for programs, TensorBoard scalars for people."""

import json
import shutil
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TextIO

from accelerate import Accelerator
from accelerate.tracking import GeneralTracker, TensorBoardTracker


class RunLog:
    """Writes rows of numbers to FOLDER/NAME.jsonl, and to TensorBoard where it is installed.

    every: steps between two rows of losses; gradients: comparisons of the tasks' gradients.
    about: numbers of the whole training, written as a row of step 0.
    Only the main process writes them. With `with_rows` every process writes the ids of the rows
    that it trains on to FOLDER/NAME.rows-PROCESS.jsonl.
    """

    def __init__(
        self,
        folder: Path,
        name: str,
        accelerator: Accelerator,
        *,
        every: int = 10,
        gradients: int = 0,
        with_rows: bool = False,
        about: Mapping[str, float] | None = None,
    ) -> None:
        self.every = every
        self.gradients = gradients
        self._about = dict(about or {})
        self._folder, self._name = folder, name
        self._is_main, self._with_rows = accelerator.is_main_process, with_rows
        self._process, self._processes = accelerator.process_index, accelerator.num_processes
        self._numbers: TextIO | None = None
        self._rows: TextIO | None = None
        self._trackers: list[GeneralTracker] = []

    def open(self, step: int) -> None:
        """Begin at a step: what was logged of it and of later ones is forgotten."""
        self._folder.mkdir(parents=True, exist_ok=True)
        if self._with_rows:
            rows = self._folder / f"{self._name}.rows-{self._process}.jsonl"
            self._rows = _opened(rows, step)
        if self._is_main:
            for path in self._folder.glob(f"{self._name}.rows-*.jsonl"):
                if int(path.stem.rpartition("-")[2]) >= self._processes:
                    _opened(path, step).close()  # of a process that is no more
            self._numbers = _opened(self._folder / f"{self._name}.jsonl", step)
            if find_spec("tensorboard") is not None:
                if step == 0:  # another training of that name would be drawn over the first
                    shutil.rmtree(self._folder / self._name, ignore_errors=True)
                tracker = TensorBoardTracker(
                    run_name=self._name, logging_dir=str(self._folder), purge_step=step
                )
                tracker.start()
                self._trackers.append(tracker)
            if step == 0 and self._about:
                self.write(0, self._about)

    def write(self, step: int, values: dict[str, float]) -> None:
        """Append one row of a step."""
        if self._numbers is not None:
            _append(self._numbers, {"step": step, **values})
            for tracker in self._trackers:
                tracker.log(values, step=step)

    def write_rows(self, step: int, ids: Sequence[str]) -> None:
        """Append the ids of the rows that this process trains on in a step, where asked for."""
        if self._rows is not None:
            _append(self._rows, {"step": step, "rows": list(ids)})

    def close(self) -> None:
        """Flush and close everything."""
        for file in (self._numbers, self._rows):
            if file is not None:
                file.close()
        for tracker in self._trackers:
            tracker.finish()


def _opened(path: Path, step: int) -> TextIO:
    """The file to append to, without the lines from `step` on and a last line cut short."""
    kept = []
    if step > 0 and path.is_file():
        for line in path.read_text(encoding="utf-8").splitlines(keepends=True):
            if line.endswith("\n") and json.loads(line)["step"] < step:
                kept.append(line)
    path.write_text("".join(kept), encoding="utf-8")
    return path.open("a", encoding="utf-8")


def _append(file: TextIO, row: dict[str, Any]) -> None:
    file.write(json.dumps(row) + "\n")
    file.flush()
