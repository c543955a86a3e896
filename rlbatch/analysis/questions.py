"""In which ways are the batch sizes of a slice compared? Each way gives every batch size one sample of scores.

Without an axis of learning rates there is one way, and its conclusion holds at that rate alone. With one there are
three: at one rate, each batch size at its own best rate, averaged over the rates; see `rates.py`.

The scores at best rates are not independent, so their way has `redrawn`: the resamples of the whole procedure, from
which come the errors of all means and the intervals of interquartile means and aggregates. What counts runs
(probability of improvement, profiles) or splits them (the advantage) takes each sample for as many independent scores
as would tell as much of its mean.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, Literal, NamedTuple

import numpy as np

from rlbatch.analysis import rates
from rlbatch.analysis.arms import Slice
from rlbatch.analysis.comparison import ScoredArm, ScoredTask
from rlbatch.analysis.intervals import Estimate, Floats, mean_of
from rlbatch.analysis.metrics import METRICS
from rlbatch.analysis.rates import Averaged, Band, Grid, Tuned
from rlbatch.analysis.redraws import Redrawn, worth

Kind = Literal["at its rate", "at one rate", "at its own best rate", "averaged over rates"]


class Way(NamedTuple):
    """One way to compare batch sizes.

    Attributes:
        kind: how learning rates are treated.
        words: what a conclusion has to say of them.
        samples: batch size -> (n,) scores, one per seed; higher is better.
        arms: batch size -> the arm that stands for it where something else than the scores is asked; the one at its
            best rate. Empty where no single arm does.
        tuned: batch size -> how its rate was chosen, where it was.
        averaged: batch size -> its scores over the rates, where they were averaged.
        notes: what a reader has to know.
        means: batch size -> mean score, with the error of the choice where a rate was chosen.
        redrawn: batch size -> resamples of choice and scores, where rates were chosen.
        resampled: batch size -> (B, n) what these resamples score.
    """

    kind: Kind
    words: str
    samples: Mapping[int, Floats]
    arms: Mapping[int, ScoredArm]
    tuned: Mapping[int, Tuned]
    averaged: Mapping[int, Averaged]
    notes: tuple[str, ...]
    means: Mapping[int, Estimate]
    redrawn: Mapping[int, Redrawn]
    resampled: Mapping[int, Floats]

    def worth(self, batch: int) -> float:
        """Returns how many independent scores would tell as much of a batch size's mean."""
        return worth(self.means[batch], self.samples[batch])


def ways_of(scored: ScoredTask, part: Slice, metric: str, reference: Mapping[str, Any]) -> tuple[Way, ...]:
    """Returns the ways to compare the batch sizes of a slice, the one that conclusions rest on first.

    Args:
        scored: the environment.
        part: one of its slices.
        metric: of a run, a score or a difference; the numbers are on the environment's scale where it has one, and
            negative where lower is better.
        reference: the arm that was declared to be compared with; its learning rate is the one rate, if it has one.
    """
    cells = {cell: arm for cell, planned in part.cells.items() if (arm := scored.arms.get(planned.path)) is not None}
    if not cells:
        return ()
    if all(len({rate for batch, rate in cells if batch == one}) == 1 for one, _ in cells):
        return (_as_trained(cells, metric),)
    grid = _grid(cells, metric)
    found = [
        _own_best(grid, cells, metric),
        _one_rate(grid, cells, metric, reference.get("learning_rate")),
        _averaged(grid),
    ]
    return tuple(way for way in found if way is not None)


def values_of(arm: ScoredArm, metric: str) -> Floats:
    """Returns (R,) a metric of an arm's runs, on the environment's scale where it has one; higher is better."""
    values = arm.values[metric] if arm.scale.range is None else arm.normalised(metric)
    return values if METRICS[metric].higher_is_better else -values


def good_rates(cells: Mapping[tuple[int, float], ScoredArm], metric: str, delta: float) -> dict[int, Band]:
    """Returns batch size -> the learning rates that are nearly as good as its best, where several were tried.

    Args:
        cells: (batch size, learning rate before the rule) -> arm.
        metric: of a run.
        delta: largest difference that does not matter, in the unit of `values_of`.
    """
    grid = _grid(cells, metric)
    return {int(batch): rates.good_band(scores, delta) for batch, scores in grid.items() if len(scores) > 1}


def same_runs(way: Way, cells: Mapping[tuple[int, float], ScoredArm], metric: str) -> dict[int, Floats]:
    """Returns batch size -> (n,) another metric of the very runs that a way compares, as `values_of` has it.

    So where each batch size has its own best rate, it is the rate that the way's own metric chose on other seeds. Empty
    where scores are averages over several runs.

    Args:
        way: from `ways_of`.
        cells: (batch size, learning rate before the rule) -> arm, of its slice.
        metric: of a run.
    """
    if not way.tuned:
        return {batch: values_of(arm, metric) for batch, arm in way.arms.items()}
    found = {}
    for batch, tuned in way.tuned.items():
        known = {rate: by_seed(cells[batch, rate], metric) for rate in set(tuned.chosen)}
        found[batch] = np.array([known[rate][seed] for rate, seed in tuned.runs])
    return found


