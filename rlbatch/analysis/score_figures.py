"""How does a score depend on the batch size? Means, intervals and every seed, for each metric and way of comparing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from rlbatch.analysis import efficiency, rates
from rlbatch.analysis.answer import Part, Together
from rlbatch.analysis.comparison import ScoredArm
from rlbatch.analysis.figures import Figure, Picture, Series, by_batch, slug
from rlbatch.analysis.intervals import Estimate, Floats
from rlbatch.analysis.metrics import METRICS, Metric
from rlbatch.analysis.profiles import performance_profile
from rlbatch.analysis.questions import Way, ways_of

Samples = dict[int, Floats]
"""Batch size -> (n,) one number per seed."""
Means = Mapping[int, Estimate] | None
"""Batch size -> mean of these numbers, where its error is known better than by them."""

_THRESHOLDS = 101
"""Scores at which a profile is drawn."""


def planned_response(part: Part, metric: str) -> Figure:
    """Returns the score that was declared against the batch size, in the way that conclusions rest on."""
    name = slug(part.name, "planned")
    picture = _picture(part, metric, {part.ways[0].kind: _of_way(part.ways[0])}, name)
    return Figure(name, (picture,), planned=True)


def responses(part: Part, metric: str, reference: Mapping[str, Any]) -> Figure:
    """Returns each metric that the runs have against the batch size, in each way of comparing.

    Args:
        part: the environment and design.
        metric: shown first.
        reference: the arm that was declared to be compared with.
    """
    pictures = []
    for name in dict.fromkeys((metric, *METRICS)):
        samples = {kind: values for kind, values in _samples(part, name, metric, reference).items() if values[0]}
        if samples:
            pictures.append(_picture(part, name, samples, slug(part.name, "response", name)))
    return Figure(slug(part.name, "response"), tuple(pictures), ("metric",))


def steadiness(part: Part) -> list[Figure]:
    """Returns how far returns fall, by batch size, of the arms that stand for each."""
    if not part.scaled:
        return []
    series = []
    for name in ("drawdown_max", "dispersion"):
        samples = {batch: arm.normalised(name) for batch, arm in sorted(part.ways[0].arms.items())}
        if samples and all(np.isfinite(values).all() for values in samples.values()):
            series.append(by_batch(name, samples))
    name = slug(part.name, "stability")
    picture = Picture(
        name,
        f"{part.name}: falls and unrest of the return, by batch size",
        "dots",
        "batch size",
        "part of the range",
        True,
        tuple(series),
        "Lower is steadier; evaluation noise is taken out. Compare only batch sizes that are shown to be equivalent: "
        "what learns nothing is steady.",
    )
    return [Figure(name, (picture,))] if series else []


def profiles(many: Sequence[Together], design: str) -> Figure:
    """Returns the share of runs above each score, over the environments together (Agarwal et al. 2021).

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
            profile = performance_profile(samples, thresholds, worth=both.worth[batch])
            series.append(Series(f"batch {batch}", thresholds, profile.share, profile.low, profile.high, (), batch))
        pictures.append(
            Picture(
                slug("together", design, "profiles", both.kind),
                f"{len(both.names)} environments together{design}: share of runs above a score, {both.kind}",
                "lines",
                "score (0: low, 1: reference)",
                "share of runs",
                False,
                tuple(series),
                "Each environment has the same weight. The band is pointwise.",
                choice=(both.kind,),
            )
        )
    return Figure(slug("together", design, "profiles"), tuple(pictures), ("learning rates",))


def _picture(part: Part, metric: str, samples: Mapping[str, tuple[Samples, Means]], name: str) -> Picture:
    """Returns a metric by batch size, a series for each way of comparing."""
    about = METRICS[metric]
    words: dict[str, str] = {way.kind: way.words for way in part.ways}
    return Picture(
        name,
        f"{part.name}: {about.about}, by batch size",
        "dots",
        "batch size",
        f"{metric} ({_unit(part, about)})",
        True,
        tuple(by_batch(kind, values, means) for kind, (values, means) in samples.items()),
        " ".join([_ABOUT, *_warnings(part, metric), *(f"{kind.capitalize()}: {words[kind]}." for kind in samples)]),
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
    if about.kind == "amount":
        said.append("A run that never gets there counts its whole budget.")
    elif about.kind != "score":
        said.append("Runs that cannot tell are left out.")
    if about.kind != "score" and part.ways[0].tuned:
        said.append("The best learning rate is that of the compared score.")
    return said


def _samples(part: Part, metric: str, first: str, reference: Mapping[str, Any]) -> dict[str, tuple[Samples, Means]]:
    """Returns way of comparing -> numbers of a metric, in its own direction; empty where nothing is known.

    A score chooses its own best learning rates, crosswise. What is steady or fast is told of the arms that the compared
    score chose: a rate at which nothing is learned is the steadiest.
    """
    if metric == first:
        return {way.kind: _of_way(way) for way in part.ways}
    if METRICS[metric].kind == "score":
        return {way.kind: _of_way(way) for way in ways_of(part.scored, part.slice, metric, reference)[0]}
    if METRICS[metric].kind == "amount" and not _reached(part, metric):
        return {}
    return {way.kind: (_of_arms(part, way, metric), None) for way in part.ways}


def _of_way(way: Way) -> tuple[Samples, Means]:
    return dict(way.samples), way.means


def _reached(part: Part, metric: str) -> bool:
    """Tells whether any run ever reaches the mark of a metric."""
    arms = [part.scored.arms[arm.path] for arm in part.slice.cells.values() if arm.path in part.scored.arms]
    return any(np.isfinite(arm.values[metric]).any() for arm in arms if metric in arm.values)


def _of_arms(part: Part, way: Way, metric: str) -> Samples:
    """Returns the numbers of the arms that stand for the batch sizes, or of all rates where they are averaged."""
    if not way.averaged:
        found = {batch: _numbers(part, arm, metric) for batch, arm in sorted(way.arms.items())}
        known = {batch: values[np.isfinite(values)] for batch, values in found.items()}
        return {batch: values for batch, values in known.items() if len(values)}
    grid: dict[float, dict[float, dict[int, float]]] = {}
    for (batch, rate), planned in sorted(part.slice.cells.items()):
        if (arm := part.scored.arms.get(planned.path)) is not None:
            numbers = zip(arm.curves.seeds.tolist(), _numbers(part, arm, metric).tolist(), strict=True)
            grid.setdefault(batch, {})[rate] = {seed: value for seed, value in numbers if np.isfinite(value)}
    try:
        return {int(batch): one.scores for batch, one in rates.averaged(grid).items()}
    except ValueError:  # some batch size has no seed that can tell at every rate
        return {}


def _numbers(part: Part, arm: ScoredArm, metric: str) -> Floats:
    """Returns (R,) a metric of an arm's runs, on the scale where there is one; a mark never reached is the budget."""
    if metric not in arm.values:
        return np.full(len(arm.curves.seeds), np.nan)
    if METRICS[metric].kind != "amount":
        return arm.normalised(metric) if part.scaled else arm.values[metric]
    spent = efficiency.amounts(arm.curves, metric.partition("_to_")[0], part.scored.clock)
    return arm.values[metric] if spent is None else np.minimum(arm.values[metric], spent[-1])
