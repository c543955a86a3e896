"""How do batch sizes compare in TensorBoard? The mean curves of all arms, as runs and charts of its own.

Below `_aggregate` in an experiment's folder there is one TensorBoard run per arm, <env>/<algo>/<arm>; `charts` says
what is in it. The folder itself holds the layout of the charts, and compared-<hash> what the HParams page compares: of
such a message a running TensorBoard only believes the first in each run. Everything follows from the run folders and is
made anew, never appended to.

A reader sees each run of the tree whole, as it was or as it is: it is one file, written under a name that TensorBoard
does not read and renamed into place. (A tree that is swapped as a whole would be seen twice: TensorBoard looks into
every folder, also into one that waits for its place.) The file before stays, since a reader that is still at it looks
for the next one only from there; the new one's START takes its place on every loader. Older ones are removed.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from rlbatch import hparams
from rlbatch.analysis.bands import Curve, judged, read_curve
from rlbatch.analysis.charts import Content, contents
from rlbatch.errors import RefusedError, RlbatchError
from rlbatch.events import EventFile, new_name
from rlbatch.experiment import Experiment
from rlbatch.references import read_references
from rlbatch.results import RunFolder, find_runs

AGGREGATE = "_aggregate"
_COMPARED = "compared-"
"""How the run is named that tells the HParams page what is compared."""


class Board:
    """The mean curves of every experiment at or below a folder, kept up to date.

    Args:
        folder: what TensorBoard shows.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._curves: dict[Path, tuple[object, Curve]] = {}
        self._written: dict[Path, list[tuple[int, bytes]]] = {}

    @property
    def means(self) -> Counter[str]:
        """Environment, as its folder is called -> how many mean curves there are for TensorBoard to show."""
        beside = (AGGREGATE, _COMPARED)
        return Counter(place.parts[-3] for place in self._written if not place.name.startswith(beside))

    def refresh(self) -> list[str]:
        """Writes what has changed since the last time; returns what is not in it and why, a line each."""
        notes: list[str] = []
        without: dict[Path, str] = {}
        curves: dict[Experiment, list[Curve]] = {}
        for experiment in experiments_in(self._folder):
            with _noted(without, experiment):
                curves[experiment] = self._read(experiment, notes)
        compared = hparams.experiment(curve.settings for found in curves.values() for curve in found)
        for experiment, found in curves.items():
            with _noted(without, experiment):
                tree = contents(experiment.path.resolve().name, found, read_references(experiment.references_path))
                digest = hashlib.sha256(compared.SerializeToString(deterministic=True)).hexdigest()
                tree[Path(f"{_COMPARED}{digest[:8]}")] = [(0, compared)]
                self._write(experiment.path / AGGREGATE, tree)
        for why in dict.fromkeys(without.values()):
            first, *others = (str(path) for path, reason in without.items() if reason == why)
            notes.append(f"no means over seeds of {first}{f' and {len(others)} more' if others else ''}: {why}")
        return notes

    def _read(self, experiment: Experiment, notes: list[str]) -> list[Curve]:
        """Returns the curves of an experiment's runs, and reads those that have changed."""
        found, unreadable = [], []
        for run in _runs(experiment):
            stamp = _stamp(run)
            if self._curves.get(run.path, (None,))[0] != stamp:
                try:
                    self._curves[run.path] = stamp, read_curve(run)
                except RlbatchError as error:
                    unreadable.append(error)
                    continue
            found.append(self._curves[run.path][1])
        if unreadable:
            many = f"{len(unreadable)} runs" if len(unreadable) > 1 else "1 run"
            notes.append(f"{experiment.path}: {many} cannot be read: {unreadable[0]}")
        found = judged(found)
        missing = Counter(curve.outcome for curve in found if not curve.counts)
        if missing:
            told = ", ".join(f"{count} {outcome}" for outcome, count in sorted(missing.items()))
            notes.append(f"{experiment.path}: the means are without runs that failed: {told}")
        return found

    def _write(self, root: Path, tree: dict[Path, Content]) -> None:
        """Makes a tree what it is to be; raises OSError, and RefusedError where it leads elsewhere."""
        _check_plain(root)
        for place, content in tree.items():
            told = [(step, summary.SerializeToString()) for step, summary in content]
            if self._written.get(root / place) != told or not (root / place).is_dir():
                _put(root / place, content)
                self._written[root / place] = told
        for path in sorted((path for path in root.rglob("*") if path.is_dir()), reverse=True):
            if path.relative_to(root) not in tree:
                _clear(path)
                self._written.pop(path, None)


def experiments_in(folder: Path) -> list[Experiment]:
    """Returns the experiments at or below a folder that have runs."""
    places = (run.path.relative_to(folder).parts for run in find_runs(folder))
    homes = dict.fromkeys(parts[:-4] for parts in places if len(parts) >= 4)
    return [Experiment(folder.joinpath(*parts)) for parts in homes]


@contextlib.contextmanager
def _noted(without: dict[Path, str], experiment: Experiment) -> Iterator[None]:
    """Keeps why an experiment has no means, since TensorBoard shows everything else all the same."""
    try:
        yield
    except RlbatchError as error:
        without[experiment.path] = str(error)
    except OSError as error:
        without[experiment.path] = f"{AGGREGATE} cannot be written: {error.strerror}"


def _runs(experiment: Experiment) -> list[RunFolder]:
    """Returns the runs that were begun, those of the plan where there is one; on a cluster where they got furthest."""
    planned = experiment.planned()
    if not planned:
        return find_runs(experiment.path)
    attempted = experiment.attempted()
    places = ([RunFolder(experiment.path / path), *attempted.get(path, ())] for path in planned)
    begun = ([run for run in place if run.exists()] for place in places)
    return [max(runs, key=lambda run: (run.result_path.exists(), _size(run.metrics_path)[0])) for runs in begun if runs]


def _size(path: Path) -> tuple[int, int]:
    """Returns a file's bytes, and when it was last written; zeros for none."""
    with contextlib.suppress(FileNotFoundError):
        told = path.stat()
        return told.st_size, told.st_mtime_ns
    return 0, 0


def _stamp(run: RunFolder) -> object:
    """Returns what changes whenever a run's curve does."""
    return _size(run.metrics_path), _size(run.result_path)


def _check_plain(root: Path) -> None:
    """Raises RefusedError where a tree has links: whoever made the folder could lead what is written elsewhere."""
    if any(path.is_symlink() for path in (root, *root.rglob("*"))):
        raise RefusedError(str(root), "holds links", "remove it: it is made anew")


def _put(folder: Path, content: Content) -> None:
    """Writes a TensorBoard run, then removes what it held before the time before."""
    folder.mkdir(parents=True, exist_ok=True)
    before = max((path.name for path in folder.glob("events.*")), default="")
    with EventFile(folder, name=f".{os.getpid()}.part") as events:
        for step, summary in content:
            events.add_summary(step, summary)
    events.path.replace(folder / new_name(folder))
    _clear(folder, before)


def _clear(folder: Path, before: str = "~") -> None:
    """Removes event files with a name before this one, what was left half-written, and a folder without content."""
    for path in folder.iterdir():
        if path.suffix == ".part" or (path.name.startswith("events.") and path.name < before):
            path.unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        folder.rmdir()
