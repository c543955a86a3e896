"""What did the batches do while an arm trained? The train rows of its runs, as means over windows of env steps.

A run that diverged has no rows afterwards: it counts as far as it came. Rows that cannot be read are those of no run.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rlbatch.analysis.arms import Arm
from rlbatch.errors import RlbatchError
from rlbatch.frames import read_tags
from rlbatch.results import RunFolder
from rlbatch.rows import grid_points

Floats = NDArray[np.float64]

WINDOWS = 40
"""Into which the budget is divided: 200 rows of a run make five each."""


class Diagnostic(NamedTuple):
    """A tag of the runs of an arm.

    Attributes:
        timesteps: (K,) env steps at the end of each window.
        values: (R, K) mean of each run's rows in it; NaN where it has none.
    """

    timesteps: Floats
    values: Floats


def diagnostics_of(arm: Arm, tags: tuple[str, ...]) -> dict[str, Diagnostic]:
    """Returns tag -> what the counted runs of an arm say of it; without tags that none of them has a number for.

    Args:
        arm: whose rows are read.
        tags: of train rows.
    """
    if arm.config is None or not arm.counted:
        return {}
    points = np.array(list(grid_points(arm.config.total_timesteps, arm.config.log_points)))
    width = -(-len(points) // WINDOWS)
    ends = points[np.minimum(np.arange(width, len(points) + width, width), len(points)) - 1].astype(np.float64)
    runs = [_run(RunFolder(run.folder), tags, points, width, len(ends)) for run in arm.counted]
    values = np.stack(runs, axis=1)
    return {tag: Diagnostic(ends, told) for tag, told in zip(tags, values, strict=True) if np.isfinite(told).any()}


def _run(run: RunFolder, tags: tuple[str, ...], points: NDArray[np.int64], width: int, windows: int) -> Floats:
    """Returns (tags, windows) the means of a run's rows, NaN where there is no number."""
    try:
        frame = read_tags(run, tags)
    except RlbatchError:
        return np.full((len(tags), windows), np.nan)
    at = np.searchsorted(points, frame["timesteps"].to_numpy())
    window = np.minimum(at // width, windows - 1)
    means = np.full((len(tags), windows), np.nan)
    for tag, row in zip(tags, means, strict=True):
        numbers = frame[tag].to_numpy()
        known = np.isfinite(numbers)
        counts = np.bincount(window[known], minlength=windows)
        sums = np.bincount(window[known], numbers[known], minlength=windows)
        row[counts > 0] = sums[counts > 0] / counts[counts > 0]
    return means
