"""What is there to compare? The runs of experiment folders with their scores, by environment and arm.

This is where tables, reports and recommendations start: `compare` reads and scores everything once. Statistics take the
vectors of its arms, one number for each counted run.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rlbatch.analysis import efficiency, scores, stability
from rlbatch.analysis.arms import Arm, Slice, Task, tasks_of
from rlbatch.analysis.collect import Collected, Run, collect
from rlbatch.analysis.efficiency import AXES, Clock
from rlbatch.analysis.front import Cells, Front, front_of
from rlbatch.analysis.metrics import ACROSS, METRICS
from rlbatch.analysis.power_law import PowerLaw, power_law_of
from rlbatch.analysis.scales import THRESHOLD, Scale, main_mark, marks_of, scale_of
from rlbatch.analysis.scores import Crossings, Curves
from rlbatch.analysis.survival import Curve, Reaching, kaplan_meier, reaching
from rlbatch.analysis.where import runs_where
from rlbatch.designs import replay_ratio
from rlbatch.errors import InputError, nearest
from rlbatch.rows import evaluation_points

Floats = NDArray[np.float64]

_RATIO = ("replay_ratio", "train_freq", "gradient_steps")
"""Axes that set the replay ratio."""


@dataclass(frozen=True)
class ScoredArm:
    """The counted runs of an arm and their scores.

    Attributes:
        curves: of the runs, over the whole budget.
        values: metric -> (R,) one number for each run, in the order of `curves.seeds`; NaN where a run cannot tell,
            infinite where it never reaches a mark. The names are those of `metrics.METRICS`.
        crossings: mark -> when each run reaches it, unfinished runs included.
        across: metric -> the arm's; the names are those of `metrics.ACROSS`.
        scale: of its environment.
    """

    curves: Curves
    values: Mapping[str, Floats]
    crossings: Mapping[str, Crossings]
    across: Mapping[str, float]
    scale: Scale

    @property
    def arm(self) -> Arm:
        """Whose scores these are."""
        return self.curves.arm

    def normalised(self, metric: str) -> Floats:
        """Returns (R,) a metric of the runs on the environment's scale; NaN where a score has none."""
        return METRICS[metric].normalised(self.values[metric], self.scale)

    def reaching(self, mark: str, spent: Floats, horizon: float) -> Reaching:
        """Returns whether and when the runs reach a mark within their budget, unfinished ones as censored.

        Args:
            mark: one of `crossings`.
            spent: (T,) of an axis at each evaluation.
            horizon: up to which the restricted mean is taken: the smallest budget of the arms with which it compares.
        """
        told = self.crossings[mark]
        within, whole = (reaching(spent[told.at], told.reached, end) for end in (horizon, float(spent[-1])))
        return whole._replace(restricted_mean=within.restricted_mean)

    def reached_by(self, mark: str, spent: Floats) -> Curve:
        """Returns the share of runs that has reached a mark at each evaluation, unfinished ones as censored.

        Args:
            mark: one of `crossings`.
            spent: (T,) of an axis at each evaluation.
        """
        told = self.crossings[mark]
        return kaplan_meier(spent[told.at], told.reached, at=spent)

    def on_scale(self, metric: str) -> Floats:
        """Returns (R,) a metric of the runs on the environment's scale, or as it is where there is no scale."""
        return self.values[metric] if self.scale.range is None else self.normalised(metric)

    def normalised_across(self, metric: str) -> float:
        """Returns a metric across the runs on the environment's scale; NaN where it has none."""
        return float(ACROSS[metric].normalised(np.array(self.across[metric]), self.scale))


@dataclass(frozen=True)
class ScoredTask:
    """An environment, its scale, and the scores of its arms.

    Attributes:
        task: the environment with all arms that were planned, also those of which no run counts.
        scale: of its scores.
        floor: return at which a diverged run stays.
        marks: name -> return of the marks to reach.
        clock: what its seconds mean, or None: no seconds axis.
        arms: path of an arm -> its scores, in the order of `task.arms`; without those of which no run counts.
        experiments: those that hold this environment.
    """

    task: Task
    scale: Scale
    floor: float
    marks: Mapping[str, float]
    clock: Clock | None
    arms: Mapping[str, ScoredArm]
    experiments: frozenset[Path]

    def cells(self, one: Slice) -> dict[tuple[int, float], ScoredArm]:
        """Returns (batch size, learning rate before the rule) -> arm, ascending, for those of which runs count."""
        return {cell: self.arms[arm.path] for cell, arm in sorted(one.cells.items()) if arm.path in self.arms}

    def power_laws(self, metric: str) -> tuple[tuple[Mapping[str, Any], PowerLaw], ...]:
        """Returns how the best batch size follows the replay ratio, for each part of the arms that has such an axis.

        Args:
            metric: of which higher is better.
        """
        groups: dict[str, tuple[dict[str, Any], dict[tuple[float, int, float], Floats]]] = {}
        for one in self.task.slices:
            ratios = {replay_ratio(arm.config) for arm in one.cells.values() if arm.config is not None}
            if len(ratios) == 1:
                fixed = {axis: value for axis, value in one.fixed.items() if axis not in _RATIO}
                _, cells = groups.setdefault(json.dumps(fixed, sort_keys=True), (fixed, {}))
                (ratio,) = ratios
                cells |= {(ratio, *cell): arm.values[metric] for cell, arm in self.cells(one).items()}
        return tuple(
            (fixed, power_law_of(cells))
            for fixed, cells in groups.values()
            if len({ratio for ratio, _, _ in cells}) > 1
        )

    def front(self, one: Slice, mark: str) -> Front:
        """Returns the updates and samples that the arms of a slice take to a mark, with the critical batch size.

        A mark is reached between two evaluations: half the way is taken, else small amounts would be overestimated.
        An arm of which no run was begun may belong to any slice, so its batch size is not finished in all of them.
        """
        cells: Cells = {
            cell: efficiency.amounts_to(arm.crossings[mark], efficiency.half_way(arm.curves.updates))
            for cell, arm in self.cells(one).items()
        }
        first = next(iter(one.cells.values()))
        evaluations = 0 if first.config is None else len(evaluation_points(first.config))
        unknown = [arm for arm in self.task.arms if arm.config is None]
        lacking = {arm.batch_size for arm in (*one.cells.values(), *unknown) if not arm.complete}
        return front_of(cells, evaluations=evaluations, rule=one.follows_rule, lacking=lacking)


