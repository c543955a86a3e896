"""What becomes of a run's rows? They go to `metrics.jsonl` and the event file at once, the result is written last.

The recorder adds the live stability and efficiency scores to each eval row, so that every engine shows the same ones.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import safetensors.numpy

from rlbatch import curves, hparams
from rlbatch.config import RunConfig
from rlbatch.events import EventFile
from rlbatch.paths import run_path
from rlbatch.results import SCHEMA, RunFolder, run_record, storage, write_bytes, write_json
from rlbatch.rows import Ending, Row, evaluation_points


class Recorder:
    """The record of one run, from its start to its result.

    Args:
        folder: the run folder. What an unfinished attempt left there is removed, or with `start` what it wrote since.
        config: the run.
        threshold: return at which the environment counts as solved, or None.
        start: where the run goes on: what `mark` returned there, `verify` has found again, and "timesteps"; None for a
            run that starts from zero.
        remarks: what is to be remembered of how this attempt began.
        beside: what config.json keeps beside the config (origins, provenance, ...).
    """

    def __init__(
        self,
        folder: RunFolder,
        config: RunConfig,
        threshold: float | None,
        *,
        start: Mapping[str, Any] | None = None,
        remarks: Sequence[str] = (),
        **beside: Any,
    ) -> None:
        self._folder = folder
        self._config = config
        self._threshold = threshold
        self._rows, self._bytes, self._hash = 0, 0, hashlib.sha256()
        self._eval_steps: list[int] = []
        self._eval_returns: list[list[float]] = []
        with storage(folder.path):
            old = folder.record() if folder.exists() else None
            if start is None:
                _clear(folder)
                folder.path.mkdir(parents=True, exist_ok=True)
            else:
                self._cut(start)
            timesteps = 0 if start is None else int(start["timesteps"])
            record = run_record(config, **beside) if start is None or old is None else old
            self._attempt, attempts = _attempts(old, timesteps, remarks)
            write_json(folder.config_path, record | {"attempt": self._attempt, **attempts})
            self._metrics = folder.metrics_path.open("xb" if start is None else "ab")
            self._events = EventFile(folder.path, start=0 if start is None else timesteps + 1)
            if start is None:
                settings = hparams.settings_of(config, beside.get("origins"))
                arm = str(run_path(config).parent)
                self._events.add_summary(0, hparams.session_start(settings, arm, time.time()))

    def emit(self, row: Row) -> Row:
        """Writes a row to both files; returns it with the live scores added."""
        if row.kind == "eval":
            self._eval_steps.append(row.timesteps)
            self._eval_returns.append(list(row.returns))
            row = replace(row, values=dict(row.values) | self._live_scores())
        with storage(self._folder.path):
            line = row.encode().encode()
            self._metrics.write(line)
            self._metrics.flush()
            self._rows, self._bytes = self._rows + 1, self._bytes + len(line)
            self._hash.update(line)
            self._events.add(row.timesteps, row.numbers())
        return row

    def mark(self) -> dict[str, Any]:
        """Returns how many rows there are, their bytes and hash, once they are safe on disk; raises OSError."""
        os.fsync(self._metrics.fileno())
        return {"rows": self._rows, "bytes": self._bytes, "sha256": self._hash.hexdigest()}

    def finish(self, ending: Ending) -> dict[str, Any]:
        """Writes weights and evidence, then the result; returns the result."""
        with storage(self._folder.path):
            self._events.add_summary(ending.timesteps, hparams.session_end(ending.outcome, time.time()))
        self.close()
        curve = self._curve() if self._eval_steps else None
        result = _result(self._config, self._attempt, ending, curve, self._threshold)
        with storage(self._folder.path):
            if ending.policy is not None:
                write_bytes(self._folder.policy_path, safetensors.numpy.save(dict(ending.policy)))
            if ending.evidence:
                write_bytes(self._folder.error_path, ending.evidence.encode())
            write_json(self._folder.result_path, result)
        return result

    def close(self) -> None:
        """Closes the files of a run that may go on or start again later."""
        with storage(self._folder.path):
            self._metrics.close()
            self._events.close()

    def _cut(self, start: Mapping[str, Any]) -> None:
        """Takes the rows up to a mark over as this attempt's own and removes what came after it."""
        for path in (self._folder.policy_path, self._folder.error_path):
            path.unlink(missing_ok=True)
        os.truncate(self._folder.metrics_path, start["bytes"])
        self._hash.update(self._folder.metrics_path.read_bytes())
        self._rows, self._bytes = int(start["rows"]), int(start["bytes"])
        for row in self._folder.rows("eval"):
            self._eval_steps.append(row["timesteps"])
            self._eval_returns.append(row["returns"])

    def _live_scores(self) -> dict[str, float | None]:
        steps, returns = self._curve()
        means = returns.mean(axis=1)
        crossing = None
        if self._threshold is not None:
            crossing = curves.steps_to_threshold(steps, means, self._threshold)
        return {
            "stability/drawdown": curves.drawdown(returns),
            "stability/dispersion": curves.dispersion(returns, len(evaluation_points(self._config))),
            "efficiency/auc": curves.area(steps, means),
            "efficiency/best": float(means.max()),
            "efficiency/steps_to_threshold": crossing,
        }

    def _curve(self) -> tuple[curves.Floats, curves.Floats]:
        return np.asarray(self._eval_steps, dtype=np.float64), np.asarray(self._eval_returns, dtype=np.float64)


