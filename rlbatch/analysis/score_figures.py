"""How does a score depend on the batch size? Means, intervals and every seed, for each metric and way of comparing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from rlbatch.analysis import rates
from rlbatch.analysis.answer import Part, Together
from rlbatch.analysis.comparison import ScoredArm
from rlbatch.analysis.efficiency import Budget
from rlbatch.analysis.figures import Figure, Picture, Series, by_batch, slug
from rlbatch.analysis.intervals import Estimate, Floats, combine
from rlbatch.analysis.metrics import METRICS, Metric
from rlbatch.analysis.profiles import performance_profile
from rlbatch.analysis.rate_views import compared_rates_said
from rlbatch.analysis.same_runs import same_means, same_runs
from rlbatch.analysis.ways import Way, by_seed, values_of, ways_of

Samples = dict[int, Floats]
"""Batch size -> (n,) one number per seed."""


class _Drawn(NamedTuple):
    """What a way of comparing shows: numbers, and their means where numbers alone do not tell how sure these are."""

    samples: Samples
    means: Mapping[int, Estimate] | None = None


_THRESHOLDS = 101
"""Scores at which a profile is drawn."""


def planned_response(part: Part) -> Figure:
    """Returns the score that was declared against the batch size, in the way that conclusions rest on."""
    name = slug(part.name, "planned")
    picture = _picture(part, part.metric, {part.ways[0].kind: _of_way(part.ways[0])}, name)
    return Figure(name, (picture,), planned=True)


def responses(part: Part) -> Figure:
    """Returns each metric that the runs have, the compared one first, against the batch size, in each way."""
    pictures = []
    for metric in dict.fromkeys((part.metric, *METRICS)):
        drawn = {kind: one for kind, one in _drawn(part, metric).items() if one.samples}
        if drawn:
            pictures.append(_picture(part, metric, drawn, slug(part.name, "response", metric)))
    return Figure(slug(part.name, "response"), tuple(pictures), ("metric",))


def steadiness(part: Part) -> list[Figure]:
    """Returns how far returns fall, by batch size, of the runs that conclusions rest on."""
    if not part.scaled:
        return []
    series = []
    for name in ("drawdown_max", "dispersion"):
        drawn = _of_runs(part, part.ways[0], name)
        if drawn.samples:
            series.append(by_batch(name, *drawn))
    name = slug(part.name, "stability")
    picture = Picture(
        name,
        f"{part.name}: falls and unrest of the return, by batch size",
        kind="dots",
        x_title="batch size",
        y_title="part of the range",
        log_x=True,
        series=tuple(series),
        about="Lower is steadier; evaluation noise is taken out. Compare only batch sizes that are shown to be "
        f"equivalent: what learns nothing is steady. {compared_rates_said(part, part.ways[0])}",
    )
    return [Figure(name, (picture,))] if series else []


def profiles(many: Sequence[Together], design: str) -> Figure:
    """Returns the share of seeds above each score, over the environments together (Agarwal et al. 2021).

    Args:
        many: the same environments under one design, in each way of comparing.
        design: its settings in words; may be empty.
    """
    pictures = []
    for both in many:
        scores = np.concatenate([one for these in both.samples.values() for one in these])
        thresholds = np.linspace(min(0.0, float(scores.min())), max(1.0, float(scores.max())), _THRESHOLDS)
        series = []
        for batch, samples in both.samples.items():
            profile = performance_profile(samples, thresholds, effective_sizes=both.effective_sizes[batch])
            series.append(Series(f"batch {batch}", thresholds, profile.share, profile.low, profile.high, (), batch))
        pictures.append(
            Picture(
                slug("together", design, "profiles", both.kind),
                f"{len(both.names)} environments together{design}: share of seeds above a score, {both.kind}",
                kind="lines",
                x_title="score (0 and 1: the ends of each environment's scale)",
                y_title="share of seeds",
                log_x=False,
                series=tuple(series),
                about="Each environment has the same weight. The band is pointwise.",
                choice=(both.kind,),
            )
        )
    return Figure(slug("together", design, "profiles"), tuple(pictures), ("learning rates",))


def _of_way(way: Way) -> _Drawn:
    return _Drawn(dict(way.samples), way.means)


def _picture(part: Part, metric: str, drawn: Mapping[str, _Drawn], name: str) -> Picture:
    """Returns a metric by batch size, a series for each way of comparing."""
    about = METRICS[metric]
    words: dict[str, str] = {way.kind: way.words for way in part.ways}
    return Picture(
        name,
        f"{part.name}: {about.about}, by batch size",
        kind="dots",
        x_title="batch size",
        y_title=f"{metric} ({_unit(part, about)})",
        log_x=True,
        series=tuple(by_batch(kind, *one) for kind, one in drawn.items()),
        about=" ".join([_ABOUT, *_warnings(part, metric), *(f"{kind.capitalize()}: {words[kind]}." for kind in drawn)]),
        choice=(f"{metric} (optimistic)" if about.optimistic else metric,),
    )


_ABOUT = "A point is the mean over seeds, with its 95 % interval; each dot is one seed."


def _unit(part: Part, about: Metric) -> str:
    scaled = {"score": part.scored.scale.words, "difference": "part of the range"}
    return scaled[about.kind] if part.scaled and about.kind in scaled else about.unit


def _warnings(part: Part, metric: str) -> list[str]:
    """Returns what a reader has to know of a metric."""
    about = METRICS[metric]
    said = ["Higher is better." if about.higher_is_better else "Lower is better."]
    if about.optimistic:
        said.append("Optimistic: the maximum of noisy numbers.")
    budget = _budget(part, metric)
    if budget is not None:
        beyond = f"the smallest of the budgets, {budget.least:,.6g}, and so does one that takes more"
        said.append(f"A run that never gets there counts {beyond if budget.differs else 'its whole budget'}.")
    elif about.kind != "score":
        said.append("Runs that cannot tell are left out.")
    if about.kind != "score" and part.ways[0].tuned:
        said.append("The best learning rate is that of the compared score.")
    return said


def _drawn(part: Part, metric: str) -> dict[str, _Drawn]:
    """Returns way of comparing -> numbers of a metric, in its own direction; empty where nothing is known.

    A score chooses its own best learning rates. What is steady or fast is told of the runs that the compared
    score is taken from: a rate at which nothing is learned is the steadiest.
    """
    if metric == part.metric:
        return {way.kind: _of_way(way) for way in part.ways}
    if METRICS[metric].kind == "score":
        return {way.kind: _of_way(way) for way in ways_of(part.scored, part.slice, metric, part.reference)[0]}
    if METRICS[metric].kind == "amount" and not _reached(part, metric):
        return {}
    return {way.kind: _of_runs(part, way, metric) for way in part.ways}


def _reached(part: Part, metric: str) -> bool:
    """Tells whether any run ever reaches the mark of a metric."""
    return any(np.isfinite(arm.values[metric]).any() for arm in part.cells.values() if metric in arm.values)


def _of_runs(part: Part, way: Way, metric: str) -> _Drawn:
    """Returns a metric of the runs that a way compares, of all rates where it averages, in the metric's own direction.

    Left out are runs that cannot tell. A mark never reached is the smallest budget. Empty where some arm lacks it.
    """
    if any(metric not in arm.values for arm in part.cells.values()):
        return _Drawn({})
    sign = 1 if METRICS[metric].higher_is_better else -1
    if way.averaged:
        return _Drawn({batch: sign * values for batch, values in _averaged(part, metric).items()})

    least = _least(part, metric)

    def number(arm: ScoredArm) -> Floats:
        return np.maximum(values_of(arm, metric), least)

    told = {batch: values[~np.isnan(values)] for batch, values in sorted(same_runs(way, part.cells, number).items())}
    samples = {batch: sign * values for batch, values in told.items() if len(values)}
    means = same_means(way, part.cells, number, samples)
    return _Drawn(samples, {batch: combine([mean], [sign]) for batch, mean in means.items()})


def _averaged(part: Part, metric: str) -> Samples:
    """Returns a metric, higher is better, averaged over the rates by seed."""
    grid: dict[int, dict[float, dict[int, float]]] = {}
    least = _least(part, metric)
    for (batch, rate), arm in part.cells.items():
        known = {seed: max(value, least) for seed, value in by_seed(arm, metric).items() if not np.isnan(value)}
        grid.setdefault(batch, {})[rate] = known
    try:
        return {batch: one.scores for batch, one in rates.averaged(grid).items()}
    except ValueError:  # some batch size has no seed that can tell at every rate
        return {}


def _least(part: Part, metric: str) -> float:
    """Returns what anything lower counts as: of an amount to a mark, minus the smallest budget."""
    budget = _budget(part, metric)
    return -np.inf if budget is None else -budget.least


def _budget(part: Part, metric: str) -> Budget | None:
    """Returns what may be spent on the axis of an amount to a mark; None for other metrics."""
    return part.budgets.get(metric.partition("_to_")[0]) if METRICS[metric].kind == "amount" else None
