"""In which ways are the batch sizes of a slice compared? Each way gives every batch size one sample of scores.

Without an axis of learning rates there is one way, and its conclusion holds at that rate alone. With one there are
three: at one rate, each batch size at its own best rate, averaged over the rates; see `rates.py`.

The scores at best rates are not independent, so their way has `redrawn`: the resamples of the whole procedure, from
which come the errors of all means and the intervals of interquartile means and aggregates. What counts runs
(probability of improvement, profiles) or splits them (the advantage) takes each sample for as many independent scores
as would tell as much of its mean.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from typing import Any, Literal, NamedTuple

import numpy as np

from rlbatch import presets
from rlbatch.analysis import rates
from rlbatch.analysis.arms import Slice, rate_before_rule
from rlbatch.analysis.comparison import ScoredArm, ScoredTask
from rlbatch.analysis.intervals import Estimate, Floats, mean_of
from rlbatch.analysis.metrics import METRICS
from rlbatch.analysis.rates import Averaged, Band, Grid, Tuned
from rlbatch.analysis.redraws import Redrawn, worth
from rlbatch.config import SETTINGS

Kind = Literal["at its rate", "at one rate", "at its own best rate", "averaged over rates"]

_TUNED = {
    "neutral": "that of the preset neutral, which was tuned at no single batch size",
    "zoo": "that of the preset zoo, tuned at batch {}",
}
"""Preset -> at which batch size its learning rates were tuned."""


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
        confounded: whether the learning rates differ between the batch sizes for no rule: then nothing is concluded.
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
    confounded: bool = False

    def worth(self, batch: int) -> float:
        """Returns how many independent scores would tell as much of a batch size's mean."""
        return worth(self.means[batch], self.samples[batch])


def ways_of(
    scored: ScoredTask, part: Slice, metric: str, reference: Mapping[str, Any]
) -> tuple[tuple[Way, ...], tuple[str, ...]]:
    """Returns the ways to compare the batch sizes of a slice, the one that conclusions rest on first, and what lacks.

    Args:
        scored: the environment.
        part: one of its slices.
        metric: of a run, a score or a difference; the numbers are on the environment's scale where it has one, and
            negative where lower is better.
        reference: the arm that was declared to be compared with; its learning rate is the one rate, if it has one.
    """
    cells = {cell: arm for cell, planned in part.cells.items() if (arm := scored.arms.get(planned.path)) is not None}
    if not cells:
        return (), ("no run has ended: nothing to compare",)
    if all(len({rate for batch, rate in cells if batch == one}) == 1 for one, _ in cells):
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
    way: Way,
    cells: Mapping[tuple[int, float], ScoredArm],
    metric: str,
    sizes: Collection[int],
    least: float = -math.inf,
) -> dict[int, Estimate]:
    """Returns batch size -> mean of `same_runs`, with the error of the choice where a rate was chosen.

    Args:
        way: from `ways_of`.
        cells: (batch size, learning rate before the rule) -> arm, of its slice.
        metric: of a run.
        sizes: batch sizes of which all of these runs have it.
        least: what anything lower counts as, such as minus the budget where a mark is never reached.
    """
    samples = same_runs(way, cells, metric)
    found = {}
    for batch in sizes:
        counted = np.maximum(samples[batch], least)
        if batch in way.redrawn:
            given = [(rate, by_seed(arm, metric)) for (size, rate), arm in cells.items() if size == batch]
            values = {(rate, seed): max(value, least) for rate, arm in given for seed, value in arm.items()}
            found[batch] = way.redrawn[batch].mean(counted, values)
        else:
            found[batch] = mean_of(counted)
    return found


def by_seed(arm: ScoredArm, metric: str) -> dict[int, float]:
    """Returns seed -> a metric of an arm's runs, as `values_of` has it."""
    return dict(zip(arm.curves.seeds.tolist(), values_of(arm, metric).tolist(), strict=True))


def _as_trained(cells: Mapping[tuple[int, float], ScoredArm], metric: str) -> Way:
    arms = {batch: arm for (batch, _), arm in sorted(cells.items())}
    given = sorted({rate for _, rate in cells})
    at = " and ".join(f"{rate:g}" for rate in given) if len(given) < 3 else f"{given[0]:g} to {given[-1]:g}"
    words = f"at learning rate {at}{_tuned(arms)}"
    notes = ("learning rate and batch size vary together: no verdict on the batch size",) * (len(given) > 1)
    samples = {batch: values_of(arm, metric) for batch, arm in arms.items()}
    return _plain("at its rate", words, samples, arms)._replace(notes=notes, confounded=len(given) > 1)