def verify(folder: RunFolder, mark: Mapping[str, Any]) -> bool:
    """Tells whether a run's rows still begin with those that a recorder marked."""
    try:
        with folder.metrics_path.open("rb") as file:
            return hashlib.sha256(file.read(mark["bytes"])).hexdigest() == str(mark["sha256"])
    except OSError:
        return False


def inherit(folder: RunFolder, source: RunFolder, *, rows: bool) -> None:
    """Copies what another folder holds of an unfinished run, or without `rows` only how often it was attempted.

    What the folder held before is removed; the other folder stays as it is.
    """
    with storage(folder.path):
        _clear(folder)
        folder.path.mkdir(parents=True, exist_ok=True)
        if rows:
            for path in (source.metrics_path, *source.path.glob("events.out.tfevents.*")):
                shutil.copyfile(path, folder.path / path.name)
        write_bytes(folder.config_path, source.config_path.read_bytes())


def record_crash(folder: RunFolder, config: RunConfig, outcome: str, reason: str, evidence: str) -> dict[str, Any]:
    """Writes the result of a run whose process died without a word; what it recorded stays, and is scored."""
    rows = list(folder.rows())
    last: dict[str, Any] = {n: rows[-1][n] if rows else 0 for n in ("timesteps", "updates", "samples", "seconds")}
    evaluations = [row for row in rows if row["kind"] == "eval"]
    curve = None
    if evaluations:
        steps = np.array([row["timesteps"] for row in evaluations], dtype=np.float64)
        curve = steps, np.array([row["returns"] for row in evaluations], dtype=np.float64)
    attempt = int(folder.record().get("attempt", 1))
    result = _result(config, attempt, Ending(outcome, reason, **last), curve, None)
    with storage(folder.path):
        with EventFile(folder.path, start=last["timesteps"] + 1) as events:
            events.add_summary(last["timesteps"] + 1, hparams.session_end(outcome, time.time()))
        write_bytes(folder.error_path, evidence.encode())
        write_json(folder.result_path, result)
    return result


def _result(
    config: RunConfig,
    attempt: int,
    ending: Ending,
    curve: tuple[curves.Floats, curves.Floats] | None,
    threshold: float | None,
) -> dict[str, Any]:
    """Returns what result.json holds; `curve` is timesteps (E,) and returns (E, N), or None without an evaluation."""
    final: dict[str, Any] = dict.fromkeys(curves.Summary._fields)
    if curve is not None:
        final = curves.summarise(
            *curve, threshold, planned=len(evaluation_points(config)), finished=ending.outcome == "ok"
        )._asdict()
    return {
        "schema": SCHEMA,
        "run_id": config.run_id,
        "arm_id": config.arm_id,
        "outcome": ending.outcome,
        "reason": ending.reason,
        "timesteps": ending.timesteps,
        "updates": ending.updates,
        "samples": ending.samples,
        "seconds": round(ending.seconds, 3),
        "resume_exact": ending.resume_exact,
        "attempts": attempt,
        "first_nonfinite": None if ending.first_nonfinite is None else dict(ending.first_nonfinite),
        "final": final,
    }


def _attempts(old: Mapping[str, Any] | None, timesteps: int, notes: Sequence[str]) -> tuple[int, dict[str, Any]]:
    """Returns the number of an attempt, from 1, and the list of all that config.json keeps once there are several.

    Args:
        old: what config.json said before.
        timesteps: env step at which this attempt begins.
        notes: what is to be said of it.
    """
    if old is None:
        return 1, {}
    attempt = int(old.get("attempt", 1)) + 1
    told = {"attempt": attempt, "from": timesteps, "notes": list(notes)}
    return attempt, {"attempts": [*old.get("attempts", []), told]}


def _clear(folder: RunFolder) -> None:
    """Removes what an earlier attempt left."""
    for path in folder.path.glob(".*"):  # files that were not written to their end
        path.unlink(missing_ok=True)
    if not folder.exists():
        return
    known = (folder.result_path, folder.metrics_path, folder.policy_path, folder.error_path)
    for path in (*known, *folder.path.glob("events.out.tfevents.*"), folder.config_path):
        path.unlink(missing_ok=True)
