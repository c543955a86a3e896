"""How good is a run over its whole budget, and when does it reach a mark? Scores from the rows of its evaluations.

A diverged run keeps its evaluations and stays from then on at the floor: the lowest of the environment's `low`, and of
every evaluation of any of its runs in the comparison. So no score of a run is better for having diverged, as long as
what was lost was not itself below the floor.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rlbatch import curves
from rlbatch.analysis.arms import Arm
from rlbatch.analysis.collect import Run
from rlbatch.analysis.scales import Ceiling
from rlbatch.designs import count_updates
from rlbatch.rows import evaluation_points

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Curves:
    """The counted runs of an arm over the whole budget.

    Attributes:
        arm: whose runs they are.
        timesteps: (T,) env steps of the evaluations, from 0 to the budget.
        updates: (T,) done by then.
        samples: (T,) transitions drawn by then.
        seeds: (R,) of the runs.
        diverged: (R,) whether each diverged.
        made: (R,) evaluations of each before it diverged, or all T.
        returns: (R, T, N) of every episode; the floor where a run had diverged.
    """

    arm: Arm
    timesteps: Floats
    updates: Floats
    samples: Floats
    seeds: Integers
    diverged: Bools
    made: Integers
    returns: Floats

    @property
    def means(self) -> Floats:
        """Mean return of each evaluation, (R, T)."""
        return np.asarray(self.returns.mean(axis=2))


class Crossings(NamedTuple):
    """When the runs of an arm reach a mark.

    Attributes:
        seeds: (R,) of the counted runs, then of the unfinished ones that were evaluated.
        at: (R,) index of the evaluation at which the mark is reached, or else up to which it is known that it was not:
            the last one of a finished run, and two before the last of an unfinished one.
        reached: (R,) whether it is.
        never: (R,) whether the run is over without having reached it; neither means censored.
    """

    seeds: Integers
    at: Integers
    reached: Bools
    never: Bools


def floor_of(low: float | None, means: Iterable[float]) -> float:
    """Returns the return at which a diverged run stays: the lowest there is, or where the scale begins if it is lower.

    Args:
        low: where the environment's score scale begins, or None.
        means: of every evaluation of all of the environment's runs.
    """
    return min([*means, *([] if low is None else [low])], default=0.0)


def ceiling_of(runs: Iterable[Run]) -> Ceiling | None:
    """Returns the highest mean of three evaluations in a row (all, where a run has fewer), or None where there is none.

    Like the floor it is taken from every run, whatever became of it, so that it stays where a run diverges, as long as
    what was lost was not itself the highest.

    Args:
        runs: all of one environment in the comparison.
    """
    highest, episodes = [], []
    for run in runs:
        width = curves.LAST if run.config is None else min(curves.LAST, len(evaluation_points(run.config)))
        if len(run.means) >= width:
            highest.append(float(np.lib.stride_tricks.sliding_window_view(run.means, width).mean(axis=1).max()))
            episodes.append(width * run.returns.shape[1])
    return Ceiling(max(highest), min(episodes)) if highest else None


def completed(returns: Floats, points: int, floor: float) -> Floats:
    """Returns (T, N): the evaluations of a run, with the floor for those that it lost.

    Args:
        returns: (E, N), E at most T.
        points: T.
        floor: a return.
    """
    lost = np.full((points - len(returns), returns.shape[1]), floor)
    return np.concatenate((returns, lost))


def curves_of(arm: Arm, floor: float) -> Curves | None:
    """Returns the curves of an arm's counted runs, or None where none counts."""
    if arm.config is None or not arm.counted:
        return None
    points = evaluation_points(arm.config)
    updates = np.array([count_updates(arm.config, point) for point in points], dtype=np.float64)
    diverged = {run.path for run in arm.diverged}
    return Curves(
        arm=arm,
        timesteps=np.array(points, dtype=np.float64),
        updates=updates,
        samples=updates * arm.batch_size,
        seeds=np.array([run.seed for run in arm.counted]),
        diverged=np.array([run.path in diverged for run in arm.counted]),
        made=np.array([len(run.returns) for run in arm.counted]),
        returns=np.stack([completed(run.returns, len(points), floor) for run in arm.counted]),
    )


def scores_of(these: Curves) -> dict[str, Floats]:
    """Returns metric -> (R,) score of each run, in units of return.

    "auc" is the area under the evaluation curve over the budget (its mean height), "final" the mean of the last three
    evaluations, "return_mean" the last one, "best" the highest: the maximum of noisy numbers, and so optimistic.
    """
    means = these.means
    return {
        "auc": np.array([curves.area(these.timesteps, run) for run in means]),
        "final": means[:, -curves.LAST :].mean(axis=1),
        "best": means.max(axis=1),
        "return_mean": means[:, -1],
    }


def crossings_of(these: Curves, marks: Mapping[str, float]) -> dict[str, Crossings]:
    """Returns mark -> when each run first reaches it, by the isotonic fit of its curve (see `curves.crossings`).

    A diverged run that reached a mark before keeps it only if the fit, with what came after, still reaches it. A run
    that is not finished may have reached one at its last two evaluations, where no crossing counts: it is censored
    before them.

    Args:
        these: of an arm.
        marks: name -> return.
    """
    unfinished = [run for run in these.arm.unfinished if len(run.returns)]
    means = [*these.means, *(run.means for run in unfinished)]
    seeds = np.concatenate((these.seeds, np.array([run.seed for run in unfinished], dtype=np.int64)))
    found = [curves.crossings(run, list(marks.values())) for run in means]
    over = np.arange(len(means)) < len(these.seeds)
    last = np.array([len(run) - 1 for run in means], dtype=np.int64)
    last[len(these.seeds) :] = np.maximum(last[len(these.seeds) :] - curves.UNCONFIRMED, 0)
    told = {}
    for number, mark in enumerate(marks):
        index = np.array([-1 if one[number] is None else one[number] for one in found], dtype=np.int64)
        told[mark] = Crossings(seeds, np.where(index < 0, last, index), index >= 0, over & (index < 0))
    return told
