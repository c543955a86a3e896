"""What is compared? Arms: runs that differ in nothing but the seed, by environment, and the settings that vary.

A finished run counts, and so does a diverged one. A run that is missing because something else failed is named, and so
is one that is not finished; an arm with either is not complete. Want of memory counts as divergence where the batch
size was its cause: a smaller batch fitted, and at the same batch size nothing did.
"""

from __future__ import annotations

import functools
import itertools
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from rlbatch.analysis.collect import LABELS, Labels, Run
from rlbatch.config import RunConfig, identity
from rlbatch.designs import rate_factor
from rlbatch.paths import facts_of

MISSING = ("out_of_memory", "env_error", "hung", "crashed", "unreadable")
"""Statuses of runs that say nothing about the batch size."""
UNFINISHED = ("planned", "partial", "running")
"""Statuses of runs that may still finish."""

_FIRST = ("batch_size", "learning_rate", "match", "lr_rule", "replay_ratio")
"""Settings that are looked at first; others that follow from them are no axes of their own."""
_TOGETHER = ("batch_size", "learning_rate")
"""Axes of the arms that are compared with each other."""
_NEVER = ("env_id", "env_kwargs", "seed")
FOLLOWING = {
    ("match", "samples"): ("train_freq", "gradient_steps", "replay_ratio"),
    ("lr_rule", "adam-sde"): ("adam_beta1", "adam_beta2", "adam_eps", "tau"),
}
"""Design or rule -> the settings that it makes follow the batch size."""
_MEMORY = ("algo", "net_arch", "buffer_size", "n_envs", "engine")
"""Settings besides the batch size that decide what memory a run needs."""


View = Mapping[str, Any]
"""The settings of an arm as one design asked for them."""


@dataclass(frozen=True)
class Arm:
    """Planned runs that differ in nothing but the seed.

    Attributes:
        path: of its runs, below their experiment; names the arm.
        env_id: gymnasium id, or module:Id.
        algo: dqn or sac.
        batch_size: transitions in each update's batch.
        learning_rate: effective; rounded to two digits where no run was begun.
        config: of one of its runs, seed aside that of all; None where none was begun.
        labels: of every design that asked for it.
        finished: runs that ended ok.
        diverged: runs that diverged, want of memory for the batch included.
        missing: runs that say nothing about the batch size: failed for another reason, or unreadable.
        unfinished: runs that may still finish.
    """

    path: str
    env_id: str
    algo: str
    batch_size: int
    learning_rate: float
    config: RunConfig | None
    labels: tuple[Labels, ...]
    finished: tuple[Run, ...]
    diverged: tuple[Run, ...]
    missing: tuple[Run, ...]
    unfinished: tuple[Run, ...]

    @property
    def counted(self) -> tuple[Run, ...]:
        """The runs that every score is about, by seed."""
        return tuple(sorted((*self.finished, *self.diverged), key=lambda run: run.seed))

    @property
    def runs(self) -> tuple[Run, ...]:
        """All that were planned."""
        return (*self.counted, *self.missing, *self.unfinished)

    @property
    def planned(self) -> int:
        """How many runs were planned."""
        return len(self.runs)

    @property
    def complete(self) -> bool:
        """Whether every planned run counts."""
        return not self.missing and not self.unfinished


class Slice(NamedTuple):
    """Arms of one environment that are compared: between them only batch size and learning rate differ.

    Attributes:
        fixed: axis -> value, for every other axis.
        cells: (batch size, learning rate before the rule) -> arm.
        confounds: settings that vary with batch size or learning rate, though neither design nor rule makes them: what
            differs between batch sizes may come from these.
    """

    fixed: Mapping[str, Any]
    cells: Mapping[tuple[int, float], Arm]
    confounds: tuple[str, ...] = ()

    @property
    def batch_sizes(self) -> tuple[int, ...]:
        """In ascending order."""
        return tuple(sorted({batch for batch, _ in self.cells}))

    @property
    def learning_rates(self) -> tuple[float, ...]:
        """Before the rule, in ascending order."""
        return tuple(sorted({rate for _, rate in self.cells}))

    @property
    def follows_rule(self) -> bool:
        """Whether the learning rates of some arms follow the batch size by a rule."""
        return any(self.fixed.get("lr_rule", one["lr_rule"]) != "none" for a in self.cells.values() for one in a.labels)


