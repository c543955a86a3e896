"""How does a stack outlive its process? Checkpoints: its state as files that are whole or not there, and checked.

A stack's folder holds its last two checkpoints, each a folder with the arrays of the state and a manifest, and beside
them what the replays stored, in segments of vector steps that checkpoints share: each writes only what is new since the
one before. The manifest has the size and the SHA-256 of every file, and its own. Nothing here loads torch, and nothing
is pickled.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import safetensors
import safetensors.numpy

from rlbatch.results import write_bytes
from rlbatch.training.state import Arrays, Segment, State, select

SCHEMA = 1
INTERVAL_S = 120.0
"""Seconds of training between two checkpoints, unless one takes more than 2 % of that."""
_SHARE = 0.02
_KEPT = 2
_PACKAGES = ("rlbatch", "torch", "numpy", "gymnasium")
_SEGMENT_BYTES = 1 << 26
_SMALL_BYTES = 1 << 22
_MOST_SMALL = 64
"""So many small segments in a row become one."""
_MANIFEST, _STATE = "manifest.json", "state.safetensors"
_READ_BYTES = 1 << 20

Mark = dict[str, Any]
"""What a run's record had at a checkpoint: see `Recorder.mark`."""


class Damaged(Exception):  # noqa: N818 - what it is
    """A checkpoint cannot be used; says why."""


class Source(Protocol):
    """A stack as checkpoints see it."""

    @property
    def step(self) -> int:
        """Vector steps that were taken."""
        ...

    @property
    def timesteps(self) -> int:
        """Env steps that each run has taken."""
        ...

    @property
    def oldest(self) -> int:
        """Vector steps before the oldest one that the replays hold."""
        ...

    def state(self) -> State:
        """Returns the state of the live runs."""
        ...

    def stored(self, first: int, last: int) -> Segment:
        """Returns what their replays hold of some vector steps."""
        ...


class Kept(NamedTuple):
    """A checkpoint on disk whose manifest is whole; its other files are not checked.

    Attributes:
        path: its folder.
        manifest: what stands in it.
    """

    path: Path
    manifest: dict[str, Any]

    @property
    def run_ids(self) -> list[str]:
        """Its runs."""
        return [mark["run_id"] for mark in self.manifest["runs"]]

    @property
    def step(self) -> int:
        """Vector steps that were taken."""
        return int(self.manifest["step"])


@functools.cache
def versions() -> dict[str, str]:
    """Returns the versions that a checkpoint must have been written with to be continued."""
    return {name: metadata.version(name) for name in _PACKAGES}


def kept_in(folder: Path) -> tuple[list[Kept], list[str]]:
    """Returns the checkpoints of a stack, the newest first, and what is wrong with those that are not among them."""
    found, notes = [], []
    for path in sorted(folder.glob("step-*"), reverse=True):
        try:
            found.append(Kept(path, _read_manifest(path / _MANIFEST)))
        except Damaged as damage:
            notes.append(f"{path}: {damage}")
    return found, notes


def read(kept: Kept, run_ids: Sequence[str]) -> tuple[State, Iterator[Segment]]:
    """Returns the state of some runs of a checkpoint and what their replays held, once all files have been checked.

    Raises:
        Damaged: a file is missing or has another size or hash, or the checkpoint is of other versions.
    """
    if kept.manifest["versions"] != versions():
        told = ", ".join(f"{name} {version}" for name, version in kept.manifest["versions"].items())
        raise Damaged(f"was written with {told}")
    files = {kept.path / _STATE: kept.manifest["state"]}
    parts = {kept.path.parent / part["name"]: part for part in kept.manifest["replay"]}
    for path, known in {**files, **parts}.items():
        _check(path, known)
    state = State(tuple(kept.run_ids), kept.step, _load(kept.path / _STATE))
    return select(state, run_ids), (
        Segment(tuple(part["run_ids"]), part["first"], part["last"], _load(path)) for path, part in parts.items()
    )


