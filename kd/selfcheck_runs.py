"""The runs of a self-check: real commands on a few rows, in several processes, killed at times."""

import json
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
import psutil
from datasets import DatasetDict

from data.errors import InputError
from data.tables import gold_of
from kd.config import Config
from kd.config_file import dump_config
from kd.run_folder import RunFolder
from kd.stages.data import data_stage

TRAIN_ROWS, OTHER_ROWS = 48, 16  # of each task


class SelfcheckRuns:
    """The commands of a self-check, each in a copy of one prepared run."""

    def __init__(self, config: Config, folder: Path, steps: int) -> None:
        self.name, self.folder, self.steps = config.name, folder, steps
        self.config = folder / "config.yaml"
        self.config.write_text(dump_config(config), encoding="utf-8")
        self.base = RunFolder(folder / "base" / config.name)
        self._loaded = config
        self._said = folder / "stderr.txt"  # of the latest command

    def prepare(self) -> None:
        """Splits of few rows, teachers of two steps, and what they say."""
        self.base.open(self._loaded)
        data_stage(self._loaded, self.base)
        table, profile = self.base.load_splits()
        few = _few_rows(table, list(self._loaded.tasks))
        self.base.save_splits(few, profile | {"hash": "self-check"})
        self._run("teach", (), 1, self.base.path.parent)
        self._run("label", (), 1, self.base.path.parent)

    def started(self, command: str, *overrides: str, runs: str, processes: int = 1) -> RunFolder:
        """What a command came to in a copy of the prepared run."""
        copy = self._copy(runs, labelled=command != "label")
        self._run(command, overrides, processes, copy.path.parent)
        return copy

    def killed(
        self, processes: int, chance: random.Random, *overrides: str, then: int
    ) -> tuple[RunFolder, int]:
        """A distillation that was killed at a random step and started again by `then` processes;
        the step."""
        for attempt in range(5):
            copy = self._copy(f"killed-{processes}-{then}-{attempt}")
            step = chance.randrange(1, max(2, self.steps // 2))
            started = self._start("distill", overrides, processes, copy.path.parent)
            try:
                while started.poll() is None and _last_step(copy) < step:
                    time.sleep(0.001)
            finally:
                _kill(started)
            if not (copy.student / "model.safetensors").exists():
                step = _last_step(copy)
                self._run("distill", overrides, then, copy.path.parent)
                return copy, step
        raise InputError("the training ended before it could be killed: give more --steps")

    def _copy(self, runs: str, *, labelled: bool = True) -> RunFolder:
        place = self.folder / runs / self.name
        names = ("logs",) if labelled else ("logs", "soft_targets", "label-*")
        shutil.copytree(
            self.base.path, place, copy_function=os.link, ignore=shutil.ignore_patterns(*names)
        )
        return RunFolder(place)

    def _run(self, command: str, overrides: Sequence[str], processes: int, runs: Path) -> None:
        started = self._start(command, overrides, processes, runs)
        try:
            status = started.wait()
        finally:
            _kill(started)
        if status != 0:
            lines = [line for line in self._said.read_text().splitlines() if line.strip()]
            ours = [line for line in lines if line.startswith("kd: ")]
            last = (ours or lines or ["no message"])[-1]
            raise InputError(f"kd {command} in {processes} processes: {last}")

    def _start(
        self, command: str, overrides: Sequence[str], processes: int, runs: Path
    ) -> subprocess.Popen[bytes]:
        launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={processes}"]
        settings = [
            *overrides,
            f"training.max_steps={self.steps}",
            "teachers.training.max_steps=2",
            "checkpoints.every=2",
            "logs.every=1",
            "logs.gradients=0",  # a cosine near 0 has no relative tolerance
            "logs.rows=true",
        ]
        # On CPUs, where equal bits can be asked for.
        variables = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
        with self._said.open("wb") as said:  # a pipe that nobody reads would stop the command
            return subprocess.Popen(
                [
                    sys.executable, *(launcher if processes > 1 else []), "-m", "kd", command,
                    str(self.config), *settings, "--runs", str(runs), "--overwrite",
                ],
                env=variables,
                stdout=subprocess.DEVNULL,
                stderr=said,
            )  # fmt: skip


def _last_step(run: RunFolder) -> int:
    """The last step that a student's log holds, -1 before any."""
    log = run.logs / "distill.jsonl"
    lines = log.read_bytes().split(b"\n")[:-1] if log.is_file() else []
    return int(json.loads(lines[-1])["step"]) if lines else -1


def _kill(process: subprocess.Popen[bytes]) -> None:
    """SIGKILL for a launcher and all that it started; nothing if it has ended."""
    with suppress(psutil.NoSuchProcess):
        launcher = psutil.Process(process.pid)
        for one in [*launcher.children(recursive=True), launcher]:
            with suppress(psutil.NoSuchProcess):
                one.kill()
    process.wait()


def _few_rows(table: DatasetDict, tasks: Sequence[str]) -> DatasetDict:
    """Some rows of each task in each split, evenly from the whole of it."""
    few = {}
    for split, rows in table.items():
        chosen: set[int] = set()
        for task in tasks:
            known = np.flatnonzero(np.isfinite(gold_of(rows, task)).all(axis=1))
            count = min(len(known), TRAIN_ROWS if split == "train" else OTHER_ROWS)
            chosen |= set(known[np.linspace(0, len(known) - 1, count).astype(int)].tolist())
        few[split] = rows.select(sorted(chosen))
    return DatasetDict(few)
