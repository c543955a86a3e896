"""Where does an environment's score scale begin and end, and which marks lie on it?

`low` is 0 and `high` is 1. For a listed environment both are listed. For others `low` is the return of random play in
`references.json`, and `high`, within one experiment only, the mean of the best three evaluations in a row of any run:
such a scale compares the arms of that experiment and nothing else, and says so. The best arm's mean would be no end of
a scale: it falls when one of its runs diverges, and all scores would rise.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import gymnasium
import numpy as np
from numpy.typing import NDArray

from rlbatch.env_ids import bare_id
from rlbatch.environments import listed
from rlbatch.references import entry_of, is_listed, low_of
from rlbatch.wallclock import Entry

Floats = NDArray[np.float64]

SHARES = (0.25, 0.5, 0.75, 0.9)
"""Parts of the range from low to high that are marks to reach."""
THRESHOLD = "threshold"
"""The mark that is the environment's own."""


_CLEAR = 5.0
"""Standard errors of a mean of as many episodes of random play by which the best has to lie above it, for a scale: the
best of all evaluations of an experiment that learned nothing hardly ever does."""


class Ceiling(NamedTuple):
    """The best of all runs of an environment.

    Attributes:
        mean: highest mean of three evaluations in a row.
        episodes: behind such a mean, at least.
    """

    mean: float
    episodes: int


class Scale(NamedTuple):
    """An environment's score scale, in units of return.

    Attributes:
        low: where it begins, or None where that is not known.
        high: where it ends, or None where that is not known.
        listed: whether both are listed, so that scores compare across experiments.
        note: what a reader has to know of it; may be empty.
    """

    low: float | None
    high: float | None
    listed: bool
    note: str

    @property
    def range(self) -> float | None:
        """Length of the scale in units of return, or None where there is no scale."""
        return None if self.low is None or self.high is None else self.high - self.low

    @property
    def words(self) -> str:
        """What 0 and 1 are."""
        if self.range is None:
            return "returns: there is no scale"
        return "0: low, 1: reference" if self.listed else "0: random play, 1: the best three evaluations in a row"

    def score(self, values: Floats) -> Floats:
        """Returns returns on the scale; NaN where there is none."""
        return values * np.nan if self.low is None or self.range is None else (values - self.low) / self.range

    def difference(self, values: Floats) -> Floats:
        """Returns differences of returns as parts of the range; NaN where there is no scale."""
        return values * np.nan if self.range is None else values / self.range


def scale_of(
    env_id: str, env_kwargs: Mapping[str, Any], measured: Sequence[Entry], *, best: Ceiling | None, experiments: int
) -> Scale:
    """Returns the score scale of an environment.

    Args:
        env_id: as the runs have it.
        env_kwargs: as the runs have them.
        measured: entries of `references.json`.
        best: see `scores.ceiling_of`; None where nothing was trained.
        experiments: how many of those that are compared hold this environment.
    """
    low = low_of(env_id, env_kwargs, measured)
    if is_listed(env_id, env_kwargs):
        high = listed()[bare_id(env_id)].reference
        return Scale(low, high, high is not None, "" if high is not None else "no reference score is listed")
    if low is None:
        return Scale(None, None, False, "not listed, and no references.json tells what random play brings: no scale")
    if experiments > 1:
        why = f"not listed, and in {experiments} experiments, each with a scale of its own"
        return Scale(low, None, False, f"{why}: no scale in common; name one folder")
    if best is None or best.mean <= low + _CLEAR * _noise(env_id, env_kwargs, measured, best.episodes):
        return Scale(low, None, False, "not listed, and no run is clearly better than random play: no scale")
    return Scale(
        low,
        best.mean,
        False,
        "not listed: 0 is random play and 1 the best three evaluations in a row of any run, in this experiment only",
    )


def _noise(env_id: str, env_kwargs: Mapping[str, Any], measured: Sequence[Entry], episodes: int) -> float:
    """Returns the standard error of the mean return of so many episodes of random play; 0 where it is not known."""
    entry = entry_of(env_id, env_kwargs, measured)
    if entry is None or entry["random_se"] is None:
        return 0.0
    return float(entry["random_se"]) * math.sqrt(entry["random_n"] / episodes)


def marks_of(env_id: str, scale: Scale) -> dict[str, float]:
    """Returns name -> return of the marks that runs may reach: parts of the range, and the environment's threshold."""
    marks: dict[str, float] = {}
    if scale.low is not None and scale.range is not None:
        marks = {_name(share): scale.low + share * scale.range for share in SHARES}
    threshold = threshold_of(env_id)
    return marks if threshold is None else marks | {THRESHOLD: threshold}


def main_mark(marks: Mapping[str, float]) -> str | None:
    """Returns the mark that matters: the environment's threshold, else three quarters of the range, else None."""
    return next((mark for mark in (THRESHOLD, _name(0.75)) if mark in marks), None)


def threshold_of(env_id: str) -> float | None:
    """Returns the return at which an environment counts as solved, or None; it is neither made nor imported."""
    bare = bare_id(env_id)
    spec = gymnasium.registry.get(bare)
    if spec is not None and spec.reward_threshold is not None:
        return float(spec.reward_threshold)
    return listed()[bare].threshold if bare in listed() else None


def _name(share: float) -> str:
    """Returns the name of the mark at a part of the range."""
    return f"{share:.0%}"
