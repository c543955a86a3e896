"""What becomes of a run's rows? They go to `metrics.jsonl` and the event file at once, the result is written last.

The recorder adds the live stability and efficiency scores to each eval row, so that every engine shows the same ones.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import safetensors.numpy

from rlbatch import curves
from rlbatch.config import RunConfig
from rlbatch.events import EventFile
from rlbatch.results import SCHEMA, RunFolder, run_record, storage, write_bytes, write_json
from rlbatch.rows import Ending, Row


class Recorder:
    """The record of one run, from its start to its result.

    Args:
        folder: the run folder; what an unfinished attempt left there is removed.
        config: the run.
        threshold: return at which the environment counts as solved, or None.
        beside: what config.json keeps beside the config (origins, provenance, ...).
    """

    def __init__(self, folder: RunFolder, config: RunConfig, threshold: float | None, **beside: Any) -> None:
        self._folder = folder
        self._config = config
        self._threshold = threshold
        self._eval_steps: list[int] = []
        self._eval_returns: list[list[float]] = []
        with storage(folder.path):
            self._attempt = _clear(folder)
            folder.path.mkdir(parents=True, exist_ok=True)
            write_json(folder.config_path, run_record(config, attempt=self._attempt, **beside))
            self._metrics = folder.metrics_path.open("x", encoding="utf-8")
            self._events = EventFile(folder.path)

    def emit(self, row: Row) -> Row:
        """Writes a row to both files; returns it with the live scores added."""
        if row.kind == "eval":
            self._eval_steps.append(row.timesteps)
            self._eval_returns.append(list(row.returns))
            row = replace(row, values=dict(row.values) | self._live_scores())
        with storage(self._folder.path):
            self._metrics.write(row.encode())
            self._metrics.flush()
            self._events.add(row.timesteps, row.numbers())
        return row

    def finish(self, ending: Ending) -> dict[str, Any]:
        """Writes weights and evidence, then the result; returns the result."""
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

    def _live_scores(self) -> dict[str, float | None]:
        steps, returns = self._curve()
        means = returns.mean(axis=1)
        crossing = None
        if self._threshold is not None:
            crossing = curves.steps_to_threshold(steps, means, self._threshold)
        return {
            "stability/drawdown": curves.drawdown(returns),
            "stability/dispersion": curves.dispersion(returns),
            "efficiency/auc": curves.area(steps, means),
            "efficiency/best": float(means.max()),
            "efficiency/steps_to_threshold": crossing,
        }

    def _curve(self) -> tuple[curves.Floats, curves.Floats]:
        return np.asarray(self._eval_steps, dtype=np.float64), np.asarray(self._eval_returns, dtype=np.float64)


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
        final = curves.summarise(*curve, threshold, finished=ending.outcome == "ok")._asdict()
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


def _clear(folder: RunFolder) -> int:
    """Removes what an earlier attempt left and returns the number of the new attempt, from 1."""
    if not folder.exists():
        return 1
    attempt = int(folder.record().get("attempt", 1)) + 1
    known = (folder.result_path, folder.metrics_path, folder.policy_path, folder.error_path)
    for path in (*known, *folder.path.glob("events.out.tfevents.*"), folder.config_path):
        path.unlink(missing_ok=True)
    return attempt
