"""Which of the batch sizes that are compared is the steadiest? Verdicts on falls of the return.

What learns nothing is steady. So batch sizes get a verdict on steadiness only where they are shown to score alike, or
where each has its own best learning rate. There the runs are those that the score is taken from: their rate was chosen
by the score of other seeds, so that neither luck nor a rate at which nothing is learned makes a batch size look steady.
The errors are those of the choice too (`redraws.py`).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import NamedTuple

import numpy as np

from rlbatch.analysis.answer import HARDLY, Part
from rlbatch.analysis.best import Standing, compare_with_best
from rlbatch.analysis.intervals import Floats
from rlbatch.analysis.same_runs import metric_of, same_means, same_runs

NAMES = ("drawdown_max", "retention")
"""Metrics on which there are verdicts: parts of the reference range, and a share. Not dispersion: learning in one jump
has more of it than learning steadily, though neither ever falls."""


class Steadiness(NamedTuple):
    """How batch sizes compare in one metric of stability.

    Attributes:
        metric: the metric.
        standings: batch size -> how it compares with the steadiest; higher is steadier, so falls are negative.
    """

    metric: str
    standings: Mapping[int, Standing]


def comparable(part: Part) -> tuple[int, ...]:
    """Returns the batch sizes between which there are verdicts: those that score alike, or all at their best rates.

    What learned nothing is steady, so there are none of batch sizes that hardly learned.
    """
    way = part.ways[0]
    if not part.scaled:
        return ()
    verdicts = part.verdicts[way.kind]
    sizes = way.samples if way.tuned else verdicts.equivalent
    return tuple(size for size in sizes if verdicts.means[size].value >= HARDLY)


def steadiness_of(part: Part, delta: float) -> tuple[Steadiness, ...]:
    """Returns how the comparable batch sizes compare, in every metric that all of their runs have.

    Args:
        part: an environment under one design.
        delta: the largest difference that does not matter: a part of the reference range, or of all evaluations.
    """
    found = []
    for metric in NAMES:
        samples = steadiness_samples(part, metric, comparable(part))
        if len(samples) > 1:
            means = same_means(part.ways[0], part.cells, metric_of(metric), samples)
            found.append(Steadiness(metric, compare_with_best(means, delta)))
    return tuple(found)


def steadiness_samples(part: Part, metric: str, sizes: Collection[int]) -> dict[int, Floats]:
    """Returns batch size -> (n,) a metric of stability, higher is steadier; empty where some run or arm has none.

    Args:
        part: an environment under one design.
        metric: one of `NAMES`.
        sizes: batch sizes that may be compared.
    """
    samples = same_runs(part.ways[0], part.cells, metric_of(metric))
    chosen = {size: samples[size] for size in sizes if size in samples}
    known = part.scaled and len(chosen) == len(sizes) and all(np.isfinite(values).all() for values in chosen.values())
    return chosen if known else {}
