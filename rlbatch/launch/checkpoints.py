"""Which runs go on where they stopped? The checkpoints of an experiment's stacks, found, chosen and cleared away.

A stack's folder is named by its runs, so what trains together decides where checkpoints go. A stack may start from any
checkpoint that has all of its runs: its own, or that of the wider stack of which it is what is left.
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
from rlbatch.recorder import verify
from rlbatch.results import RunFolder
from rlbatch.training.checkpoint import Damaged, Kept, Mark, kept_in, read
from rlbatch.training.state import Segment, State


class Start(NamedTuple):
    """Where a stack begins.

    Attributes:
        kept: the checkpoint it goes on from; None to start from zero.
        resume: its state and replays.
        marks: what the runs' records had then, by run id.
        notes: why newer checkpoints were not used.
    """

    kept: Kept | None = None
    resume: tuple[State, Iterator[Segment]] | None = None
    marks: Mapping[str, Mark] = {}
    notes: tuple[str, ...] = ()


def stack_folder(root: Path, run_ids: Sequence[str]) -> Path:
    """Returns where a stack of these runs keeps its checkpoints."""
    return root / hashlib.sha256("".join(sorted(run_ids)).encode()).hexdigest()[:16]


def continued(root: Path | None, runs: Sequence[tuple[RunConfig, RunFolder]]) -> list[list[int]]:
    """Returns which of the runs trained together when they were stopped, as indices; the others have no checkpoint.

    A finished run, which is here to be trained again, starts from zero.
    """
    best: dict[str, Kept] = {}
    for folder in _folders(root):
        for kept in kept_in(folder)[0][:1]:
            best |= {run: kept for run in kept.run_ids if run not in best or best[run].step < kept.step}
    groups: dict[Path, list[int]] = {}
    if best:
        for index, (config, run) in enumerate(runs):
            if config.run_id in best and not run.result_path.exists():
                groups.setdefault(best[config.run_id].path, []).append(index)
    return sorted(groups.values())


def refuse_other_device(root: Path, runs: Sequence[tuple[RunConfig, RunFolder]], device: str) -> None:
    """Raises RefusedError if one of the runs is half done on another kind of device than the one asked for."""
    for group in continued(root, runs):
        run_id = runs[group[0]][0].run_id
        for folder in _folders(root):
            for kept in kept_in(folder)[0]:
                if run_id in kept.run_ids:
                    _refuse_other_device(kept, "cpu" if device == "auto" else device)


def choose(root: Path, run_ids: Sequence[str], folders: Sequence[RunFolder], device: str) -> Start:
    """Returns where a stack begins: at the newest checkpoint that is sound and has all of its runs, or from zero.

    Args:
        root: the folder of all checkpoints.
        run_ids: of the stack.
        folders: of its runs; if one of them is finished, the stack starts from zero.
        device: torch's name of the device.

    Raises:
        RefusedError: such a checkpoint is of another kind of device.
    """
    if any(folder.result_path.exists() for folder in folders):
        return Start()
    own = stack_folder(root, run_ids)
    candidates: list[Kept] = []
    notes: list[str] = []
    for place in _folders(root):
        found, damaged = kept_in(place)
        fitting = [kept for kept in found if set(run_ids) <= set(kept.run_ids)]
        candidates += fitting
        notes += damaged if fitting or place == own else []
    candidates.sort(key=lambda kept: (kept.step, kept.path.parent == own), reverse=True)
    for kept in candidates:
        _refuse_other_device(kept, device)
        timesteps = {"timesteps": kept.manifest["timesteps"]}
        marks = {mark["run_id"]: mark | timesteps for mark in kept.manifest["runs"]}
        try:
            for run_id, folder in zip(run_ids, folders, strict=True):
                _check_record(folder, run_id, marks[run_id])
            return Start(kept, read(kept, run_ids), marks, tuple(notes))
        except Damaged as damage:
            notes.append(f"{kept.path}: {damage}")
    return Start(notes=tuple(notes))


def first_steps(root: Path, stacks: Iterable[Sequence[tuple[RunConfig, RunFolder]]], device: str) -> list[int]:
    """Returns the env step from which each stack would go on, 0 for one that would start from zero.

    Everything is checked that is checked when a stack begins, so this reads whole checkpoints.

    Args:
        root: the folder of all checkpoints.
        stacks: the runs of each.
        device: as asked.
    """
    kind, starts = "cpu" if device == "auto" else device, []
    for runs in stacks:
        kept = choose(root, [config.run_id for config, _ in runs], [folder for _, folder in runs], kind).kept
        starts.append(0 if kept is None else int(kept.manifest["timesteps"]))
    return starts


def sweep(root: Path, experiment: Experiment) -> None:
    """Removes the checkpoints of stacks whose runs are all finished."""
    folders = list(_folders(root))
    if not folders:
        with contextlib.suppress(OSError):
            root.rmdir()
        return
    planned = experiment.planned()
    unfinished = {run_id for path, run_id in planned.items() if not _folder(experiment, path).result_path.exists()}
    for folder in folders if unfinished else [root]:
        known = {run_id for kept in kept_in(folder)[0] for run_id in kept.run_ids}
        if not unfinished or (known and not known & unfinished):
            shutil.rmtree(folder, ignore_errors=True)


def _folder(experiment: Experiment, path: str) -> RunFolder:
    return RunFolder(experiment.path / path)


def _folders(root: Path | None) -> Iterator[Path]:
    if root is not None and root.is_dir():
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
