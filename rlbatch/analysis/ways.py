"""In which ways are the batch sizes of a slice compared? Each way gives every batch size one sample of scores.

Without an axis of learning rates there is one way, and its conclusion holds at that rate alone. With one there are
three: at one rate, each batch size at its own best rate, averaged over the rates; see `rates.py`.

The scores at best rates are not independent, so they come with resamples of the whole procedure, from which come the
errors of all means and the intervals of interquartile means and aggregates. What counts seeds (probability of
improvement, profiles) takes each sample for as many independent scores as would tell as much of its mean; what splits
them (the advantage) chooses the rate in each split anew.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

import numpy as np

from rlbatch import presets
from rlbatch.analysis import rates
from rlbatch.analysis.across import interquartile_mean
from rlbatch.analysis.arms import Slice, rate_before_rule
from rlbatch.analysis.comparison import ScoredArm, ScoredTask
from rlbatch.analysis.intervals import SEED, Estimate, Floats, Interval, mean_of
from rlbatch.analysis.metrics import METRICS
from rlbatch.analysis.rates import Averaged, GoodRates, Grid, Tuned
from rlbatch.analysis.redraws import effective_size
from rlbatch.analysis.words import batches
from rlbatch.config import SETTINGS
from rlbatch.env_ids import bare_id

Kind = Literal["at its rate", "at one rate", "at its own best rate", "averaged over rates"]

_NONE: Mapping[int, Any] = MappingProxyType({})

Cells = Mapping[tuple[int, float], ScoredArm]
"""(batch size, learning rate before the rule) -> arm."""


class Way(NamedTuple):
    """One way to compare batch sizes.

    Attributes:
        kind: how learning rates are treated.
        words: what a conclusion has to say of them.
        samples: batch size -> (n,) scores, one per seed; higher is better.
        means: batch size -> mean score, with the error of the choice where a rate was chosen.
        arms: batch size -> the arm that stands for it where something else than the scores is asked; the one at its
            best rate. Empty where no single arm does.
        tuned: batch size -> how its rate was chosen, where it was.
        resampled: batch size -> (B, n) scores of the resamples of choice and scores, where rates were chosen.
        averaged: batch size -> its scores over the rates, where they were averaged.
        notes: what a reader has to know.
        withheld: why there is no verdict on the batch size; empty where there may be some.
    """

    kind: Kind
    words: str
    samples: Mapping[int, Floats]
    means: Mapping[int, Estimate]
    arms: Mapping[int, ScoredArm] = _NONE
    tuned: Mapping[int, Tuned] = _NONE
    resampled: Mapping[int, Floats] = _NONE
    averaged: Mapping[int, Averaged] = _NONE
    notes: tuple[str, ...] = ()
    withheld: str = ""

    def effective_size(self, batch: int) -> float:
        """Returns how many independent scores would tell as much of a batch size's mean."""
        return effective_size(self.means[batch], self.samples[batch])

    def iqm(self, batch: int) -> Interval:
        """Returns the interquartile mean of a batch size's scores."""
        return interquartile_mean(self.samples[batch], SEED, resampled=self.resampled.get(batch))


def ways_of(
    scored: ScoredTask, one: Slice, metric: str, reference: Mapping[str, Any]
) -> tuple[tuple[Way, ...], tuple[str, ...]]:
    """Returns the ways to compare the batch sizes of a slice, the one that conclusions rest on first, and what lacks.

    Args:
        scored: the environment.
        one: a slice of it.
        metric: of a run, a score or a difference; the numbers are on the environment's scale where it has one, and
            negative where lower is better.
        reference: the arm that was declared to be compared with; its learning rate is the one rate, if it has one.
    """
    cells = scored.cells(one)
    if not cells:
        return (), ("no run has ended: nothing to compare",)
    found, lacking = _found(cells, metric, reference)
    doubts = _doubts(one)
    return tuple(_with_doubts(way, doubts) for way in found), lacking


