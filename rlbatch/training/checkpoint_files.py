"""How does a checkpoint lie on disk? As files that are whole or not there, and checked before they are used.

A stack's folder holds its checkpoints, each a folder with the arrays of the state and a manifest, and beside them what
the replays stored, in segments of vector steps that checkpoints share. The manifest has the size and the SHA-256 of
every file, and its own. Nothing here loads torch, and nothing is pickled.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import safetensors
import safetensors.numpy

from rlbatch.results import write_bytes
from rlbatch.training.state import Arrays, Segment, State, select

SCHEMA = 1
_PACKAGES = ("rlbatch", "torch", "numpy", "gymnasium")
_MANIFEST, _STATE = "manifest.json", "state.safetensors"
_READ_BYTES = 1 << 20


class Damaged(Exception):  # noqa: N818 - what it is
    """A checkpoint cannot be used; says why."""


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


def write(folder: Path, state: State, known: Mapping[str, Any]) -> Kept:
    """Writes a checkpoint, whole or not at all, in place of one of the same step.

    Args:
        folder: the stack's, with all segments of the replays.
        state: of its live runs.
        known: what else the manifest says: device, env steps, what the runs' records had, and the segments.

    Raises:
        OSError: it cannot be written.
    """
    beside = folder / f".step.{os.getpid()}"
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir()
    manifest = {"schema": SCHEMA, "versions": versions(), "step": state.step, **known}
    manifest["state"] = _save(beside / _STATE, state.arrays)
    write_bytes(beside / _MANIFEST, json.dumps({**manifest, "sha256": _digest(manifest)}).encode())
    path = folder / f"step-{state.step:015d}"
    _sync(beside)
    _sync(folder)  # the segments are there before the manifest that names them
    shutil.rmtree(path, ignore_errors=True)
    beside.rename(path)
    _sync(folder)
    return Kept(path, manifest)


def write_segment(folder: Path, segment: Segment) -> dict[str, Any]:
    """Writes what the replays stored in some vector steps; returns what a manifest says of it. Raises OSError."""
    path = folder / f"replay-{segment.first:015d}-{segment.last:015d}.safetensors"
    about = {"name": path.name, "first": segment.first, "last": segment.last, "run_ids": list(segment.run_ids)}
    return about | _save(path, segment.arrays)


def sweep(folder: Path, kept: Sequence[Kept]) -> None:
    """Removes what none of these checkpoints needs from their folder."""
    needed = {one.path.name for one in kept}
    needed |= {part["name"] for one in kept for part in one.manifest["replay"]}
    for path in folder.glob("*"):
        if path.name not in needed:
            _remove(path)
    for path in folder.glob(".*"):
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
