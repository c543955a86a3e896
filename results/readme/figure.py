"""The figure of the main README: does a larger batch help, and what is held fixed? Drawn from a kept score table.

Each batch size is at its own best learning rate, chosen on one half of the seeds and scored on the other.

python results/readme/figure.py    reads results/updates_or_samples/scores.csv, writes designs.png, prints what it shows
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import matplotlib as mpl
import numpy as np

from rlbatch.analysis.plots import PLAIN
from rlbatch.analysis.rates import Grid, at_best_rate
from rlbatch.analysis.trend import slope

sys.path.insert(0, str(Path(__file__).parents[1]))
from summaries import normalised

mpl.use("Agg")
from matplotlib import pyplot

HOME = Path(__file__).parent
SCORES = HOME.parent / "updates_or_samples" / "scores.csv"
DESIGNS = {"match updates": "as many updates", "match samples": "as many samples"}
"""Design -> what does not change with the batch size, in the legend."""


def grid_of(design: str) -> Grid:
    """Returns the normalised area of every run of a design."""
    with SCORES.open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if design in row["design"].split("; ")]
    grid: dict[int, dict[float, dict[int, float]]] = {}
    for row in sorted(rows, key=lambda row: int(row["batch_size"])):
        arm = grid.setdefault(int(row["batch_size"]), {}).setdefault(float(row["learning_rate"]), {})
        arm[int(row["seed"])] = normalised(row["env"], float(row["auc"]))
    return grid


def main() -> None:
    """Draws the figure and prints the change per doubling of the batch size."""
    canvas, axes = pyplot.subplots(figsize=(7.0, 3.6), layout="constrained")
    for number, (design, words) in enumerate(DESIGNS.items()):
        tuned = at_best_rate(grid_of(design))
        means = {batch: one.mean for batch, one in tuned.items()}
        intervals = [mean.interval() for mean in means.values()]
        x = np.array(list(means)) * 1.03**number
        for at, one in zip(x, tuned.values(), strict=True):
            axes.plot(np.full(len(one.scores), at), one.scores, ".", color=PLAIN[number], alpha=0.35, markersize=4)
        y = np.array([one.estimate for one in intervals])
        ends = np.array([[one.estimate - one.low, one.high - one.estimate] for one in intervals]).T
        axes.errorbar(x, y, ends, color=PLAIN[number], marker="os"[number], capsize=3, label=words)
        change = slope(means).interval()
        print(f"{design}: {change.estimate:+.3f} [{change.low:+.3f}, {change.high:+.3f}] per doubling of the batch")
    axes.set_xscale("log", base=2)
    axes.set_xticks(list(means), [str(batch) for batch in means])
    axes.set_xlabel("batch size")
    axes.set_ylabel("score (0: low, 1: reference)")
    axes.legend(frameon=False, title="every batch size has")
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    canvas.savefig(HOME / "designs.png", dpi=150, metadata={"Software": None})


if __name__ == "__main__":
    main()
