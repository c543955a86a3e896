"""Which file holds everything that a comparison was made from? Every episode of every evaluation, one per line."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from rlbatch.analysis.comparison import Comparison
from rlbatch.designs import count_updates
from rlbatch.results import write_bytes
from rlbatch.rows import evaluation_points

COLUMNS = (
    *("env", "algo", "batch_size", "learning_rate", "arm", "seed", "status"),
    *("timesteps", "updates", "samples", "episode", "return"),
)


def write_episodes(comparison: Comparison, path: Path) -> None:
    """Writes the file, whole or not at all; evaluations that a diverged run lost are not in it."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for scored in comparison.tasks:
        for arm in scored.task.arms:
            if arm.config is None:
                continue
            points = evaluation_points(arm.config)
            updates = [count_updates(arm.config, point) for point in points]
            for run in arm.runs:
                named = (arm.env_id, arm.algo, arm.batch_size, arm.learning_rate, arm.path, run.seed, run.status)
                for i, episodes in enumerate(run.returns):
                    spent = (points[i], updates[i], updates[i] * arm.batch_size)
                    writer.writerows((*named, *spent, number, value) for number, value in enumerate(episodes.tolist()))
    write_bytes(path, text.getvalue().encode())
