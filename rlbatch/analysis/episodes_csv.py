"""Which file holds everything that a comparison was made from? Every episode of every evaluation, one per line."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from rlbatch.analysis.comparison import Comparison
from rlbatch.analysis.words import design_words
from rlbatch.designs import count_updates
from rlbatch.results import write_bytes
from rlbatch.rows import evaluation_points

COLUMNS = (
    *("env", "algo", "design", "match", "lr_rule", "batch_size", "learning_rate", "arm", "seed", "status"),
    *("timesteps", "updates", "samples", "episode", "return"),
)


def write_episodes(comparison: Comparison, path: Path) -> None:
    """Writes the file, whole or not at all; evaluations that a diverged run lost are not in it.

    "design" is what tells the arm from others of its environment besides batch size and rate; several designs may have
    asked for it. "learning_rate" is the effective one, after the rule.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for scored in comparison.tasks:
        designs = [
            (design_words(one.fixed).lstrip(", "), {arm.path for arm in one.cells.values()})
            for one in scored.task.slices
        ]
        for arm in scored.task.arms:
            if arm.config is None:
                continue
            points = evaluation_points(arm.config)
            updates = [count_updates(arm.config, point) for point in points]
            asked = "; ".join(words for words, paths in designs if arm.path in paths)
            labels = (" or ".join(dict.fromkeys(str(one[name]) for one in arm.labels)) for name in ("match", "lr_rule"))
            described = (arm.env_id, arm.algo, asked, *labels, arm.batch_size, arm.learning_rate, arm.path)
            for run in arm.runs:
                named = (*described, run.seed, run.status)
                for i, episodes in enumerate(run.returns):
                    spent = (points[i], updates[i], updates[i] * arm.batch_size)
                    writer.writerows((*named, *spent, number, value) for number, value in enumerate(episodes.tolist()))
    write_bytes(path, text.getvalue().encode())
