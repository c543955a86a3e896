"""Where does a run's record lie, and what does it say? The run folder: paths, rows, identity, result and status.

Everything here reads or writes files; `metrics.jsonl` is the truth of a run, its event file a view.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rlbatch.config import RunConfig, as_dict, from_dict
from rlbatch.errors import InputError, RefusedError, RlbatchError, TemporaryError
from rlbatch.rows import evaluation_points

SCHEMA = 1
OUTCOMES = ("ok", "diverged", "env_error", "out_of_memory", "hung", "crashed")
GOOD_OUTCOMES = ("ok", "diverged")
TRAIN_ANEW = "move the run's folder away and run the same command again"
"""What helps where the record of a finished run is damaged."""
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_RESULT_KEYS = ("run_id", "reason", "timesteps", "updates", "samples", "seconds", "attempts", "final")
_FINAL_KEYS = ("return_mean", "auc", "best", "drawdown_max", "dispersion", "steps_to_threshold")
_ROW_KEYS = ("kind", "timesteps", "updates", "samples", "seconds")
_BLOCK = 65_536
"""Bytes of a file that are read at a time."""
_TRAIN_START = b'{"kind": "train"'
_EVAL_START = b'{"kind": "eval"'
_EVAL_KEYS = (*_ROW_KEYS, "eval/return_mean", "returns", "lengths", "cut_episodes")


@dataclass(frozen=True)
class RunFolder:
    """The folder of one run."""

    path: Path

    @property
    def config_path(self) -> Path:
        """The resolved config, its identity, origins and provenance."""
        return self.path / "config.json"

    @property
    def metrics_path(self) -> Path:
        """One JSON object per line: the rows."""
        return self.path / "metrics.jsonl"

    @property
    def policy_path(self) -> Path:
        """The final weights."""
        return self.path / "policy.safetensors"

    @property
    def result_path(self) -> Path:
        """Written last: the run is finished if it exists."""
        return self.path / "result.json"

    @property
    def error_path(self) -> Path:
        """The evidence of a failure."""
        return self.path / "error.txt"

    def exists(self) -> bool:
        """Tells whether a run was ever started here."""
        return self.config_path.is_file()

    def record(self) -> dict[str, Any]:
        """Returns config.json, checked.

        Raises:
            InputError: it is missing or unreadable.
            RefusedError: a newer schema, or a config that does not match its id.
        """
        return self.checked()[0]

    def checked(self) -> tuple[dict[str, Any], RunConfig]:
        """Returns what config.json says, and the config in it; raises like `record`."""
        record = read_json(self.config_path)
        if record.get("schema") != SCHEMA:
            found = record.get("schema")
            raise RefusedError(str(self.config_path), f"has schema {found!r}, this version reads {SCHEMA}")
        try:
            config = from_dict(record["config"])
        except (KeyError, TypeError, AttributeError, RlbatchError) as error:
            raise RefusedError(str(self.config_path), f"is not a run's config: {error}") from error
        if config.run_id != record.get("run_id"):
            raise RefusedError(str(self.config_path), "was changed by hand: its config does not match its run_id")
        return record, config

    def holds(self, config: RunConfig) -> bool:
        """Tells whether config.json is that of this run; raises like `record`, but is quick where all is well."""
        record = read_json(self.config_path)
        expected = {"schema": SCHEMA, "run_id": config.run_id, "config": as_dict(config)}
        same = all(record.get(key) == value for key, value in expected.items())
        return same or bool(self.record()["run_id"] == config.run_id)

    def config(self) -> RunConfig:
        """Returns the run's config; raises like `record`."""
        return self.checked()[1]

    def result(self) -> dict[str, Any] | None:
        """Returns result.json, or None for a run that is not finished; raises InputError if it is unreadable."""
        if not self.result_path.is_file():
            return None
        result = read_json(self.result_path)
        if result.get("outcome") not in OUTCOMES:
            raise InputError(str(self.result_path), f"has the unknown outcome {result.get('outcome')!r}")
        _require(result, _RESULT_KEYS, self.result_path)
        _require(result["final"], _FINAL_KEYS, self.result_path, "final")
        return result

    def rows(self, kind: str | None = None) -> Iterator[dict[str, Any]]:
        """Yields the rows in order, all or of one kind ("train", "eval").

        A last line without its end, as a kill leaves it, is skipped; any other unreadable line raises InputError.
        """
        path = self.metrics_path
        if not path.is_file():
            return
        told = b"\n" + path.read_bytes()
        start = b"\n" if kind is None else f'\n{{"kind": "{kind}"'.encode()
        number, end = 0, 0
        while True:  # neither split nor decoded: most lines of a run are not of the kind asked for
            before, at = end, told.find(start, end)
            end = told.find(b"\n", at + 1)
            if at < 0 or end < 0:
                return
            number += told.count(b"\n", before, at + 1)
            line = told[at + 1 : end]
            try:
                row = json.loads(line.decode(errors="replace"))
            except json.JSONDecodeError as error:
                raise InputError(f"{path}:{number}", f"is not a row: {error.msg}") from error
            _require(row, _EVAL_KEYS if line.startswith(_EVAL_START) else _ROW_KEYS, path, number)
            yield row

    def last_train_row(self) -> dict[str, Any] | None:
        """Returns the last whole train row, or None; reads no more than the file from there on.

        Raises:
            InputError: it is not a row.
        """
        return self._last_row("train")

    def check_evaluations(self) -> None:
        """Checks that a run which ended ok has its last evaluation; reads little where it has.

        Raises:
            InputError: it lacks evaluations, or a file cannot be read.
            RefusedError: like `record`.
        """
        result = self.result()
        if result is None or result["outcome"] != "ok":
            return
        last = self._last_row("eval")
        if last is not None and last["timesteps"] == result["timesteps"]:
            return
        points = evaluation_points(self.config())
        if last is not None and last["timesteps"] == points[-1]:  # several environments may step beyond the budget
            return
        held = sum(1 for _ in self.rows("eval"))
        raise InputError(str(self.metrics_path), lost_words(held, len(points)), TRAIN_ANEW)

    def _last_row(self, kind: str) -> dict[str, Any] | None:
        """Returns the last whole row of this kind, or None; raises like `last_train_row`."""
        line = self._last_line(_TRAIN_START if kind == "train" else _EVAL_START)
        if not line:
            return None
        try:
            row: dict[str, Any] = json.loads(line.decode(errors="replace"))
        except json.JSONDecodeError as error:
            raise InputError(str(self.metrics_path), f"its last {kind} row is not one: {error.msg}") from error
        _require(row, _EVAL_KEYS if kind == "eval" else _ROW_KEYS, self.metrics_path)
        return row

    def _last_line(self, begins: bytes) -> bytes:
        """Returns the last whole line that begins so, or nothing; reads the file from its end until it is found."""
        with contextlib.suppress(FileNotFoundError), self.metrics_path.open("rb") as file:
            at, told = file.seek(0, os.SEEK_END), b""
            while at > 0:
                length = min(_BLOCK, at)
                at = file.seek(at - length)
                told = file.read(length) + told
                whole = (b"\n" if at == 0 else b"") + told[: told.rfind(b"\n") + 1]
                found = whole.rfind(b"\n" + begins) + 1
                if found:
                    return whole[found : whole.find(b"\n", found)]
        return b""

    def progress(self) -> float:
        """Returns the share of its env steps that a run has taken, by its last train row; raises like `config`."""
        row = self.last_train_row()
        return 0.0 if row is None else float(row["timesteps"] / self.config().total_timesteps)

    def status(self) -> str:
        """Returns the outcome of a finished run, "partial" for a started one, "planned" otherwise."""
        result = self.result()
        if result is not None and not self.exists():
            raise InputError(str(self.path), "holds a result but no config.json")
        if result is not None:
            return str(result["outcome"])
        return "partial" if self.exists() else "planned"