class Checkpoints:
    """Writes the checkpoints of one stack.

    Args:
        folder: the stack's own; what is in it is removed but for `start` and those before it.
        device: torch's name of the device.
        interval_s: seconds between two.
        mark: returns what a run's record has now, once it is safe on disk.
        note: takes a line for the log.
        start: the checkpoint that the stack goes on from, if any.
        resume: its state and replays, for the engine to take over.
    """

    def __init__(
        self,
        folder: Path,
        *,
        device: str,
        mark: Callable[[str], Mark],
        note: Callable[[str], None],
        interval_s: float = INTERVAL_S,
        start: Kept | None = None,
        resume: tuple[State, Iterator[Segment]] | None = None,
    ) -> None:
        self._folder, self._device, self._mark, self.note = folder, device.partition(":")[0], mark, note
        self._interval_s, self._due = interval_s, time.monotonic() + interval_s
        self.resume = resume
        self._parts: list[dict[str, Any]] = []
        self._kept: list[Kept] = []
        if start is not None and start.path.parent == folder:
            self._parts = list(start.manifest["replay"])
            self._kept = [kept for kept in kept_in(folder)[0] if kept.step <= start.step]
        self._sweep()

    def offer(self, stack: Source, *, stopping: bool) -> None:
        """Writes a checkpoint if one is due or training is about to stop. If it cannot, training goes on."""
        began = time.monotonic()
        if began < self._due and not stopping:
            return
        try:
            self._write(stack)
        except (OSError, MemoryError) as error:
            self.note(f"no checkpoint at env step {stack.timesteps}: {error!r}; training goes on")
        self._sweep()
        now = time.monotonic()
        self._due = now + max(self._interval_s, (now - began) / _SHARE)

    def close(self) -> None:
        """Removes them all: the runs are finished."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _write(self, stack: Source) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        state = stack.state()
        marks = [{"run_id": run_id, **self._mark(run_id)} for run_id in state.run_ids]
        parts = self._parts_until(stack)
        beside = self._folder / f".step.{os.getpid()}"
        shutil.rmtree(beside, ignore_errors=True)
        beside.mkdir()
        manifest = {
            "schema": SCHEMA,
            "device": self._device,
            "versions": versions(),
            "step": state.step,
            "timesteps": stack.timesteps,
            "runs": marks,
            "state": _save(beside / _STATE, state.arrays),
            "replay": parts,
        }
        write_bytes(beside / _MANIFEST, json.dumps({**manifest, "sha256": _digest(manifest)}).encode())
        path = self._folder / f"step-{state.step:015d}"
        _sync(beside)
        _sync(self._folder)  # the segments are there before the manifest that names them
        shutil.rmtree(path, ignore_errors=True)
        beside.rename(path)
        _sync(self._folder)
        self._parts = parts
        self._kept = [Kept(path, manifest), *(kept for kept in self._kept if kept.path != path)][:_KEPT]

    def _parts_until(self, stack: Source) -> list[dict[str, Any]]:
        """Writes what is new in the replays; returns the segments that hold all of them now."""
        parts = [part for part in self._parts if part["last"] > stack.oldest]
        small = 0
        while small < len(parts) and parts[-1 - small]["size"] < _SMALL_BYTES:
            small += 1
        if small >= _MOST_SMALL:
            parts = parts[:-small]
        first = max(parts[-1]["last"] if parts else 0, stack.oldest)
        while first < stack.step:
            one = stack.stored(first, first + 1)
            per_step = sum(array.nbytes for array in one.arrays.values())
            last = min(stack.step, first + max(1, _SEGMENT_BYTES // per_step))
            segment = stack.stored(first, last)
            path = self._folder / f"replay-{first:015d}-{last:015d}.safetensors"
            about = {"name": path.name, "first": first, "last": last, "run_ids": list(segment.run_ids)}
            parts.append(about | _save(path, segment.arrays))
            first = last
        return parts

    def _sweep(self) -> None:
        """Removes what no kept checkpoint needs."""
        needed = {kept.path.name for kept in self._kept}
        needed |= {part["name"] for kept in self._kept for part in kept.manifest["replay"]}
        for path in self._folder.glob("*"):
            if path.name not in needed:
                _remove(path)
        for path in self._folder.glob(".*"):
            _remove(path)


def _save(path: Path, arrays: Arrays) -> dict[str, Any]:
    """Writes arrays to a file that is whole or not there, synced; returns its size and hash."""
    content = safetensors.numpy.save({name: np.ascontiguousarray(array) for name, array in arrays.items()})
    write_bytes(path, content)
    return {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def _load(path: Path) -> Arrays:
    try:
        return dict(safetensors.numpy.load_file(path))
    except (OSError, ValueError, safetensors.SafetensorError) as error:
        raise Damaged(f"{path.name} cannot be read: {error}") from error


def _check(path: Path, known: Mapping[str, Any]) -> None:
    """Raises Damaged unless a file has the known size and hash."""
    digest = hashlib.sha256()
    try:
        if path.is_symlink() or not path.is_file() or path.stat().st_size != known["size"]:
            raise Damaged(f"{path.name} is missing or has another size")
        with path.open("rb") as file:
            while block := file.read(_READ_BYTES):
                digest.update(block)
    except OSError as error:
        raise Damaged(f"{path.name} cannot be read: {error}") from error
    if digest.hexdigest() != known["sha256"]:
        raise Damaged(f"{path.name} was changed")


def _read_manifest(path: Path) -> dict[str, Any]:
    """Returns a manifest that says what was written; raises Damaged."""
    try:
        content = json.loads(path.read_bytes())
        known = content.pop("sha256")
    except (OSError, ValueError, KeyError, AttributeError, TypeError, RecursionError) as error:
        raise Damaged(f"{path.name} cannot be read: {error!r}") from error
    if content.get("schema") != SCHEMA:
        raise Damaged(f"has schema {content.get('schema')!r}, this version reads {SCHEMA}")
    if known != _digest(content):
        raise Damaged(f"{path.name} was changed")
    return dict(content)


def _digest(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _sync(folder: Path) -> None:
    """Has a folder's entries on disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