@dataclass(frozen=True)
class Task:
    """An environment with its arguments, and the arms that were to be trained in it, by batch size.

    Attributes:
        env_id: gymnasium id, or module:Id.
        env_kwargs: arguments of the environment.
        arms: all of them.
        axes: settings that vary and do not follow from those before them; `learning_rate` is the one before the rule.
        following: settings that vary because an axis does, such as `train_freq` under match: samples.
        group: the axis of `--group`: only arms that agree in it share a slice; None without the option.
    """

    env_id: str
    env_kwargs: Mapping[str, Any]
    arms: tuple[Arm, ...]
    axes: tuple[str, ...]
    following: tuple[str, ...]
    group: str | None = None

    @property
    def name(self) -> str:
        """The environment, with its arguments where it has some."""
        return self.env_id + (f" {json.dumps(self.env_kwargs, sort_keys=True)}" if self.env_kwargs else "")

    @functools.cached_property
    def slices(self) -> tuple[Slice, ...]:
        """Its arms, apart by the group and every axis but batch size and learning rate.

        An arm that two designs share is in both. Arms of which no run was begun are in none: their settings are not
        known.
        """
        first = [axis for axis in self.axes if axis == self.group]
        apart = first + [axis for axis in self.axes if axis not in (*first, *_TOGETHER)]
        found: dict[str, tuple[dict[str, Any], dict[tuple[int, float], Arm], list[View]]] = {}
        for arm in self.arms:
            for view in _views(arm):
                fixed = {axis: view[axis] for axis in apart}
                _, cells, views = found.setdefault(json.dumps(fixed), (fixed, {}, []))
                cells[view["batch_size"], view["learning_rate"]] = arm
                views.append(view)
        ordered = sorted(found.values(), key=lambda one: _in_order(one[0].values()))
        return tuple(Slice(fixed, cells, _confounds(views)) for fixed, cells, views in ordered)


def tasks_of(runs: Iterable[Run], group: str | None = None) -> tuple[Task, ...]:
    """Returns the environments of the planned runs, in the order of their ids, with their arms.

    Args:
        runs: the planned ones.
        group: see `Task`.
    """
    arms = _arms(runs)
    known = {arm.env_id: arm.config.env_kwargs for arm in reversed(arms) if arm.config is not None}
    groups: dict[tuple[str, str], list[Arm]] = {}
    for arm in arms:
        kwargs = known.get(arm.env_id, {}) if arm.config is None else arm.config.env_kwargs
        groups.setdefault((arm.env_id, json.dumps(kwargs, sort_keys=True)), []).append(arm)
    ordered = sorted(groups, key=lambda group: (group[0], len(group[1]), group[1]))
    return tuple(_task(env_id, json.loads(kwargs), groups[env_id, kwargs], group) for env_id, kwargs in ordered)


def rate_before_rule(learning_rate: float, labels: Labels, batch_size: int) -> float:
    """Returns the learning rate that was asked for, at `lr_reference_batch`, to ten digits."""
    return float(f"{learning_rate / _factor(labels, batch_size):.10g}")


def rate_after_rule(learning_rate: float, labels: Labels, batch_size: int) -> float:
    """Returns the effective learning rate of one that was asked for at `lr_reference_batch`."""
    return learning_rate * _factor(labels, batch_size)


def _factor(labels: Labels, batch_size: int) -> float:
    """Returns by what the rule of a design multiplies the learning rate at a batch size."""
    return rate_factor(str(labels["lr_rule"]), batch_size / labels["lr_reference_batch"])


def _task(env_id: str, env_kwargs: Mapping[str, Any], arms: Sequence[Arm], group: str | None) -> Task:
    axes, following = _axes([view for arm in arms for view in _views(arm)])
    ordered = sorted(arms, key=lambda arm: (arm.batch_size, arm.learning_rate, arm.path))
    return Task(env_id, env_kwargs, tuple(ordered), axes, following, group)


