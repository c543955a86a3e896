"""What is to be trained? The runs that a command or a call asks for, the folder they belong to, and their file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rlbatch.env_ids import import_module
from rlbatch.experiment import Experiment, experiment_at
from rlbatch.experiment_file import ExperimentFile, plan
from rlbatch.grid import PlannedRun, Request, expand
from rlbatch.paths import env_folder
from rlbatch.strict_yaml import Document


@dataclass(frozen=True)
class Task:
    """What is asked for.

    Attributes:
        command: the command's name.
        modules: to be imported by the workers.
        planned: the runs to train, where they are not finished.
        experiment: the folder they belong to.
        file: the experiment file of which they are all or some.
        confirms: name of the experiment whose choice the runs confirm; empty for any others.
    """

    command: str
    modules: list[str]
    planned: list[PlannedRun]
    experiment: Experiment
    file: ExperimentFile | None = None
    confirms: str = ""


def task_of_request(request: Request, modules: Sequence[str], out: str | Path, name: str | None) -> Task:
    """Returns all combinations that a request asks for; nothing has been written.

    Args:
        request: the request; its environment's module has been imported.
        modules: for the workers.
        out: the folder of all experiments.
        name: of the experiment's folder; None for <env>-<algo>.

    Raises:
        InputError: the environment, a setting, a combination or the folder's name is refused.
        RefusedError: the environment needs a module that nobody named.
    """
    planned = expand(request)
    first = planned[0].config
    default = f"{env_folder(first.env_id)}-{first.algo}"
    experiment = experiment_at(Path(out).expanduser(), default if name is None else name)
    return Task("train", list(modules), planned, experiment)


def task_of_document(
    command: str, document: Document, modules: Sequence[str], out: str | Path, name: str | None
) -> Task:
    """Returns all runs of an experiment file; nothing has been written.

    Args:
        command: the command's name.
        document: what the file says.
        modules: to be imported, here and by the workers.
        out: the folder of all experiments.
        name: of the experiment's folder; None for the file's.

    Raises:
        InputError: the file, a module or the folder's name is refused.
        RefusedError: an environment needs a module that nobody named.
    """
    for module in modules:
        import_module(module)
    file = plan(document)
    experiment = experiment_at(Path(out).expanduser(), file.name if name is None else name)
    return Task(command, list(modules), file.planned, experiment, file)
