"""Where are the experiment files? In ./experiments, then among those that came with rlbatch."""

from __future__ import annotations

import sysconfig
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rlbatch
from rlbatch.cli.options import checked_path
from rlbatch.errors import InputError, nearest

if TYPE_CHECKING:
    from rlbatch.launch.task import Task

_ENDINGS = (".yaml", ".yml")


def folders() -> tuple[Path, ...]:
    """Returns where a name is looked up, in this order; they need not exist.

    Those that came with rlbatch are installed with its data, or stand beside its source where that is used as it is.
    """
    installed = Path(sysconfig.get_path("data"), "share", "rlbatch", "experiments")
    return Path("experiments"), installed, Path(rlbatch.__file__).parents[1] / "experiments"


def known() -> dict[str, Path]:
    """Returns name -> file of every experiment that can be named."""
    found: dict[str, Path] = {}
    for folder in folders():
        for path in sorted(folder.glob("*.yaml")) if folder.is_dir() else ():
            found.setdefault(path.stem, path)
    return found


def is_experiment(word: str) -> bool:
    """Tells whether a word means an experiment file and not a folder: by its ending, or as a name that is known."""
    return word.endswith(_ENDINGS) or (word in known() and not Path(word).is_dir())


def find(word: str) -> Path:
    """Returns the file that a command line names by path or by name; raises InputError."""
    path = checked_path(word, "FILE")
    if path.exists() and not path.is_dir():  # what is no regular file is told when it is read
        return path
    names = known()
    if word in names:
        return names[word]
    what = "is a folder" if path.is_dir() else "is neither an experiment file nor the name of one"
    raise InputError("FILE", f"{word!r} {what}", _hint(word, names))


def task_of(command: str, given: Mapping[str, Any]) -> Task:
    """Returns all runs of the file that a command line names; raises as `task_of_document`.

    Args:
        command: the command's name.
        given: its file, modules, out and name (None for the file's).
    """
    from rlbatch.launch.task import task_of_document  # loads gymnasium
    from rlbatch.strict_yaml import read

    return task_of_document(command, read(find(given["file"])), given["modules"], given["out"], given["name"])


def _hint(word: str, names: Iterable[str]) -> str:
    return nearest(Path(word).stem, names) or "rlbatch list experiments shows them"