def same_means(
    way: Way, cells: Mapping[tuple[int, float], ScoredArm], metric: str, sizes: Collection[int]
) -> dict[int, Estimate]:
    """Returns batch size -> mean of `same_runs`, with the error of the choice where a rate was chosen.

    Args:
        way: from `ways_of`.
        cells: (batch size, learning rate before the rule) -> arm, of its slice.
        metric: of a run.
        sizes: batch sizes of which all of these runs have it.
    """
    samples = same_runs(way, cells, metric)
    found = {}
    for batch in sizes:
        if batch in way.redrawn:
            given = [(rate, by_seed(arm, metric)) for (size, rate), arm in cells.items() if size == batch]
            values = {(rate, seed): value for rate, arm in given for seed, value in arm.items()}
            found[batch] = way.redrawn[batch].mean(samples[batch], values)
        else:
            found[batch] = mean_of(samples[batch])
    return found


def by_seed(arm: ScoredArm, metric: str) -> dict[int, float]:
    """Returns seed -> a metric of an arm's runs, as `values_of` has it."""
    return dict(zip(arm.curves.seeds.tolist(), values_of(arm, metric).tolist(), strict=True))


def _as_trained(cells: Mapping[tuple[int, float], ScoredArm], metric: str) -> Way:
    arms = {batch: arm for (batch, _), arm in sorted(cells.items())}
    given = sorted({rate for _, rate in cells})
    at = " and ".join(f"{rate:g}" for rate in given) if len(given) < 3 else f"{given[0]:g} to {given[-1]:g}"
    words = f"at learning rate {at}{_tuned_at(arms)}"
    return _plain("at its rate", words, {b: values_of(arm, metric) for b, arm in arms.items()}, arms)


def _own_best(grid: Grid, cells: Mapping[tuple[int, float], ScoredArm], metric: str) -> Way | None:
    tuned = _attempt(lambda: rates.at_best_rate(grid))
    if tuned is None:
        return None
    by_batch = {int(batch): one for batch, one in sorted(tuned.items())}
    redrawn = {int(batch): one for batch, one in rates.redraws(grid).items()}
    values = {batch: {(r, s): v for r, arm in grid[batch].items() for s, v in arm.items()} for batch in by_batch}
    edges = [str(batch) for batch, one in by_batch.items() if one.at_edge]
    at_edge = f"best rate at the edge of the grid at batch {', '.join(edges)}: a better one may lie beyond"
    return Way(
        "at its own best rate",
        "each batch size at its own best learning rate, chosen on one half of the seeds and scored on the other",
        {batch: one.scores for batch, one in by_batch.items()},
        {batch: cells[batch, one.best] for batch, one in by_batch.items()},
        by_batch,
        {},
        (at_edge,) if edges else (),
        {batch: one.mean for batch, one in by_batch.items()},
        redrawn,
        {batch: redrawn[batch].scores(values[batch]) for batch in by_batch},
    )


def _one_rate(grid: Grid, cells: Mapping[tuple[int, float], ScoredArm], metric: str, asked: float | None) -> Way | None:
    shared = sorted(set.intersection(*(set(scores) for scores in grid.values())))
    if not shared:
        return None
    rate = asked if asked in shared else shared[len(shared) // 2]
    arms = {batch: arm for (batch, at), arm in sorted(cells.items()) if at == rate}
    words = f"all at learning rate {rate:g}, as if nobody tuned it"
    return _plain("at one rate", words, {b: values_of(arm, metric) for b, arm in arms.items()}, arms)


def _averaged(grid: Grid) -> Way | None:
    found = _attempt(lambda: rates.averaged(grid))
    if found is None:
        return None
    given = sorted({rate for scores in grid.values() for rate in scores})
    words = f"averaged over the learning rates {', '.join(f'{rate:g}' for rate in given)}"
    samples = {int(batch): one.scores for batch, one in sorted(found.items())}
    averaged = {int(batch): one for batch, one in found.items()}
    return _plain("averaged over rates", words, samples, {})._replace(averaged=averaged)


def _plain(kind: Kind, words: str, samples: Mapping[int, Floats], arms: Mapping[int, ScoredArm]) -> Way:
    """Returns a way whose scores are independent."""
    means = {batch: mean_of(scores) for batch, scores in samples.items()}
    return Way(kind, words, samples, arms, {}, {}, (), means, {}, {})


def _grid(cells: Mapping[tuple[int, float], ScoredArm], metric: str) -> dict[float, dict[float, dict[int, float]]]:
    grid: dict[float, dict[float, dict[int, float]]] = {}
    for (batch, rate), arm in sorted(cells.items()):
        grid.setdefault(batch, {})[rate] = by_seed(arm, metric)
    return grid


def _tuned_at(arms: Mapping[int, ScoredArm]) -> str:
    """Returns at which batch size the preset of these arms was tuned, in words."""
    tuned = {labels["lr_reference_batch"] for arm in arms.values() for labels in arm.arm.labels}
    return f", tuned at batch {tuned.pop()}" if len(tuned) == 1 else ""


def _attempt(make: Callable[[], Mapping[float, Any]]) -> Mapping[float, Any] | None:
    """Returns what is made, or None where the grid does not allow it: too few seeds, other rates per batch size."""
    try:
        return make()
    except ValueError:
        return None