def _own_best(grid: Grid, cells: Mapping[tuple[int, float], ScoredArm]) -> Way:
    by_batch = {int(batch): one for batch, one in sorted(rates.at_best_rate(grid).items())}
    redrawn = {int(batch): one for batch, one in rates.redraws(grid).items()}
    values = {batch: {(r, s): v for r, arm in grid[batch].items() for s, v in arm.items()} for batch in by_batch}
    edges = [str(batch) for batch, one in by_batch.items() if one.at_edge]
    at_edge = f"best rate at the edge of the grid at batch {', '.join(edges)}: a better one may lie beyond"
    return Way(
        "at its own best rate",
        "each at its own best learning rate, chosen on one half of the seeds and scored on the other",
        {batch: one.scores for batch, one in by_batch.items()},
        {batch: cells[batch, one.best] for batch, one in by_batch.items()},
        by_batch,
        {},
        (at_edge,) if edges else (),
        {batch: one.mean for batch, one in by_batch.items()},
        redrawn,
        {batch: redrawn[batch].scores(values[batch]) for batch in by_batch},
    )


def _one_rate(grid: Grid, cells: Mapping[tuple[int, float], ScoredArm], metric: str, asked: float | None) -> Way:
    shared = sorted(set.intersection(*(set(scores) for scores in grid.values())))
    if not shared:
        raise ValueError("no learning rate is shared by all batch sizes")
    rate = asked if asked is not None and asked in shared else shared[len(shared) // 2]
    arms = {batch: arm for (batch, at), arm in sorted(cells.items()) if at == rate}
    notes = (f"the declared rate {asked:g} is not shared by all batch sizes",) if asked not in (None, rate) else ()
    words = f"all at learning rate {rate:g}, as if nobody tuned it"
    samples = {batch: values_of(arm, metric) for batch, arm in arms.items()}
    return _plain("at one rate", words, samples, arms)._replace(notes=notes)


def _averaged(grid: Grid) -> Way:
    found = rates.averaged(grid)
    given = sorted({rate for scores in grid.values() for rate in scores})
    words = f"averaged over the learning rates {', '.join(f'{rate:g}' for rate in given)}"
    samples = {int(batch): one.scores for batch, one in sorted(found.items())}
    averaged = {int(batch): one for batch, one in found.items()}
    lost = [f"batch {b} {', '.join(map(str, one.left_out))}" for b, one in sorted(averaged.items()) if one.left_out]
    notes = (f"without the seeds that lack a rate: {'; '.join(lost)}",) if lost else ()
    return _plain("averaged over rates", words, samples, {})._replace(averaged=averaged, notes=notes)


def _plain(kind: Kind, words: str, samples: Mapping[int, Floats], arms: Mapping[int, ScoredArm]) -> Way:
    """Returns a way whose scores are independent."""
    means = {batch: mean_of(scores) for batch, scores in samples.items()}
    return Way(kind, words, samples, arms, {}, {}, (), means, {}, {})


def _grid(cells: Mapping[tuple[int, float], ScoredArm], metric: str) -> dict[float, dict[float, dict[int, float]]]:
    grid: dict[float, dict[float, dict[int, float]]] = {}
    for (batch, rate), arm in sorted(cells.items()):
        grid.setdefault(batch, {})[rate] = by_seed(arm, metric)
    return grid


def _tuned(arms: Mapping[int, ScoredArm]) -> str:
    """Returns where the learning rates of these arms come from, in words: a preset's, or from nowhere."""
    said = set()
    for arm in arms.values():
        config = arm.arm.config
        if config is not None:
            for labels in arm.arm.labels:
                given = presets.load(str(labels["preset"]), config.algo, config.env_id.rpartition(":")[2])
                rate = given.values.get("learning_rate", SETTINGS["learning_rate"].default_for(config.algo))
                before = rate_before_rule(arm.arm.learning_rate, labels, config.batch_size)
                is_presets = math.isclose(before, float(rate), rel_tol=1e-6)
                where = _TUNED[str(labels["preset"])].format(labels["lr_reference_batch"])
                said.add(where if is_presets else "set by hand, tuned at no batch size")
    return f" ({said.pop()})" if len(said) == 1 else ""
