"""Which numbers describe a run or an arm, in which unit, and which way is better? One table of all of them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rlbatch.analysis.efficiency import AXES
from rlbatch.analysis.scales import SHARES, THRESHOLD, Scale
from rlbatch.errors import InputError, nearest

Floats = NDArray[np.float64]


class Metric(NamedTuple):
    """What is to be known of a metric.

    Attributes:
        unit: of its values.
        higher_is_better: the direction.
        about: one line for a reader.
        kind: "score" (a return: on the scale from low to high), "difference" (of returns: a part of the range),
            "amount" (of an axis; infinite where a mark is never reached) or "share".
        optimistic: whether it is a maximum of noisy numbers.
    """

    unit: str
    higher_is_better: bool
    about: str
    kind: str
    optimistic: bool = False

    def normalised(self, values: Floats, scale: Scale) -> Floats:
        """Returns values on the environment's scale, where the metric is a return or a difference of returns."""
        if self.kind == "score":
            return scale.score(values)
        return scale.difference(values) if self.kind == "difference" else values


def _amounts() -> dict[str, Metric]:
    marks = [*((f"{share:.0%}", f"{share:.0%} of the range") for share in SHARES), (THRESHOLD, "the threshold")]
    return {
        f"{axis}_to_{mark}": Metric(unit, False, f"{unit} until the curve reaches {words}", "amount")
        for mark, words in marks
        for axis, unit in AXES.items()
    }


METRICS: dict[str, Metric] = {
    "auc": Metric("return", True, "area under the evaluation curve over the budget: its mean height", "score"),
    "final": Metric("return", True, "mean of the last three evaluations", "score"),
    "return_mean": Metric("return", True, "last evaluation", "score"),
    "best": Metric("return", True, "highest evaluation", "score", optimistic=True),
    **_amounts(),
    "drawdown_max": Metric("return", False, "deepest fall from an evaluation to a later one", "difference"),
    "drawdown_tail": Metric("return", False, "distance below the best so far, worst quarter", "difference"),
    "fall_tail": Metric("return", False, "fall within a twentieth of the budget, worst quarter", "difference"),
    "dispersion": Metric(
        "return", False, "deviation of the differences of evaluations, noise subtracted", "difference"
    ),
    "below_best": Metric("share", False, "evaluations below the best so far by a tenth of the range", "share"),
    "retention": Metric("share", True, "evaluations that still reach a mark after it was reached", "share"),
}
"""Metric of a run -> what is to be known of it, in the order in which they are shown; the first is the primary one."""

ACROSS: dict[str, Metric] = {
    "iqr": Metric("return", False, "distance of the quartiles of the runs' areas", "difference"),
    "worst_quarter": Metric("return", True, "mean area of the worst quarter of the runs", "score"),
    "collapsed": Metric("share", False, "runs that ended at less than half of what they had learned", "share"),
    "diverged": Metric("share", False, "runs that diverged", "share"),
}
"""Metric of an arm across its runs -> the same."""


def score_for(declared: str, asked: str | None) -> tuple[str, str]:
    """Returns the score to compare by, and a note where another metric was declared.

    What learns nothing is steady, so stability is compared only between batch sizes that score alike (`steadiness.py`);
    and not every run reaches a mark.

    Args:
        declared: the metric that was declared.
        asked: another one; None for the declared one or, where that is no score, the area.

    Raises:
        InputError: what was asked for is no metric, or no score of a run.
    """
    known = [name for name, one in METRICS.items() if one.kind == "score"]
    chosen = asked or (declared if declared in known else "auc")
    if chosen not in known:
        raise InputError("--metric", f"{chosen} is no score of a run", nearest(chosen, known) or ", ".join(known))
    replaced = not asked and chosen != declared
    return chosen, f"{declared} was declared, which is no score of a run: this is {chosen}" if replaced else ""
