"""The figure of the main README: is it the averaging that helps, or the samples? Drawn from a kept score table.

python results/readme/figure.py    reads results/updates_or_samples/scores.csv, writes designs.png, prints what it shows
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import matplotlib as mpl
import numpy as np

from rlbatch.analysis.intervals import Interval, mean_of
from rlbatch.analysis.plots import PLAIN
from rlbatch.analysis.trend import slope

sys.path.insert(0, str(Path(__file__).parents[1]))
from summaries import normalised

mpl.use("Agg")
from matplotlib import pyplot

HOME = Path(__file__).parent
SCORES = HOME.parent / "updates_or_samples" / "scores.csv"
DESIGNS = {"match updates": "as many updates", "match samples": "as many samples"}
"""Design -> what does not change with the batch size, in the legend."""


def samples_of(design: str) -> dict[int, np.ndarray]:
    """Returns batch size -> (n,) each seed's normalised area, averaged over the learning rates."""
    with SCORES.open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if design in row["design"].split("; ")]
    found: dict[int, dict[int, list[float]]] = {}
    for row in rows:
        seeds = found.setdefault(int(row["batch_size"]), {})
        seeds.setdefault(int(row["seed"]), []).append(normalised(row["env"], float(row["auc"])))
    return {batch: np.array([np.mean(seeds[seed]) for seed in sorted(seeds)]) for batch, seeds in sorted(found.items())}


def main() -> None:
    """Draws the figure and prints the change per doubling of the batch size."""
    canvas, axes = pyplot.subplots(figsize=(7.0, 3.6), layout="constrained")
    for number, (design, words) in enumerate(DESIGNS.items()):
        samples = samples_of(design)
        means = {batch: mean_of(values) for batch, values in samples.items()}
        intervals: list[Interval] = [mean.interval() for mean in means.values()]
        x = np.array(list(means)) * 1.03**number
        for at, values in zip(x, samples.values(), strict=True):
            axes.plot(np.full(len(values), at), values, ".", color=PLAIN[number], alpha=0.35, markersize=4)
        y = np.array([one.estimate for one in intervals])
        ends = np.array([[one.estimate - one.low, one.high - one.estimate] for one in intervals]).T
        axes.errorbar(x, y, ends, color=PLAIN[number], marker="os"[number], capsize=3, label=words)
        change = slope({float(batch): mean for batch, mean in means.items()}).interval()
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
