"""Experiments as they lie on disk, without training: curves are given, the rest follows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rlbatch.config import RunConfig
from rlbatch.paths import run_path
from rlbatch.recorder import Recorder
from rlbatch.results import RunFolder
from rlbatch.rows import Ending, Row, grid_points

STEPS, EVALUATIONS, LEARNING_STARTS = 1000, 4, 100


def config_of(**settings: Any) -> RunConfig:
    """One update per env step from env step 100 on, evaluated at 0, 250, 500, 750 and 1000."""
    usual = {"env_id": "CartPole-v1", "algo": "dqn", "total_timesteps": STEPS, "n_evaluations": EVALUATIONS}
    return RunConfig.build(**usual | {"learning_starts": LEARNING_STARTS, "train_freq": 1} | settings)


def record(
    experiment: Path, heights: Sequence[float], outcome: str | None = "ok", origins: Any = None, **settings: Any
) -> RunFolder:
    """Records a run whose evaluations have these mean returns; without an outcome it goes on.

    Args:
        experiment: its folder.
        heights: mean returns of the first evaluations.
        outcome: of the run.
        origins: where settings came from.
        settings: of the run.
    """
    config = config_of(**settings)
    folder = RunFolder(experiment / run_path(config))
    recorder = Recorder(folder, config, None, origins=origins or {})
    extend(recorder, config, heights)
    if outcome is not None:
        last = reached(config, len(heights) - 1)
        recorder.finish(Ending(outcome, "" if outcome == "ok" else "as told", *last, 1.0))
    recorder.close()
    return folder


def go_on(folder: RunFolder, heights: Sequence[float]) -> None:
    """Adds evaluations with these mean returns to a run that goes on, as another attempt."""
    config, done = folder.config(), sum(1 for _ in folder.rows("eval"))
    written = folder.metrics_path.read_bytes()
    start = {"rows": written.count(b"\n"), "bytes": len(written), "timesteps": reached(config, done - 1)[0]}
    recorder = Recorder(folder, config, None, start=start)
    extend(recorder, config, heights, done)
    recorder.close()


def extend(recorder: Recorder, config: RunConfig, heights: Sequence[float], begin: int = 0) -> None:
    """Emits a train row and an evaluation for each height, from evaluation number `begin` on."""
    for number, height in enumerate(heights, begin):
        counts = reached(config, number)
        if number > 0:
            replays = {"batch/replays_per_transition": float(config.batch_size), "update/td_error": 0.5}
            recorder.emit(Row("train", *counts, 1.0, replays))
        episodes = [height - 1.0, height + 1.0]
        recorder.emit(Row("eval", *counts, 1.0, {"eval/return_mean": height}, episodes, [10, 10]))


def reached(config: RunConfig, number: int) -> tuple[int, int, int]:
    """Returns env steps, updates and samples at an evaluation."""
    steps = (0, *grid_points(config.total_timesteps, config.n_evaluations))[number]
    updates = max(steps - config.learning_starts, 0)
    return steps, updates, updates * config.batch_size
