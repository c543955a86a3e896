"""Which runs have the settings that --where asks for? A run that may have them is not left out.

A run that was never begun has no settings on record. Other runs of its arm tell them; without one its path does, which
names environment, algorithm, batch size, seed and the effective learning rate to two digits, and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from rlbatch.analysis.arms import rate_after_rule, rate_before_rule
from rlbatch.analysis.collect import Labels, Run
from rlbatch.config import LISTED_BY, SETTINGS, as_dict
from rlbatch.errors import InputError, nearest
from rlbatch.paths import facts_of

_RATE = "learning_rate"
_NAMED = 12
"""Values that an error message names."""


def runs_where(runs: Sequence[Run], where: Mapping[str, Any]) -> tuple[Run, ...]:
    """Returns the runs that have all of these settings, and those of which that is not known yet.

    Of the designs that asked for a run, those that have them are left. The learning rate may be the one before the
    rule, as tables show it, or the effective one.

    Args:
        runs: planned ones.
        where: setting or label -> value.

    Raises:
        InputError: there is no such setting, or no run has it.
    """
    for name in where:
        if name not in SETTINGS:
            raise InputError("--where", f"{name} is not a setting", nearest(name, SETTINGS) or _varying(runs))
    known: dict[str, Run] = {}
    for run in runs:
        if run.config is not None:
            known.setdefault(run.arm, run)
    rules = _unique(labels for run in known.values() for labels in run.labels)
    chosen = tuple(run for run in runs if _may_have(run, known.get(run.arm), where, rules))
    if not chosen:
        asked = ", ".join(f"{name}={value}" for name, value in where.items())
        raise InputError("--where", f"no run has {asked}", _there(runs, where))
    return tuple(replace(run, labels=_labels(run, where)) for run in chosen)


def _labels(run: Run, where: Mapping[str, Any]) -> tuple[Labels, ...]:
    """Returns the labels of a run with which it has these settings."""
    kept = (labels for labels, view in zip(run.labels, _views(run), strict=True) if _fits(view, where))
    return run.labels if run.config is None else tuple(kept)


def _fits(view: Mapping[str, Any], where: Mapping[str, Any]) -> bool:
    return all(_same(view, name, value) for name, value in where.items())


def _may_have(run: Run, sibling: Run | None, where: Mapping[str, Any], rules: Sequence[Labels]) -> bool:
    if run.config is None and sibling is None:
        return _fits_path(run, where, rules)
    told = sibling if run.config is None else run
    views = [] if told is None or told.config is None else _views(told)
    return any(_fits(view, where) for view in views) and ("seed" not in where or run.seed == where["seed"])


def _views(run: Run) -> list[dict[str, Any]]:
    """Returns the settings of a run once for each design that asked for it; both learning rates in a list."""
    if run.config is None:
        return []
    settings = as_dict(run.config)
    rate = run.config.learning_rate
    return [
        {**settings, **labels, _RATE: [rate, rate_before_rule(rate, labels, run.config.batch_size)]}
        for labels in run.labels
    ]


def _same(view: Mapping[str, Any], name: str, value: Any) -> bool:
    if name == "seed":
        return True
    if name == _RATE and isinstance(value, int | float):
        return value in view[_RATE] or float(f"{value:.10g}") in view[_RATE]
    return name in view and bool(view[name] == value)


def _fits_path(run: Run, where: Mapping[str, Any], rules: Sequence[Labels]) -> bool:
    """Tells whether the path of a run that was never begun contradicts none of these settings."""
    facts = facts_of(run.path)
    plain = {"env_id": facts.env_id, "algo": facts.algo, "batch_size": facts.batch_size, "seed": run.seed}
    if any(name in plain and plain[name] != value for name, value in where.items()):
        return False
    rate = where.get(_RATE)
    if not isinstance(rate, int | float) or not rules:
        return True
    effective = [float(rate), *(rate_after_rule(float(rate), labels, facts.batch_size) for labels in rules)]
    return any(float(f"{one:.1e}") == facts.learning_rate for one in effective)


def _unique(labels: Iterable[Labels]) -> list[Labels]:
    found: list[Labels] = []
    for one in labels:
        if one not in found:
            found.append(one)
    return found


def _there(runs: Sequence[Run], where: Mapping[str, Any]) -> str:
    """Returns which values the runs have of the first setting that none of them has as asked, numbers ascending."""
    views = [{**view, "seed": run.seed} for run in runs for view in _views(run)]
    name = next((name for name, value in where.items() if not any(_has(view, name, value) for view in views)), None)
    if name is None:
        return "no run has all of them" if views else "none was begun"
    values = _values(views, name)
    if values == [None]:
        return "it is not set"
    if all(isinstance(value, int | float) for value in values):
        values.sort()
    told = f"they have {', '.join(map(str, values[:_NAMED]))}{', ...' if len(values) > _NAMED else ''}"
    return told if values else "none was begun"


def _has(view: Mapping[str, Any], name: str, value: Any) -> bool:
    return bool(view[name] == value) if name == "seed" else _same(view, name, value)


def _varying(runs: Sequence[Run]) -> str:
    """Returns the settings in which the runs differ, the likely ones to ask for."""
    views = [view for run in runs for view in _views(run)]
    names = [name for name in SETTINGS if len(_values(views, name)) > 1]
    return f"what varies: {', '.join(names)}" if names else f"nothing varies; {LISTED_BY} lists all settings"


def _values(views: Sequence[Mapping[str, Any]], name: str) -> list[Any]:
    """Returns the values of a setting, each once; of the learning rate those before the rule and the effective ones."""
    found: list[Any] = []
    for view in views:
        told = view.get(name)
        for one in told if name == _RATE and isinstance(told, list) else [told]:
            if one not in found:
                found.append(one)
    return found
