"""The figure and the numbers of the main README: does a larger batch help, and what is held fixed? From a kept table.

Each batch size is at its own best learning rate, chosen on halves of the seeds and scored on the others.

python results/readme/figure.py    reads results/updates_or_samples/scores.csv, writes designs.png, prints the numbers
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import matplotlib as mpl
import numpy as np

from rlbatch.analysis.intervals import Estimate, Interval, combine, mean_of
from rlbatch.analysis.plots import PLAIN
from rlbatch.analysis.rates import Grid, at_best_rate, averaged
from rlbatch.analysis.trend import slope

sys.path.insert(0, str(Path(__file__).parents[1]))
from summaries import normalised

mpl.use("Agg")
from matplotlib import pyplot

HOME = Path(__file__).parent
SCORES = HOME.parent / "updates_or_samples" / "scores.csv"
RATE = 3e-4
"""At which the kept page compares all batch sizes: the middle one of those tried."""
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


def numbers() -> dict[str, str]:
    """Returns what the main README says of the change per doubling of the batch size, as it says it."""
    found = {}
    for way, means_of in {"best": _at_best, "averaged": _averaged, "one rate": _at_one_rate}.items():
        slopes = {design: slope(means_of(grid_of(design))) for design in DESIGNS}
        found |= {f"{design}, {way}": _words(one.interval()) for design, one in slopes.items()}
        # the runs that both designs share are those of the middle batch size, which weighs nothing in a slope
        found[f"difference, {way}"] = _words(combine(list(slopes.values()), [1, -1]).interval())
    return found


def _at_best(grid: Grid) -> dict[int, Estimate]:
    return {batch: one.mean for batch, one in at_best_rate(grid).items()}


def _averaged(grid: Grid) -> dict[int, Estimate]:
    return {batch: mean_of(one.scores) for batch, one in averaged(grid).items()}


def _at_one_rate(grid: Grid) -> dict[int, Estimate]:
    return {batch: mean_of(list(by_rate[RATE].values())) for batch, by_rate in grid.items()}


def _words(found: Interval) -> str:
    return f"{found.estimate:+.3f} [{found.low:+.3f}, {found.high:+.3f}]".replace("-", "\u2212")


def main() -> None:
    """Draws the figure and prints the numbers."""
    canvas, axes = pyplot.subplots(figsize=(7.0, 3.6), layout="constrained")
    for number, (design, words) in enumerate(DESIGNS.items()):
        tuned = at_best_rate(grid_of(design))
        intervals = [one.mean.interval() for one in tuned.values()]
        x = np.array(list(tuned)) * 1.03**number
        for at, one in zip(x, tuned.values(), strict=True):
            axes.plot(np.full(len(one.scores), at), one.scores, ".", color=PLAIN[number], alpha=0.35, markersize=4)
        y = np.array([one.estimate for one in intervals])
        ends = np.array([[one.estimate - one.low, one.high - one.estimate] for one in intervals]).T
        axes.errorbar(x, y, ends, color=PLAIN[number], marker="os"[number], capsize=3, label=words)
    axes.set_xscale("log", base=2)
    axes.set_xticks(list(tuned), [str(batch) for batch in tuned])
    axes.set_xlabel("batch size")
    axes.set_ylabel("score (0: low, 1: reference)")
    axes.legend(frameon=False, title="every batch size has")
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    canvas.savefig(HOME / "designs.png", dpi=150, metadata={"Software": None})
    for what, told in numbers().items():
        print(f"{what}: {told} per doubling of the batch")


if __name__ == "__main__":
    main()