def _arms(runs: Iterable[Run]) -> list[Arm]:
    """Returns the arms of the planned runs, in the order of their paths."""
    ordered = sorted(runs, key=lambda run: (run.arm, run.seed))
    diverged = too_large((run.config, run.status) for run in ordered if run.config is not None)
    return [_arm(path, list(group), diverged) for path, group in itertools.groupby(ordered, lambda run: run.arm)]


def _arm(path: str, runs: Sequence[Run], lacking: set[str]) -> Arm:
    """Returns an arm; `lacking` are the ids of the runs that want of memory for the batch counts as diverged."""
    facts = facts_of(runs[0].path)
    config = next((run.config for run in runs if run.config is not None), None)
    labels: list[Labels] = []
    for run in runs:
        labels += [one for one in run.labels if one not in labels]
    lost = {run.path for run in runs if lacking and run.config is not None and run.config.run_id in lacking}
    diverged = [run for run in runs if run.status == "diverged" or run.path in lost]
    missing = [run for run in runs if run.status in MISSING and run.path not in lost]
    return Arm(
        path=path,
        env_id=facts.env_id if config is None else config.env_id,
        algo=facts.algo,
        batch_size=facts.batch_size,
        learning_rate=facts.learning_rate if config is None else config.learning_rate,
        config=config,
        labels=tuple(labels),
        finished=tuple(run for run in runs if run.status == "ok"),
        diverged=tuple(diverged),
        missing=tuple(missing),
        unfinished=tuple(run for run in runs if run.status in UNFINISHED),
    )


def too_large(runs: Iterable[tuple[RunConfig, str | None]]) -> set[str]:
    """Returns the ids of the runs that lacked memory because of their batch size.

    Args:
        runs: settings and outcome of each.
    """
    fitted: dict[tuple[Any, ...], set[int]] = {}
    lacked: list[tuple[tuple[Any, ...], RunConfig]] = []
    for config, outcome in runs:
        kind = (config.env_id, str(config.env_kwargs), *(getattr(config, name) for name in _MEMORY))
        if outcome in ("ok", "diverged"):
            fitted.setdefault(kind, set()).add(config.batch_size)
        elif outcome == "out_of_memory":
            lacked.append((kind, config))
    return {config.run_id for kind, config in lacked if fitted.get(kind) and max(fitted[kind]) < config.batch_size}


def _confounds(views: Sequence[View]) -> tuple[str, ...]:
    """Returns the settings that vary in a slice and are neither compared in it nor made by its design and rule."""
    made = {name for (label, value), names in FOLLOWING.items() if views[0][label] == value for name in names}
    if all(view["lr_rule"] == "none" for view in views):
        made.add("lr_reference_batch")  # which then says nothing
    names = (name for name in views[0] if name not in (*_TOGETHER, *made))
    return tuple(name for name in names if any(view.get(name) != views[0][name] for view in views))


def _views(arm: Arm) -> list[View]:
    """Returns an arm's settings once for each design that asked for it, the learning rate before the rule."""
    if arm.config is None:
        return []
    settings = {name: value for name, value in identity(arm.config).items() if name not in _NEVER}
    rates = [rate_before_rule(arm.learning_rate, labels, arm.batch_size) for labels in arm.labels]
    return [settings | dict(labels) | {"learning_rate": rate} for labels, rate in zip(arm.labels, rates, strict=True)]


def _in_order(values: Iterable[Any]) -> list[tuple[bool, float, str]]:
    """Returns what settings are sorted by: numbers as such, anything else by its text."""
    numbers = [isinstance(value, int | float) for value in values]
    pairs = zip(numbers, values, strict=True)
    return [(not is_number, float(value) if is_number else 0.0, json.dumps(value)) for is_number, value in pairs]


def _axes(views: Sequence[View]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Returns the settings that vary, those that do not follow from the ones before them, and those that do."""
    names = dict.fromkeys((*_FIRST, *(name for view in views for name in view), *LABELS))
    axes: list[str] = []
    following: list[str] = []
    for name in names:
        told: dict[str, set[str]] = {}
        for view in views:
            known = json.dumps([view.get(axis) for axis in axes])
            told.setdefault(known, set()).add(json.dumps(view.get(name)))
        if len(set().union(*told.values())) > 1:
            (axes if any(len(values) > 1 for values in told.values()) else following).append(name)
    return tuple(axes), tuple(following)
