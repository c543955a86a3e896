"""Which runs go on where they stopped? The checkpoints of an experiment's stacks, found, chosen and cleared away.

A stack's folder is named by its runs, so what trains together decides where checkpoints go. A stack may start from any
checkpoint that has all of its runs: its own, or that of the wider stack of which it is what is left. Checkpoints lie in
the experiment's folder, and in its attempts' folders, which have the same shape.
"""

from __future__ import annotations

import contextlib
import hashlib
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from rlbatch.config import RunConfig
from rlbatch.errors import RefusedError, RlbatchError
from rlbatch.experiment import Experiment
from rlbatch.paths import run_path
from rlbatch.recorder import inherit, verify
from rlbatch.results import RunFolder
from rlbatch.training.checkpoint import Mark
from rlbatch.training.checkpoint_files import Damaged, Kept, kept_in, read
from rlbatch.training.state import Segment, State

CHECKPOINTS = "_checkpoints"
"""Where an experiment, or an attempt, keeps the checkpoints of its stacks while they train."""


class Start(NamedTuple):
    """Where a stack begins.

    Attributes:
        home: the folder that the runs' records and the checkpoint lie in; None to start from zero.
        kept: the checkpoint it goes on from; None to start from zero.
        resume: its state and replays.
        marks: what the runs' records had then, by run id.
        notes: why newer checkpoints were not used.
    """

    home: Path | None = None
    kept: Kept | None = None
    resume: tuple[State, Iterator[Segment]] | None = None
    marks: Mapping[str, Mark] = {}
    notes: tuple[str, ...] = ()


def stack_folder(root: Path, run_ids: Sequence[str]) -> Path:
    """Returns where a stack of these runs keeps its checkpoints."""
    return root / hashlib.sha256("".join(sorted(run_ids)).encode()).hexdigest()[:16]


def continued(homes: Iterable[Path], runs: Sequence[tuple[RunConfig, RunFolder]]) -> list[list[int]]:
    """Returns which of the runs trained together when they were stopped, as indices; the others have no checkpoint.

    A finished run, which is here to be trained again, starts from zero.
    """
    best: dict[str, Kept] = {}
    for folder in _stacks(homes):
        for kept in kept_in(folder)[0][:1]:
            best |= {run: kept for run in kept.run_ids if run not in best or best[run].step < kept.step}
    groups: dict[Path, list[int]] = {}
    if best:
        for index, (config, run) in enumerate(runs):
            if config.run_id in best and not run.result_path.exists():
                groups.setdefault(best[config.run_id].path, []).append(index)
    return sorted(groups.values())


def refuse_other_device(homes: Sequence[Path], runs: Sequence[tuple[RunConfig, RunFolder]], device: str) -> None:
    """Raises RefusedError if one of the runs is half done on another kind of device than the one asked for."""
    for group in continued(homes, runs):
        run_id = runs[group[0]][0].run_id
        for folder in _stacks(homes):
            for kept in kept_in(folder)[0]:
                if run_id in kept.run_ids:
                    _refuse_other_device(kept, "cpu" if device == "auto" else device)


def choose(homes: Sequence[Path], configs: Sequence[RunConfig], device: str) -> Start:
    """Returns where a stack begins: at the newest checkpoint that is sound and has all of its runs, or from zero.

    Args:
        homes: folders of an experiment's shape, with records and checkpoints; the stack's own first. Where one of the
            runs is finished, nothing is looked for.
        configs: the stack.
        device: torch's name of the device.

    Raises:
        RefusedError: such a checkpoint is of another kind of device.
    """
    run_ids = [config.run_id for config in configs]
    candidates: list[tuple[int, bool, Path, Kept]] = []
    notes: list[str] = []
    for home in homes:
        if any(RunFolder(home / run_path(config)).result_path.exists() for config in configs):
            continue
        own = stack_folder(home / CHECKPOINTS, run_ids)
        for folder in _stacks([home]):
            found, damaged = kept_in(folder)
            fitting = [kept for kept in found if set(run_ids) <= set(kept.run_ids)]
            candidates += [(kept.step, home == homes[0] and folder == own, home, kept) for kept in fitting]
            notes += damaged if fitting or folder == own else []
    candidates.sort(key=lambda candidate: candidate[:2], reverse=True)
    for _, _, home, kept in candidates:
        _refuse_other_device(kept, device)
        timesteps = {"timesteps": kept.manifest["timesteps"]}
        marks = {mark["run_id"]: mark | timesteps for mark in kept.manifest["runs"]}
        try:
            for config in configs:
                _check_record(RunFolder(home / run_path(config)), config.run_id, marks[config.run_id])
            return Start(home, kept, read(kept, run_ids), marks, tuple(notes))
        except Damaged as damage:
            notes.append(f"{kept.path}: {damage}")
    return Start(notes=tuple(notes))