def lost_words(held: int, asked: int) -> str:
    """Returns what is wrong with the rows of a run that ended ok and lacks evaluations."""
    return f"holds {held} of the {asked} evaluations of this finished run"


def run_record(config: RunConfig, **beside: Any) -> dict[str, Any]:
    """Returns what config.json holds: schema, ids, config, and whatever is kept beside it."""
    return {"schema": SCHEMA, "run_id": config.run_id, "arm_id": config.arm_id, "config": as_dict(config), **beside}


def find_runs(folder: Path) -> list[RunFolder]:
    """Returns every run folder at or below `folder`, in the order of their paths."""
    found = []
    for path, folders, _ in os.walk(folder):  # unlike rglob it bears that a checkpoint vanishes meanwhile
        folders[:] = [name for name in folders if not name.startswith(("_", "."))]
        found.append(RunFolder(Path(path)))
    return sorted((run for run in found if run.exists()), key=lambda run: run.config_path)


@contextlib.contextmanager
def storage(path: Path) -> Iterator[None]:
    """Turns a full disk into an error that says the same command will go on later; raises TemporaryError."""
    try:
        yield
    except OSError as error:
        if error.errno not in _NO_SPACE:
            raise
        raise TemporaryError(str(path), "the disk is full", "free space and run the same command again") from error


def read_json(path: Path) -> dict[str, Any]:
    """Returns the object that a JSON file holds; raises InputError."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        hint = "rlbatch list runs shows the run folders"
        raise InputError(str(path), f"cannot be read: {error.strerror}", hint) from error
    except ValueError as error:
        raise InputError(str(path), f"is not JSON: {error}") from error
    if not isinstance(content, dict):
        raise InputError(str(path), "does not hold an object")
    return content


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Writes a JSON file so that it is either the old or the new one at every moment."""
    write_bytes(path, (json.dumps(content, indent=1, allow_nan=False) + "\n").encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Writes a file beside, flushes it to disk and renames it into place; raises OSError where that cannot be done."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with beside.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def _require(content: Any, keys: tuple[str, ...], path: Path, *place: object) -> None:
    """Raises InputError unless `content`, found at this place in a file, is an object with these keys."""
    if isinstance(content, dict) and all(key in content for key in keys):
        return
    where = ":".join(map(str, (path, *place)))
    if not isinstance(content, dict):
        raise InputError(where, f"is not an object with {', '.join(keys)}")
    raise InputError(where, f"lacks {', '.join(key for key in keys if key not in content)}")
