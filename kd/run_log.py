"""The log of one training: JSON lines for programs, TensorBoard scalars for people."""

import json
import shutil
from importlib.util import find_spec
from pathlib import Path

from accelerate import Accelerator
from accelerate.tracking import GeneralTracker, TensorBoardTracker


class RunLog:
    """Writes rows of numbers to FOLDER/NAME.jsonl, and to TensorBoard where it is installed.

    Only the main process writes.
    """

    def __init__(self, folder: Path, name: str, accelerator: Accelerator) -> None:
        self.file = None
        self.trackers: list[GeneralTracker] = []
        if accelerator.is_main_process:
            folder.mkdir(parents=True, exist_ok=True)
            self.file = (folder / f"{name}.jsonl").open("w", encoding="utf-8")
            if find_spec("tensorboard") is not None:
                # A second training of the same name would otherwise be drawn over the first.
                shutil.rmtree(folder / name, ignore_errors=True)
                tracker = TensorBoardTracker(run_name=name, logging_dir=str(folder))
                tracker.start()
                self.trackers.append(tracker)

    def write(self, step: int, values: dict[str, float]) -> None:
        """Append one row of a step."""
        if self.file is not None:
            self.file.write(json.dumps({"step": step, **values}) + "\n")
            self.file.flush()
            for tracker in self.trackers:
                tracker.log(values, step=step)

    def close(self) -> None:
        """Flush and close everything."""
        if self.file is not None:
            self.file.close()
            for tracker in self.trackers:
                tracker.finish()