def _found(cells: Cells, metric: str, reference: Mapping[str, Any]) -> tuple[tuple[Way, ...], tuple[str, ...]]:
    """Returns the ways that these arms allow, and why not the others."""
    if all(len({rate for batch, rate in cells if batch == size}) == 1 for size, _ in cells):
        return (_as_trained(cells, metric),), ()
    grid = _grid(cells, metric)
    found: list[Way] = []
    notes: list[str] = []
    makers: tuple[Callable[[], Way], ...] = (
        lambda: _own_best(grid, cells),
        lambda: _one_rate(grid, cells, metric, reference.get("learning_rate")),
        lambda: _averaged(grid),
    )
    for make in makers:
        try:
            found.append(make())
        except ValueError as error:  # too few seeds, or other rates at each batch size
            notes.append(f"one way less to compare: {error}")
    return tuple(found), tuple(notes)


def _doubts(one: Slice) -> list[str]:
    """Returns what keeps the arms of a slice from telling of the batch size in any way."""
    doubts = []
    if one.confounds:
        vary = "varies" if len(one.confounds) == 1 else "vary"
        doubts.append(f"{', '.join(one.confounds)} {vary} with batch size or learning rate")
    early = sorted({batch for (batch, _), arm in one.cells.items() if arm.diverged and arm.unfinished})
    if early:
        # a run diverges at once and ends well only at its end: the first ones to count are the worst
        doubts.append(f"at batch {', '.join(map(str, early))} runs diverged while others are not finished")
    return doubts


def _with_doubts(way: Way, doubts: Sequence[str]) -> Way:
    every = [*([way.withheld] if way.withheld else []), *doubts]
    if not every:
        return way
    return way._replace(withheld="; ".join(every), notes=(*(f"{why}: no verdict" for why in every), *way.notes))


def values_of(arm: ScoredArm, metric: str) -> Floats:
    """Returns (R,) a metric of an arm's runs, on the environment's scale where it has one; higher is better."""
    values = arm.on_scale(metric)
    return values if METRICS[metric].higher_is_better else -values


def good_rates(cells: Cells, metric: str, delta: float) -> dict[int, GoodRates]:
    """Returns batch size -> the learning rates that are nearly as good as its best, where several were tried.

    Args:
        cells: the arms of a slice.
        metric: of a run.
        delta: largest difference that does not matter, in the unit of `values_of`.
    """
    grid = _grid(cells, metric)
    return {batch: rates.good_band(scores, delta) for batch, scores in grid.items() if len(scores) > 1}


def by_rate(way: Way, cells: Cells, metric: str) -> Mapping[int, Floats]:
    """Returns batch size -> the scores that half of the seeds can choose by, as `advantage.cross_fitted` takes them.

    Where a rate is chosen, those at every rate (n, R), of the seeds that have them all; else the way's samples.

    Args:
        way: from `ways_of`.
        cells: the arms of its slice.
        metric: of a run.
    """
    if not way.tuned:
        return way.samples
    found = {}
    for batch, scores in _grid(cells, metric).items():
        complete = sorted(set.intersection(*(set(arm) for arm in scores.values())))
        found[batch] = np.array([[arm[seed] for arm in scores.values()] for seed in complete]).reshape(-1, len(scores))
    return found


def by_seed(arm: ScoredArm, metric: str) -> dict[int, float]:
    """Returns seed -> a metric of an arm's runs, as `values_of` has it."""
    return dict(zip(arm.curves.seeds.tolist(), values_of(arm, metric).tolist(), strict=True))


def _as_trained(cells: Cells, metric: str) -> Way:
    arms = {batch: arm for (batch, _), arm in sorted(cells.items())}
    given = sorted({rate for _, rate in cells})
    at = " and ".join(f"{rate:g}" for rate in given) if len(given) < 3 else f"{given[0]:g} to {given[-1]:g}"
    words = f"at learning rate {at}{_tuned(arms)}"
    withheld = "learning rate and batch size vary together" if len(given) > 1 else ""
    samples = {batch: values_of(arm, metric) for batch, arm in arms.items()}
    return Way("at its rate", words, samples, _means(samples), arms=arms, withheld=withheld)


