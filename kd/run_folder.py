"""The folder of a run: where each result lies, which config made it, which stages are finished."""

import hashlib
import json
import shutil
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from datasets import DatasetDict, load_from_disk
from pydantic import BaseModel, ValidationError

from data.errors import InputError
from kd.atomic import new_folder, write_text
from kd.config import Config
from kd.config_file import differences, dump_config
from kd.hardware import processes

# Parts of a config that no result depends on.
WITHOUT_EFFECT = {"checkpoints", "logs", "report", "export", "tune", "study", "presets"}
# Raised when the same settings come to mean another result, or a setting gets another default.
MEANING = 1
# Files of a model's folder that tell of it: how it was trained, how far it is from another.
ABOUT = {"training.json", "CERTIFICATE.json"}
# What a run that shares another's rows and teachers still does itself.
OWN_STAGES = {"distill", "evaluate"}


@dataclass(frozen=True)
class RunFolder:
    """runs/NAME: config.yaml, splits/, tokens/, speech/, teachers/, soft_targets/, student/,
    metrics.json, predictions/, report/, logs/, and checkpoints/ while a training is unfinished.

    shared: the folder of another run whose splits, tokens, teachers and soft targets are this
    one's too; None where it has its own.
    """

    path: Path
    shared: Path | None = None

    @property
    def config(self) -> Path:
        """The resolved config."""
        return self.path / "config.yaml"

    @property
    def splits(self) -> Path:
        """The rows by split, their profile and their hash."""
        return self._source / "splits"

    @property
    def student(self) -> Path:
        """The student's model folder."""
        return self.path / "student"

    @property
    def metrics(self) -> Path:
        """Every score."""
        return self.path / "metrics.json"

    @property
    def predictions(self) -> Path:
        """CSV files of answers by row id."""
        return self.path / "predictions"

    @property
    def report(self) -> Path:
        """The comparison of teachers and student, to open in a browser."""
        return self.path / "report"

    @property
    def export(self) -> Path:
        """The student as a folder that runs without kd, and where its certificate is looked for."""
        return self.path / "export"

    @property
    def logs(self) -> Path:
        """JSON lines and TensorBoard files, one training each."""
        return self.path / "logs"

    def checkpoints(self, training: str) -> Path:
        """Where an unfinished training's state lies, to go on from."""
        return self.path / "checkpoints" / training

    def teacher(self, name: str) -> Path:
        """A teacher's model folder."""
        return self._source / "teachers" / name

    def tokens(self, name: str) -> Path:
        """The token ids of every row, by a hash of the rows, the tokenizer and max_tokens."""
        return self._source / "tokens" / name

    def speech(self, name: str) -> Path:
        """What teachers hear of the rows, by a hash of the rows and of how they are spoken."""
        return self._source / "speech" / name

    def soft_targets(self, name: str) -> Path:
        """What a teacher says of every row."""
        return self._source / "soft_targets" / f"{name}.arrow"

    @property
    def _source(self) -> Path:
        return self.shared or self.path

    def _stamp(self, stage: str) -> Path:
        """The mark of a finished stage, which holds its key."""
        place = self.path if stage in OWN_STAGES else self._source
        return place / ".stages" / stage

    def open(self, config: Config, *, overwrite: bool = False) -> None:
        """Claim the folder for a config.

        Raises InputError as `check` does; with `overwrite` the new config takes over, and stages
        whose inputs changed run again.
        """
        if not overwrite:
            self.check(config)
        try:
            write_text(self.config, dump_config(config))
        except OSError as error:
            raise InputError(f"{self.path}: can't be written to: {error.strerror}") from None

    def check(self, config: Config) -> None:
        """Raise InputError when another config made the folder, naming the keys that differ.

        A folder in which nothing is made yet, as after a mistake in the config, is anybody's.
        """
        if not self.config.is_file() or [*self.path.iterdir()] == [self.config]:
            return
        there = _with_defaults(yaml.safe_load(self.config.read_text(encoding="utf-8")))
        here = config.model_dump(mode="json")
        changed = [
            change
            for key in {**there, **here}
            if key not in WITHOUT_EFFECT
            for change in differences(there.get(key), here.get(key), key)
        ]
        if changed:
            raise InputError(
                f"{self.path}: was made with another config: {'; '.join(changed[:3])}"
                f"{' …' if len(changed) > 3 else ''}: give name=… for a new folder, "
                f"or --overwrite to redo what changed here"
            )

    def once(self, stage: str, key: str, action: Callable[[], None], *, result: Path) -> bool:
        """Run a stage unless its result is there, made from these very inputs; True when it ran.

        All processes take part in the action; the main one keeps the mark of what is finished,
        which it removes first and writes last. A finished stage's checkpoints are deleted.
        """
        state = processes()
        stamp = self._stamp(stage)
        done = result.exists() and self.has_finished(stage, key)
        state.wait_for_everyone()
        if done:
            if state.is_main_process:  # a kill may have come between the mark and this
                shutil.rmtree(self.checkpoints(stage), ignore_errors=True)
            return False
        if state.is_main_process:
            stamp.unlink(missing_ok=True)
        start = time.monotonic()
        action()
        state.wait_for_everyone()
        if state.is_main_process:
            write_text(stamp, f"{key}\n{time.monotonic() - start:.1f}\n")
            shutil.rmtree(self.checkpoints(stage), ignore_errors=True)
        state.wait_for_everyone()
        return True

    def is_marked(self, stage: str) -> bool:
        """Whether a stage was finished, whatever with."""
        return self._stamp(stage).is_file()

    def forget(self, stage: str) -> None:
        """Have a stage run again."""
        self._stamp(stage).unlink(missing_ok=True)

    def has_finished(self, stage: str, key: str) -> bool:
        """Whether a stage was finished with these inputs; its result may be gone since."""
        return _key_in(self._stamp(stage)) == key

    def require(self, stage: str, key: str, command: str) -> None:
        """Raise InputError naming the command when a stage was not finished with these inputs."""
        if not self.has_finished(stage, key):
            raise InputError(
                f"{self._stamp(stage).parents[1]}: {stage} is missing or was made from other "
                f"settings or data: run {command} with this config first"
            )

    def seconds(self) -> dict[str, float]:
        """Stage → wall time of its last start, in the order in which they ended."""
        stamps = sorted((self.path / ".stages").glob("*"), key=lambda path: path.stat().st_mtime_ns)
        lines = {stamp.name: stamp.read_text(encoding="utf-8").split() for stamp in stamps}
        return {name: float(found[1]) for name, found in lines.items() if len(found) > 1}

    def save_splits(self, table: DatasetDict, profile: dict[str, Any]) -> None:
        """Write the splits and their profile as one folder, atomically; what was made of older
        rows' texts goes."""
        for made in ("tokens", "speech"):
            shutil.rmtree(self._source / made, ignore_errors=True)
        with new_folder(self.splits) as folder:
            # One shard each: an empty split would otherwise have no file and could not be loaded.
            table.save_to_disk(str(folder), num_shards=dict.fromkeys(table, 1))
            (folder / "profile.json").write_text(json.dumps(profile, indent=2) + "\n", "utf-8")

    def load_splits(self) -> tuple[DatasetDict, dict[str, Any]]:
        """The splits and their profile.

        Raises InputError when the data stage has not run.
        """
        profile = self.splits / "profile.json"
        if not profile.is_file():
            raise InputError(f"{self.splits}: holds no splits: run kd data with this config first")
        return load_from_disk(str(self.splits)), json.loads(profile.read_text(encoding="utf-8"))


