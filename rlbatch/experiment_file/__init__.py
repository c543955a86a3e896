"""Which runs does an experiment file ask for? Its settings become planned runs, its errors name lines.

Nothing is included, interpolated or imported: an environment of a module needs that module to be imported already.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from rlbatch.config import SETTINGS
from rlbatch.errors import InputError, RlbatchError
from rlbatch.experiment import NAME
from rlbatch.experiment_file.analysis import declared_analysis
from rlbatch.experiment_file.points import Point, points, settings_of
from rlbatch.grid import PlannedRun, merged, resolve
from rlbatch.plans import Declared
from rlbatch.strict_yaml import Document, read

__all__ = ["ExperimentFile", "load", "plan", "relocate", "settings_of"]

_OPTIONS = {"--env": "env_id", "--steps": "total_timesteps"}
"""How errors meant for a command line name a field, where it is not just --field."""


@dataclass(frozen=True)
class ExperimentFile:
    """What a file asks for.

    Attributes:
        name: of the experiment's folder.
        document: the file.
        planned: the runs, each once.
        analysis: how they will be compared, as declared, with the default reference arm where none is named.
    """

    name: str
    document: Document
    planned: list[PlannedRun]
    analysis: dict[str, Any]

    def declared(self) -> Declared:
        """Returns what the experiment's folder keeps of the file."""
        also = {run.config.run_id: run.also for run in self.planned if run.also}
        return Declared([run.config for run in self.planned], also, self.document.text, self.analysis)


def load(path: Path) -> ExperimentFile:
    """Reads an experiment file and plans its runs; raises like `plan`."""
    return plan(read(path))


def plan(document: Document) -> ExperimentFile:
    """Plans the runs of an experiment.

    Raises:
        InputError: at file:line:column; one bad arm refuses the whole file.
        RefusedError: an environment needs a module that nobody named.
    """
    name = _name(document)
    planned = merged(_resolved(document, point) for point in points(document))
    return ExperimentFile(name, document, planned, declared_analysis(document, planned))


def relocate(error: RlbatchError, document: Document, point: Point) -> NoReturn:
    """Raises the error again so that it names the setting's line in the file, in the file's words.

    An error about something else than a setting, such as a folder, is raised as it is.

    Args:
        error: names a field, or the option of a command line.
        document: the file.
        point: the run at fault; empty if that is not known.
    """
    option = error.where.split(" ")[0]
    field = _OPTIONS.get(option, option.removeprefix("--").replace("-", "_"))
    if field not in SETTINGS:
        raise error
    env_id, place = point.get("env_id", ("", ("envs",)))
    parts = [field] if field != "env_id" else []
    if field in point:
        place = point[field][1]
    elif field in document.content:
        place = (field,)
    elif parts and env_id:
        parts = [env_id, *parts]
    error.what = ": ".join([*parts, error.what])
    error.where = document.where(place)
    error.hint = _as_yaml(error.hint)
    raise error


def _name(document: Document) -> str:
    name, where = document.content.get("name"), document.where(("name",))
    if name is None:
        raise InputError(where, "the file has no name", "write name: NAME, the folder under results/")
    if not isinstance(name, str) or not NAME.fullmatch(name) or name.endswith("."):
        raise InputError(where, f"name: {name!r} cannot be a folder's name", "letters, digits and . _ + -, at most 100")
    return name


def _resolved(document: Document, point: Point) -> PlannedRun:
    settings = {field: value for field, (value, _) in point.items() if field not in ("env_id", "algo")}
    origins = {field: document.origin(place) for field, (_, place) in point.items()}
    algo = point["algo"][0] if "algo" in point else "auto"
    try:
        return resolve(point["env_id"][0], settings, origins, algo)
    except RlbatchError as error:
        relocate(error, document, point)


def _as_yaml(hint: str) -> str:
    """Returns a hint for the command line as one for the file: `--set gamma=0.9` becomes `gamma: 0.9`."""
    hint = re.sub(r"--set (\w+)=(\S+)", r"\1: \2", hint)
    hint = re.sub(r"--(match|engine|lr-rule|algo) (\w+)", lambda m: f"{m[1].replace('-', '_')}: {m[2]}", hint)
    return hint.replace("--steps", "total_timesteps")