def _own_best(grid: Grid, cells: Cells) -> Way:
    tuned = rates.at_best_rate(grid)
    every = {rate for _, rate in cells}
    fewer = [str(batch) for batch, scores in grid.items() if set(scores) != every]
    return Way(
        kind="at its own best rate",
        words="each at its own best learning rate, chosen on halves of the seeds and scored on the others",
        samples={batch: one.scores for batch, one in tuned.items()},
        means={batch: one.mean for batch, one in tuned.items()},
        arms={batch: cells[batch, one.best] for batch, one in tuned.items()},
        tuned=tuned,
        resampled={batch: one.resampled(grid[batch]) for batch, one in tuned.items()},
        withheld=f"batch {', '.join(fewer)} could choose among fewer learning rates than others" if fewer else "",
    )


def _one_rate(grid: Grid, cells: Cells, metric: str, asked: float | None) -> Way:
    shared = sorted(set.intersection(*(set(scores) for scores in grid.values())))
    if not shared:
        raise ValueError("no learning rate is shared by all batch sizes")
    rate = asked if asked is not None and asked in shared else shared[len(shared) // 2]
    arms = {batch: arm for (batch, at), arm in sorted(cells.items()) if at == rate}
    notes = (f"the declared rate {asked:g} is not shared by all batch sizes",) if asked not in (None, rate) else ()
    which = "as declared" if rate == asked else _middle(shared, {one for scores in grid.values() for one in scores})
    words = f"all at learning rate {rate:g}, {which}"
    samples = {batch: values_of(arm, metric) for batch, arm in arms.items()}
    return Way("at one rate", words, samples, _means(samples), arms=arms, notes=notes)


def _middle(shared: Sequence[float], tried: Collection[float]) -> str:
    """Returns what the middle one of the rates that all batch sizes share is called."""
    which = "middle one" if len(shared) > 2 else "higher one" if len(shared) == 2 else "only one"
    upper = "upper " if len(shared) > 2 and len(shared) % 2 == 0 else ""
    return f"the {upper}{which} of those {'tried' if len(shared) == len(tried) else 'that all batch sizes share'}"


def _averaged(grid: Grid) -> Way:
    found = rates.averaged(grid)
    given = sorted({rate for scores in grid.values() for rate in scores})
    words = f"averaged over the learning rates {', '.join(f'{rate:g}' for rate in given)}"
    samples = {batch: one.scores for batch, one in found.items()}
    lost = [f"batch {b} {', '.join(map(str, one.left_out))}" for b, one in found.items() if one.left_out]
    notes = (f"without the seeds that lack a rate: {'; '.join(lost)}",) if lost else ()
    return Way("averaged over rates", words, samples, _means(samples), averaged=found, notes=notes)


def _means(samples: Mapping[int, Floats]) -> dict[int, Estimate]:
    """Returns the means of independent scores."""
    return {batch: mean_of(scores) for batch, scores in samples.items()}


def _grid(cells: Cells, metric: str) -> Grid:
    """Returns the scores of the arms, in the order of batch sizes and rates."""
    grid: dict[int, dict[float, dict[int, float]]] = {}
    for (batch, rate), arm in sorted(cells.items()):
        grid.setdefault(batch, {})[rate] = by_seed(arm, metric)
    return grid


def _tuned(arms: Mapping[int, ScoredArm]) -> str:
    """Returns where the learning rates of these arms come from, in words: presets', or from nowhere."""
    said = set()
    for arm in arms.values():
        config = arm.arm.config
        if config is not None:
            for labels in arm.arm.labels:
                given = presets.load(str(labels["preset"]), config.algo, bare_id(config.env_id))
                rate = given.values.get("learning_rate", SETTINGS["learning_rate"].default_for(config.algo))
                before = rate_before_rule(arm.arm.learning_rate, labels, config.batch_size)
                is_presets = math.isclose(before, float(rate), rel_tol=1e-6)
                where = f"tuned at {batches(given.tuned_at)}" if given.tuned_at else "not tuned in this environment"
                said.add(f"that of the preset {labels['preset']}, {where}" if is_presets else "set by hand, not tuned")
    return f" ({'; '.join(sorted(said))})" if said else ""
