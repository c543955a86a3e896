"""Where does a stack train on a cluster? In a folder of its own for each attempt, from which only the driver takes.

An attempt's folder has the shape of an experiment's: run folders and `_checkpoints`. Its worker writes nowhere else, so
a worker that was thought dead can harm nothing. The driver, which holds the experiment's lock, brings finished runs to
their place by one rename.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rlbatch.config import RunConfig
from rlbatch.errors import RlbatchError
from rlbatch.experiment import ATTEMPTS, Experiment
from rlbatch.launch.checkpoints import runs_in, stack_folder, unfinished
from rlbatch.launch.job import Job
from rlbatch.paths import run_path
from rlbatch.results import RunFolder, storage

_KEPT = 2
"""Earlier attempts at a stack that are kept when it is tried again: the last ones that wrote checkpoints."""
_ASIDE = "_aside"


def attempts_in(experiment: Path) -> list[Path]:
    """Returns the folders of all attempts, of each stack the newest first."""
    root = experiment / ATTEMPTS
    stacks = sorted(path for path in root.iterdir() if path.is_dir()) if root.is_dir() else []
    return [path for stack in stacks for path in _newest_first(stack)]


def new_attempt(experiment: Path, jobs: Sequence[Job]) -> Path:
    """Makes the folder of a new attempt at a stack; nobody else can get the same one.

    A finished run, which is here to be trained again, gives up its place now.
    """
    stack = stack_folder(experiment / ATTEMPTS, [job.config.run_id for job in jobs])
    with storage(stack):
        stack.mkdir(parents=True, exist_ok=True)
        before = _newest_first(stack)
        _forget(before)
        attempt = stack / f"{int(before[0].name) + 1 if before else 1:06d}"
        attempt.mkdir()
        for job in jobs:
            if job.folder.result_path.exists():
                again = RunFolder(attempt / run_path(job.config))
                _move(job.folder.path, again.path)
                again.result_path.unlink()
    return attempt


def publish(attempt: Path, config: RunConfig, folder: RunFolder) -> dict[str, Any] | None:
    """Brings the record of a finished run from an attempt to its place, by one rename; returns its result.

    What is half done there goes aside. A finished run there stays: then, as when the attempt has not finished the run,
    None is returned.
    """
    made = RunFolder(attempt / run_path(config))
    result = _made(attempt, config)
    if result is None or folder.result_path.exists():
        return None
    with storage(folder.path):
        if folder.path.exists():
            aside = attempt / _ASIDE / run_path(config)
            shutil.rmtree(aside, ignore_errors=True)
            _move(folder.path, aside)
        _move(made.path, folder.path)  # fails if a folder with files has come there meanwhile
    return result


def result_of(experiment: Experiment, config: RunConfig) -> dict[str, Any] | None:
    """Returns a run's result, also where it still lies with an attempt, from which `salvage` will bring it."""
    found = experiment.run(config).result()
    for attempt in attempts_in(experiment.path) if found is None else ():
        with contextlib.suppress(RlbatchError):
            found = found or _made(attempt, config)
    return found


def status_of(experiment: Experiment, config: RunConfig) -> str:
    """Returns how a run stands, as `RunFolder.status` has it, whatever launcher it trained with."""
    result = result_of(experiment, config)
    if result is not None:
        return str(result["outcome"])
    return "partial" if experiment.begun(str(run_path(config))) else "planned"


def salvage(experiment: Experiment, configs: Sequence[RunConfig]) -> None:
    """Brings in what attempts have finished of these runs and no driver lived to take."""
    for attempt in attempts_in(experiment.path):
        for config in configs:
            with contextlib.suppress(RlbatchError):  # a record that cannot be read is not taken
                publish(attempt, config, experiment.run(config))


def sweep_attempts(experiment: Experiment) -> None:
    """Removes the attempts that no unfinished run can go on from."""
    left = unfinished(experiment) if (experiment.path / ATTEMPTS).is_dir() else set()
    for attempt in attempts_in(experiment.path):
        if not runs_in(attempt) & left:
            shutil.rmtree(attempt, ignore_errors=True)
    root = experiment.path / ATTEMPTS
    for folder in (*(root.iterdir() if root.is_dir() else ()), root):
        with contextlib.suppress(OSError):  # it is not empty
            folder.rmdir()


def _made(attempt: Path, config: RunConfig) -> dict[str, Any] | None:
    """Returns the result of a run that an attempt has finished; raises RlbatchError if it cannot be read."""
    made = RunFolder(attempt / run_path(config))
    result = made.result()
    return result if result is not None and made.holds(config) else None


def _newest_first(stack: Path) -> list[Path]:
    found: Iterator[Path] = (path for path in stack.iterdir() if path.name.isdigit() and path.is_dir())
    return sorted(found, key=lambda path: int(path.name), reverse=True)


def _forget(before: Sequence[Path]) -> None:
    """Removes attempts at a stack that nothing goes on from any more; the newest stays, so that numbers grow."""
    useful = [path for path in before if runs_in(path)][:_KEPT]
    for path in before[1:]:
        if path not in useful:
            shutil.rmtree(path, ignore_errors=True)


def _move(source: Path, target: Path) -> None:
    """Renames a folder, and has that on disk."""
    target.parent.mkdir(parents=True, exist_ok=True)
    source.rename(target)
    for folder in (source.parent, target.parent):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
