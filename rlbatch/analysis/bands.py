"""How high is the learning curve of an arm? The mean over its seeds at each evaluation, with an interval.

A diverged run counts from then on with the lowest return there is. A run that is not finished counts as far as it is.
Runs that failed (env_error, hung, crashed) are missing: they say nothing about the arm. A run that lacked memory counts
as diverged where its batch size was the cause, and is missing otherwise.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from rlbatch.analysis.arms import too_large
from rlbatch.analysis.intervals import mean_of
from rlbatch.config import RunConfig, from_dict
from rlbatch.curves import Floats
from rlbatch.designs import count_updates
from rlbatch.errors import InputError
from rlbatch.hparams import Settings, settings_of
from rlbatch.results import GOOD_OUTCOMES, RunFolder
from rlbatch.rows import evaluation_points


@dataclass(frozen=True)
class Curve:
    """The evaluations of one run.

    Attributes:
        config: the run.
        settings: what TensorBoard shows of it.
        outcome: as in result.json, or None while it is not finished.
        points: (env steps, samples, mean return) of each evaluation, in order.
    """

    config: RunConfig
    settings: Settings
    outcome: str | None
    points: Sequence[tuple[int, int, float]]

    @property
    def counts(self) -> bool:
        """Whether the run says something about its arm."""
        return self.outcome is None or self.outcome in GOOD_OUTCOMES

    @property
    def environment(self) -> tuple[str, str]:
        """The environment's id, and its arguments as JSON."""
        return self.config.env_id, json.dumps(self.config.env_kwargs, sort_keys=True)


@dataclass(frozen=True)
class Band:
    """The curve of an arm at P evaluations.

    Attributes:
        timesteps: (P,) env steps.
        samples: (P,) transitions drawn from the replay by then.
        mean: (P,) mean return over seeds.
        lower: (P,) end of the interval; NaN with fewer than two seeds.
        upper: (P,) its other end.
        seeds: (P,) how many there are.
    """

    timesteps: list[int]
    samples: list[int]
    mean: Floats
    lower: Floats
    upper: Floats
    seeds: Floats


def read_curve(run: RunFolder) -> Curve:
    """Returns a run's curve; raises like `RunFolder.record`, `result`, `rows` and `check_evaluations`."""
    run.check_evaluations()
    record, result = run.record(), run.result()
    config = from_dict(record["config"])
    rows = ((row["timesteps"], row["samples"], row["eval/return_mean"]) for row in run.rows("eval"))
    points = [point for point in rows if point[-1] is not None]
    if not all(
        type(steps) is type(drawn) is int and isinstance(height, int | float) for steps, drawn, height in points
    ):
        raise InputError(str(run.metrics_path), "has an evaluation that is not made of numbers")
    outcome = None if result is None else str(result["outcome"])
    return Curve(config, settings_of(config, record.get("origins")), outcome, points)


def judged(curves: Iterable[Curve]) -> list[Curve]:
    """Returns the curves, those that lacked memory for their batch size as diverged (see `arms.too_large`)."""
    found = list(curves)
    lacking = too_large((curve.config, curve.outcome) for curve in found)
    if not lacking:
        return found
    return [replace(curve, outcome="diverged") if curve.config.run_id in lacking else curve for curve in found]


def band(curves: Sequence[Curve], low: float) -> Band | None:
    """Returns the mean curve of one arm with a t interval at each evaluation, or None without any evaluation.

    Args:
        curves: the arm's runs, one per seed.
        low: the return of a diverged run from then on.
    """
    known = [curve for curve in curves if curve.counts and curve.points]
    if not known:
        return None
    samples = {step: drawn for curve in known for step, drawn, _ in curve.points}
    if {curve.outcome for curve in known} in ({"diverged"}, {"diverged", "ok"}):  # nobody will get further
        samples = _to_the_end(samples, known[0].config)
    steps = sorted(samples)
    heights = np.array([_heights(curve, steps, low) for curve in known])
    seeds = np.isfinite(heights).sum(axis=0)
    mean = np.nanmean(heights, axis=0)
    half = np.array([_half_width(column[np.isfinite(column)]) for column in heights.T])
    return Band(steps, [samples[step] for step in steps], mean, mean - half, mean + half, seeds.astype(float))


def _heights(curve: Curve, steps: Sequence[int], low: float) -> list[float]:
    """Returns a run's return at each of these env steps, NaN where it has none."""
    own = {step: height for step, _, height in curve.points}
    end = curve.points[-1][0] if curve.outcome == "diverged" else math.inf
    return [low if step > end else own.get(step, math.nan) for step in steps]


def _half_width(heights: Floats) -> float:
    """Returns half the width of the t interval of a mean; NaN with fewer than two numbers."""
    if len(heights) < 2:
        return math.nan
    interval = mean_of(heights).interval()
    return interval.high - interval.estimate


def _to_the_end(samples: dict[int, int], config: RunConfig) -> dict[int, int]:
    """Returns the samples at all evaluations of a run; those that no run reached follow from its schedule.

    Args:
        samples: env steps -> samples, as far as runs came.
        config: any run of the arm.
    """
    last = max(samples)
    ahead = (step for step in evaluation_points(config) if step > last)
    return samples | {step: count_updates(config, step) * config.batch_size for step in ahead}
