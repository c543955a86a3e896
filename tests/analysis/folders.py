"""Runs with known returns, in memory or as the folders that the project's own writers make; nothing is trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from rlbatch.analysis.collect import LABELS, Run
from rlbatch.config import RunConfig
from rlbatch.designs import count_updates
from rlbatch.experiment import Experiment
from rlbatch.paths import run_path
from rlbatch.plans import Declared
from rlbatch.recorder import Recorder
from rlbatch.rows import Ending, Row, evaluation_points

TINY = {
    "env_id": "CartPole-v1",
    "algo": "dqn",
    "total_timesteps": 400,
    "learning_starts": 100,
    "train_freq": 1,
    "n_evaluations": 4,
    "n_eval_episodes": 2,
    "batch_size": 32,
}
"""Evaluations at 0, 100, 200, 300 and 400 env steps; an update per env step from 101 on."""


def config(**settings: Any) -> RunConfig:
    return RunConfig.build(**TINY | settings)


def episodes(means: ArrayLike, count: int = 2) -> np.ndarray:
    """(E, count) returns whose episodes are all alike."""
    return np.repeat(np.asarray(means, dtype=float)[:, None], count, axis=1)


def run(means: ArrayLike, status: str = "ok", reason: str = "", **settings: Any) -> Run:
    """A run in memory with these evaluations; (E, N) if they are episodes, else (E,) means."""
    returns = np.asarray(means, dtype=float)
    returns = returns if returns.ndim == 2 else episodes(returns)
    settings.setdefault("n_eval_episodes", returns.shape[1])
    own = config(**settings)
    labels = {name: getattr(own, name) for name in LABELS}
    return Run(Path(run_path(own)), str(run_path(own)), status, reason, own, (labels,), returns)


def write(
    root: Path,
    own: RunConfig,
    means: Sequence[float],
    outcome: str | None = "ok",
    reason: str = "",
    threshold: float | None = None,
    tags: Mapping[str, float | None] | None = None,
) -> Path:
    """Writes the folder of a run, with train rows that all have these tags; returns it.

    Without an outcome it is not finished.
    """
    folder = Experiment(root).run(own)
    record = Recorder(folder, own, threshold, device="cpu", stack_width=3)
    updates = 0
    for point, mean in zip(evaluation_points(own), means, strict=False):
        updates = count_updates(own, point)
        counts = (point, updates, updates * own.batch_size, point / 100)
        cost = {"cost/process_memory_mb": 300.0 + own.seed, "cost/gpu_memory_mb": None}
        record.emit(Row("train", *counts, cost | dict(tags or {})))
        returns = [float(mean)] * own.n_eval_episodes
        record.emit(Row("eval", *counts, {"eval/return_mean": float(mean)}, returns, [1] * len(returns)))
    if outcome is None:
        record.close()
        return folder.path
    record.finish(Ending(outcome, reason, own.total_timesteps, updates, updates * own.batch_size, 4.0))
    return folder.path


def plan(
    root: Path, configs: Sequence[RunConfig], also: Mapping[str, Any] | None = None, **analysis: Any
) -> Experiment:
    """Makes these runs the plan of an experiment."""
    root.mkdir(parents=True, exist_ok=True)
    experiment = Experiment(root)
    experiment.replace_plan(Declared(configs, also or {}, "name: x\n", analysis), ["rlbatch", "run"])
    return experiment
