"""The search: students of other settings on a run's rows and teachers, by their dev score alone.

runs/NAME/tune/trial-0003/ is a run's folder without what it shares with runs/NAME, and without its
student once the score is known. No score of test rows is computed: the last stage that runs is the
training, which knows train and dev.
"""

import json
import shutil
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path

from data.errors import InputError
from kd.atomic import write_text
from kd.config import Config
from kd.config_file import dump_config
from kd.hardware import by_main_process, processes
from kd.run_folder import WITHOUT_EFFECT, RunFolder, content_key, settings_key
from kd.search_space import check_space
from kd.stages.distill import distill_stage
from kd.stages.prepare import prepare
from kd.student_changes import with_settings
from kd.trials import Pruned, Trial, Trials


def tune_run(
    config: Config,
    run: RunFolder,
    total: int,
    *,
    study_name: str | None = None,
    overwrite: bool = False,
    say: Callable[[str, object], None],
) -> tuple[list[Trial], Path]:
    """Train students until `total` trials have ended; all of them, and the best one's config.

    A search that was stopped goes on with the trial it was in. Several on one run need names.
    `say` is told each stage and each trial. Raises InputError, before anything runs, for a space
    that `check_space` refuses and where the folder is of a search with other settings, unless
    `overwrite` is given; and at the end when no trial came to one.
    """
    probes = check_space(config)
    place = run.path / (f"tune-{study_name}" if study_name else "tune")
    by_main_process(partial(_claim, place, config, overwrite=overwrite))
    prepare(config, run, say, probes)
    _, profile = run.load_splits()
    with closing(Trials(place, profile["hash"], config.tune, config.seed)) as trials:
        while (asked := trials.ask(total)) is not None:
            number, settings = asked
            try:
                changed = with_settings(config, settings)
            except InputError as error:  # each value was tried, but not these together
                trials.tell("failed", None, str(error))
            else:
                folder = RunFolder(place / f"trial-{number:04d}", shared=run.path)
                _train(changed, folder, trials)
            say(f"trial {number}", True)
        ended = trials.ended()
    done = [trial for trial in ended if trial.state == "done"]
    if not done:
        raise InputError(f"{place}: no trial came to its end: {ended[-1].reason}")
    best = max(done, key=lambda trial: trial.score)
    path = place / "best.yaml"
    by_main_process(lambda: write_text(path, _best_config(config, best, len(ended))))
    return ended, path


def _claim(place: Path, config: Config, *, overwrite: bool) -> None:
    """Note what a search's folder is for; raise InputError where it is for another."""
    key = content_key(
        settings_key(config, without={*WITHOUT_EFFECT, "name"}),
        {path: settings_key(search) for path, search in config.tune.items()},
    )
    mark = place / "key"
    if mark.is_file() and mark.read_text(encoding="utf-8").strip() != key:
        if not overwrite:
            raise InputError(
                f"{place}: is a search over other settings or from another config: give "
                f"--study-name for a new one, or --overwrite to begin this one again"
            )
        shutil.rmtree(place)
    write_text(mark, key + "\n")


def _train(config: Config, folder: RunFolder, trials: Trials) -> None:
    """Train the student of the trial that was asked for, and end that."""
    by_main_process(lambda: folder.open(config, overwrite=True))
    state, score, reason = "done", None, ""
    try:
        distill_stage(config, folder, partial(trials.watch, folder.logs / "distill.jsonl"))
        about = json.loads((folder.student / "training.json").read_text(encoding="utf-8"))
        score = float(about["best_score"])
    except Pruned:
        state = "pruned"
    except InputError as error:
        if processes().num_processes > 1:  # the others may have ended with it
            raise
        state, reason = "failed", str(error)
    trials.tell(state, score, reason)
    by_main_process(lambda: _clear(folder))


def _clear(folder: RunFolder) -> None:
    """A trial's settings and log stay; its weights, of which there would be many, go."""
    for path in (folder.student, folder.path / "checkpoints"):
        shutil.rmtree(path, ignore_errors=True)


def _best_config(config: Config, best: Trial, count: int) -> str:
    changed = with_settings(config, best.settings)
    changed = changed.model_copy(update={"name": f"{config.name}-tuned"})
    return (
        f"# The best of {count} trials of kd tune, number {best.number}: dev score "
        f"{best.score:.4f}.\n"
        f"# With name={config.name} and --overwrite kd run keeps the rows and teachers of that run."
        f"\n{dump_config(changed)}"
    )
