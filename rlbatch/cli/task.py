"""What does a command that trains ask for? Its runs, their folder, and the file they come from, if any."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rlbatch.cli import experiments
from rlbatch.environments import import_module
from rlbatch.experiment import Experiment, experiment_at
from rlbatch.experiment_file import ExperimentFile, load
from rlbatch.grid import PlannedRun


@dataclass(frozen=True)
class Task:
    """What a command asks for.

    Attributes:
        command: its name.
        modules: to be imported by the workers.
        planned: the runs to train, where they are not finished.
        experiment: the folder they belong to.
        file: the experiment file of which they are all or some.
    """

    command: str
    modules: list[str]
    planned: list[PlannedRun]
    experiment: Experiment
    file: ExperimentFile | None = None


def task_of_file(command: str, given: Mapping[str, Any]) -> Task:
    """Returns all runs of an experiment file; nothing has been written.

    Args:
        command: the command's name.
        given: its file, modules, out and name (None for the file's).

    Raises:
        InputError: the file, a module or the folder's name is refused.
        RefusedError: an environment needs a module that the command line did not name.
    """
    path = experiments.find(given["file"])
    for module in given["modules"]:
        import_module(module)
    file = load(path)
    experiment = experiment_at(Path(given["out"]).expanduser(), file.name if given["name"] is None else given["name"])
    return Task(command, list(given["modules"]), file.planned, experiment, file)