def first_steps(homes: Sequence[Path], stacks: Iterable[Sequence[RunConfig]], device: str) -> list[int]:
    """Returns the env step from which each stack would go on, 0 for one that would start from zero.

    Everything is checked that is checked when a stack begins, so this reads whole checkpoints.

    Args:
        homes: as for `choose`.
        stacks: the runs of each.
        device: as asked.
    """
    kind, starts = "cpu" if device == "auto" else device, []
    for configs in stacks:
        kept = choose(homes, configs, kind).kept
        starts.append(0 if kept is None else int(kept.manifest["timesteps"]))
    return starts


def take_over(config: RunConfig, folder: RunFolder, start: Start, homes: Sequence[Path]) -> None:
    """Brings the record of a run that begins now to its folder, from where its stack starts.

    A run that starts from zero remembers how often it was attempted: by its own record, or by the first that there is.
    """
    records = [RunFolder(home / run_path(config)) for home in ([start.home] if start.home else homes)]
    source = next((record for record in records if record.exists()), folder)
    if source.path != folder.path and (start.home is not None or not folder.exists()):
        inherit(folder, source, rows=start.home is not None)


def runs_in(home: Path) -> set[str]:
    """Returns the ids of the runs that a folder holds checkpoints of."""
    return {run_id for folder in _stacks([home]) for kept in kept_in(folder)[0] for run_id in kept.run_ids}


def sweep(experiment: Experiment) -> None:
    """Removes the checkpoints of stacks whose runs are all finished."""
    root, folders = experiment.path / CHECKPOINTS, list(_stacks([experiment.path]))
    if not folders:
        with contextlib.suppress(OSError):
            root.rmdir()
        return
    left = unfinished(experiment)
    for folder in folders if left else [root]:
        known = {run_id for kept in kept_in(folder)[0] for run_id in kept.run_ids}
        if not left or (known and not known & left):
            shutil.rmtree(folder, ignore_errors=True)


def unfinished(experiment: Experiment) -> set[str]:
    """Returns the ids of the planned runs that have no result."""
    planned = experiment.planned()
    return {run_id for path, run_id in planned.items() if not _folder(experiment, path).result_path.exists()}


def _folder(experiment: Experiment, path: str) -> RunFolder:
    return RunFolder(experiment.path / path)


def _stacks(homes: Iterable[Path]) -> Iterator[Path]:
    """Yields the folders in which stacks keep their checkpoints."""
    for root in (home / CHECKPOINTS for home in homes):
        if root.is_dir():
            yield from (path for path in sorted(root.iterdir()) if path.is_dir() and not path.is_symlink())


def _check_record(folder: RunFolder, run_id: str, mark: Mark) -> None:
    """Raises Damaged unless a run's record still begins with what it had at the checkpoint."""
    try:
        same = folder.record()["run_id"] == run_id
    except RlbatchError as error:
        raise Damaged(str(error)) from error
    if not same or not verify(folder, mark):
        raise Damaged(f"{folder.metrics_path} is not what it was then")


def _refuse_other_device(kept: Kept, device: str) -> None:
    trained_on, kind = kept.manifest["device"], device.partition(":")[0]
    if trained_on != kind:
        what = f"holds runs that are half done on the device {trained_on}, which cannot go on on {kind}"
        raise RefusedError(str(kept.path.parent), what, f"--device {trained_on}, or remove it to start from zero")
