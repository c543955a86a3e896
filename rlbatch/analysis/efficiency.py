"""How much does it take? Env steps, updates, samples and seconds as axes of curves and as amounts to a mark.

Where the budgets of arms differ on an axis, as samples do under match: updates, the axis is logarithmic and arms
compare by the amount to a mark, never by an area: the area under a longer curve is another quantity. A mean of amounts
counts a run that never reaches the mark as the smallest of the budgets, and so each that takes more than it: up to
there all of them were seen, and failing within a small budget is no way to look fast (restricted mean survival time
with a common horizon; Royston & Parmar 2013, BMC Med. Res. Methodol. 13:152).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rlbatch import wallclock
from rlbatch.analysis.arms import Arm
from rlbatch.analysis.scores import Crossings, Curves
from rlbatch.config import RunConfig
from rlbatch.errors import InputError
from rlbatch.results import RunFolder, read_json
from rlbatch.wallclock import Entry, Price

Floats = NDArray[np.float64]

AXES = {"steps": "env steps", "updates": "updates", "samples": "samples", "seconds": "seconds"}
"""Axis -> its unit. Seconds are those of a run alone on one machine, from `cost.json`; see `wallclock`."""

_ALIKE = 1.01
"""Largest budget over the smallest, on an axis, up to which curves compare by their area."""


class Budget(NamedTuple):
    """What arms may spend on an axis: the least and the most that one of them does."""

    least: float
    most: float

    @property
    def differs(self) -> bool:
        """Whether the axis is logarithmic for these arms, which then do not compare by area."""
        return self.most > _ALIKE * self.least


class Clock(NamedTuple):
    """What the seconds of a comparison mean: entries of `cost.json` of one machine and device."""

    entries: Sequence[Entry]
    machine: str


class Cost(NamedTuple):
    """What one batch size costs on one machine.

    Attributes:
        price: seconds of an env step and an update of a run alone, or None where that was not measured.
        process_mb: MiB of the process that trained it, the largest of its runs, or None. Its stack had other runs too.
        gpu_mb: most MiB allocated on the GPU, likewise, or None.
        stack_width: most runs that shared such a process, or None where that is not recorded.
    """

    price: Price | None
    process_mb: float | None
    gpu_mb: float | None
    stack_width: int | None


def clock_of(costs: Iterable[Entry], configs: Sequence[RunConfig]) -> Clock | None:
    """Returns the clock that knows most of these runs, or None where none knows any."""
    best, most = None, 0
    for entries in wallclock.by_machine(costs):
        known = sum(wallclock.price_of(entries, config) is not None for config in configs)
        if known > most:
            named = ", ".join(str(value) for value in entries[0]["machine"].values() if value is not None)
            best, most = Clock(entries, f"{named} ({entries[0]['device']})"), known
    return best


def amounts(these: Curves, axis: str, clock: Clock | None = None) -> Floats | None:
    """Returns (T,) how much of an axis was spent at each evaluation, or None where that is not known (seconds)."""
    if axis != "seconds":
        return {"steps": these.timesteps, "updates": these.updates, "samples": these.samples}[axis]
    price = price_of(these.arm, clock)
    return None if price is None else these.timesteps * price.t_env + these.updates * price.t_update


def budgets(many: Sequence[Curves], clock: Clock | None = None) -> dict[str, Budget]:
    """Returns axis -> what these arms may spend on it, without an axis that some of them do not have."""
    found: dict[str, Budget] = {}
    for axis in AXES:
        spent = [amounts(these, axis, clock) for these in many]
        ends = [float(one[-1]) for one in spent if one is not None]
        if ends and len(ends) == len(many):
            found[axis] = Budget(min(ends), max(ends))
    return found


def amounts_to(crossings: Crossings, spent: Floats) -> Floats:
    """Returns (R,) the amount at which each run reaches a mark; infinite if never, NaN if it may still.

    Args:
        crossings: of the mark.
        spent: (T,) of the axis, from `amounts`.
    """
    return np.where(crossings.reached, spent[crossings.at], np.where(crossings.never, np.inf, np.nan))


def half_way(spent: Floats) -> Floats:
    """Returns (T,) the middle between what was spent at each evaluation and at the one before it."""
    return np.concatenate((spent[:1], (spent[1:] + spent[:-1]) / 2))


def cost_of(arm: Arm, clock: Clock | None) -> Cost:
    """Returns what an arm's batch size costs; whatever was not measured is None."""
    told = [_memory(run.folder) for run in arm.counted]
    process, gpu, width = (max((one[i] for one in told if one[i] is not None), default=None) for i in range(3))
    return Cost(price_of(arm, clock), process, gpu, width)


def price_of(arm: Arm, clock: Clock | None) -> Price | None:
    """Returns what an env step and an update of an arm take, or None where that is not known."""
    return None if clock is None or arm.config is None else wallclock.price_of(clock.entries, arm.config)


def _memory(folder: Path) -> tuple[Any, Any, Any]:
    """Returns MiB of the process and of the GPU in the last train row of a run, and the width of its stack."""
    run = RunFolder(folder)
    try:
        row = run.last_train_row() or {}
    except InputError:  # the evaluations are whole, and they are what counts
        row = {}
    width = read_json(run.config_path).get("stack_width")
    return row.get("cost/process_memory_mb"), row.get("cost/gpu_memory_mb"), width