def _with_defaults(settings: Any) -> Any:
    """The settings that have an effect, with the keys that are newer than the run; as they are
    where they are wrong."""
    if isinstance(settings, dict):
        settings = {key: value for key, value in settings.items() if key not in WITHOUT_EFFECT}
    try:
        return Config.model_validate(settings).model_dump(mode="json")
    except ValidationError:
        return settings


def _key_in(stamp: Path) -> str | None:
    """What a finished stage was made from; None where it is not finished."""
    lines = stamp.read_text(encoding="utf-8").split() if stamp.is_file() else []
    return lines[0] if lines else None


def content_key(*parts: Any, files: Sequence[Path] = ()) -> str:
    """A hash of JSON-able values and of files' bytes."""
    digest = hashlib.blake2b(digest_size=16)
    digest.update(json.dumps(parts, sort_keys=True, default=str).encode())
    for path in files:
        digest.update(str(path.name).encode())
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


def settings_key(settings: BaseModel, *, without: Collection[str] = ()) -> dict[str, Any]:
    """What a result depends on of settings: those that differ from their defaults, so that what
    was made stays valid when a newer version knows one more."""
    said = settings.model_dump(mode="json", exclude=set(without), exclude_defaults=True)
    return {"meaning": MEANING, **said}


def check_model(folder: Path, command: str) -> None:
    """Raise InputError naming the command to run when a model folder is not there yet."""
    if not (folder / "model.safetensors").is_file():
        raise InputError(f"{folder}: holds no model: run {command} with this config first")


def model_files(folder: Path) -> list[Path]:
    """The files that make a model what it is."""
    endings = ("*.safetensors", "*.json", "*.txt", "*.model")
    found = {path for ending in endings for path in folder.glob(ending)}
    return sorted(path for path in found if path.name not in ABOUT)
