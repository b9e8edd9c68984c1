"""Checkpoints: the whole state of one training on disk, so that it goes on where it stopped."""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedType, broadcast_object_list
from safetensors.torch import load_file, save_file

from data.errors import InputError
from kd.atomic import sync

Weights = dict[str, torch.Tensor]


@dataclass
class State:
    """How far a training is, and its best weights so far (of the main process, on the CPU)."""

    weights: Weights
    step: int = 0  # optimizer steps done
    best_score: float = float("-inf")
    best_step: int = 0
    without_better: int = 0  # evaluations since the best
    plateaus: int = 0  # evaluations that brought nothing better, of the whole training


@dataclass(frozen=True)
class Checkpoints:
    """FOLDER/step-00000500/: accelerate's state (weights, optimizer, scaler), progress.json, and
    best.safetensors. Schedules, rows and random numbers follow from the step and the process.

    key: what the training depends on; a checkpoint of another key is not resumed.
    every: steps between checkpoints, 0 for none but when stopped. keep: the last ones kept.
    """

    folder: Path
    key: str
    every: int = 0
    keep: int = 1

    def are_due(self, step: int) -> bool:
        """Whether to write one after that many steps."""
        return self.every > 0 and step % self.every == 0

    def save(self, accelerator: Accelerator, state: State) -> None:
        """Write a checkpoint, whole or not at all, and delete the oldest; all processes call it."""
        place = self.folder / f"step-{state.step:08d}"
        temporary = self.folder / f".{place.name}.part"
        if accelerator.is_main_process:
            shutil.rmtree(temporary, ignore_errors=True)
            temporary.mkdir(parents=True)
        accelerator.wait_for_everyone()
        accelerator.save_state(str(temporary))
        if accelerator.is_main_process:
            if state.weights:
                save_file(state.weights, temporary / "best.safetensors")
            about = {name: value for name, value in vars(state).items() if name != "weights"}
            about |= {"key": self.key, "processes": accelerator.num_processes}
            (temporary / "progress.json").write_text(json.dumps(about) + "\n", encoding="utf-8")
        accelerator.wait_for_everyone()
        if accelerator.is_main_process:
            sync(temporary)
            shutil.rmtree(place, ignore_errors=True)
            temporary.replace(place)
            for old in self._places()[: -self.keep]:
                shutil.rmtree(old)
        accelerator.wait_for_everyone()

    def resume(self, accelerator: Accelerator) -> State:
        """Load the newest checkpoint of this training into what `accelerator` prepared.

        Without one the training starts anew, and checkpoints of another key are deleted.
        Raises InputError when this number of processes can't read it.
        """
        place, about = broadcast_object_list(
            [self._newest() if accelerator.is_main_process else (None, {})]
        )[0]
        if place is None:
            if accelerator.is_main_process:
                self.clear()
            return State({})
        is_deepspeed = accelerator.distributed_type == DistributedType.DEEPSPEED
        if is_deepspeed and about["processes"] != accelerator.num_processes:
            raise InputError(
                f"{place}: was written by {about['processes']} processes under DeepSpeed, and "
                f"{accelerator.num_processes} can't read it: start as many, or delete the folder"
            )
        accelerator.load_state(str(place))
        best = place / "best.safetensors"
        return State(
            weights=load_file(best) if accelerator.is_main_process and best.is_file() else {},
            step=about["step"],
            best_score=about["best_score"],
            best_step=about["best_step"],
            without_better=about["without_better"],
            plateaus=about.get("plateaus", 0),  # older checkpoints have none
        )

    def clear(self) -> None:
        """Delete the checkpoints: the training is finished, or was another."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _places(self) -> list[Path]:
        return sorted(self.folder.glob("step-*"))

    def _newest(self) -> tuple[Path | None, dict[str, Any]]:
        for place in reversed(self._places()):
            about = json.loads((place / "progress.json").read_text(encoding="utf-8"))
            if about["key"] == self.key:
                return place, about
        return None, {}