@dataclass(frozen=True)
class Comparison:
    """Everything that the folders have to say.

    Attributes:
        collected: the runs as they were read.
        runs: those that are compared; --where leaves out others.
        tasks: one for each environment.
        asked: options that change which runs are compared, or how.
    """

    collected: Collected
    runs: tuple[Run, ...]
    tasks: tuple[ScoredTask, ...]
    asked: tuple[str, ...] = ()

    @property
    def missing(self) -> tuple[Run, ...]:
        """Planned runs that say nothing about the batch size, by environment and arm."""
        return tuple(run for scored in self.tasks for arm in scored.task.arms for run in arm.missing)

    @property
    def unfinished(self) -> tuple[Run, ...]:
        """Planned runs that may still finish."""
        return tuple(run for scored in self.tasks for arm in scored.task.arms for run in arm.unfinished)

    @property
    def complete(self) -> bool:
        """Whether every planned run counts: otherwise a mean is one of the runs there are, and has to say so."""
        return not self.missing and not self.unfinished


def compare(
    found: Collected | Sequence[Path],
    *,
    threshold: float | None = None,
    where: Mapping[str, Any] | None = None,
    group: str | None = None,
) -> Comparison:
    """Scores the runs of one or several folders.

    Args:
        found: the runs, or the folders of experiments or parts of them, from which they are read.
        threshold: return that is the mark "threshold" in every environment, instead of its own.
        where: setting or label -> value: only runs that have all of these, or may have them, are compared.
        group: setting that varies: only runs that agree in it are compared with each other. By default those are the
            runs that agree in everything but batch size and learning rate.

    Raises:
        InputError, RefusedError: like `collect`; or no run has these settings, or the group does not vary.
    """
    collected = found if isinstance(found, Collected) else collect(found)
    runs = runs_where(collected.runs, where) if where else tuple(collected.runs)
    tasks = tasks_of(runs, group)
    axes = list(dict.fromkeys(axis for task in tasks for axis in task.axes))
    if group is not None and (group not in axes or group == "batch_size"):
        others = [axis for axis in axes if axis != "batch_size"]
        why = "is what is compared" if group == "batch_size" else "does not vary"
        hint = nearest(group, others) or f"what varies: {', '.join(others) or 'nothing else'}"
        raise InputError("--group", f"{group} {why}", hint)
    given = {"--threshold": threshold is not None, "--where": bool(where), "--group": group is not None}
    asked = tuple(option for option, is_given in given.items() if is_given)
    return Comparison(collected, runs, tuple(_scored(task, collected, threshold) for task in tasks), asked)


def _scored(task: Task, collected: Collected, threshold: float | None) -> ScoredTask:
    """Returns an environment with the scores of its arms."""
    runs = [run for arm in task.arms for run in arm.runs]
    experiments = frozenset[Path]().union(*(run.experiments for run in runs))
    best = scores.ceiling_of(runs)
    scale = scale_of(task.env_id, task.env_kwargs, collected.references, best=best, experiments=len(experiments))
    floor = scores.floor_of(scale.low, (height for run in runs for height in run.means))
    found = [scores.curves_of(arm, floor) for arm in task.arms]
    many = [these for these in found if these is not None]
    marks = marks_of(task.env_id, scale) | ({} if threshold is None else {THRESHOLD: threshold})
    configs = [arm.config for arm in task.arms if arm.config is not None]
    clock = efficiency.clock_of(collected.costs, configs)
    arms = {these.arm.path: _scored_arm(these, scale, marks, clock) for these in many}
    return ScoredTask(task, scale, floor, marks, clock, arms, experiments)


def _scored_arm(these: Curves, scale: Scale, marks: Mapping[str, float], clock: Clock | None) -> ScoredArm:
    """Returns an arm with all of its scores."""
    values = scores.scores_of(these)
    crossings = scores.crossings_of(these, marks)
    counted = len(these.seeds)
    reached: dict[str, Floats] = {}
    for axis in AXES:
        spent = efficiency.amounts(these, axis, clock)
        if spent is not None:
            to = {mark: efficiency.amounts_to(told, spent)[:counted] for mark, told in crossings.items()}
            reached |= {f"{axis}_to_{mark}": values for mark, values in to.items()}
    mark = main_mark(marks)
    threshold = None if mark is None else marks[mark]
    steady = stability.stability_of(these.returns, scale.range, threshold, these.diverged, these.made)
    return ScoredArm(these, {**values, **reached, **steady}, crossings, _across(these, values, scale), scale)


def _across(these: Curves, values: Mapping[str, Floats], scale: Scale) -> dict[str, float]:
    """Returns the metrics of an arm across its runs; a run that diverged is not counted as collapsed besides."""
    share = np.nan
    if scale.low is not None and scale.range is not None:
        collapsed = stability.collapsed(these.returns, scale.low, scale.range) & ~these.diverged
        share = float(collapsed.mean())
    return {
        "iqr": stability.iqr(values["auc"]),
        "worst_quarter": stability.worst_quarter(values["auc"]),
        "collapsed": share,
        "diverged": float(these.diverged.mean()),
    }
