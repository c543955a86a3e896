"""Which runs were planned, which are there, and what came of each? Read from the folders of experiments.

Only the rows of evaluations are read. A run that cannot be read does not stop the rest: it is one of those missing.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rlbatch.analysis.declared import shared_analysis
from rlbatch.config import LABEL, SETTINGS, RunConfig
from rlbatch.errors import InputError, RlbatchError, nearest
from rlbatch.experiment import Experiment
from rlbatch.paths import PathFacts, facts_of, is_run_path, run_path
from rlbatch.plans import Plan
from rlbatch.references import read_references
from rlbatch.results import RunFolder, find_runs, lost_words
from rlbatch.rows import evaluation_points
from rlbatch.wallclock import Entry, read_costs

Floats = NDArray[np.float64]
Labels = Mapping[str, Any]

LABELS = tuple(name for name, setting in SETTINGS.items() if setting.role == LABEL)
"""Fields that say by which design, rule and preset a run was asked for."""

_PREFERRED = (
    "ok",
    "diverged",
    "out_of_memory",
    "env_error",
    "hung",
    "crashed",
    "running",
    "partial",
    "unreadable",
    "planned",
)
"""Where two folders hold the same run, the one whose status comes first counts."""


@dataclass(frozen=True)
class Run:
    """A planned run and what came of it.

    Attributes:
        folder: where it lies, or would lie.
        path: of the run below its experiment, as it follows from its settings.
        status: an outcome, or "planned", "partial", "running" or "unreadable".
        reason: one line for a reader where it did not end ok; may be empty.
        config: what was trained, or None where the run was never begun or cannot be read.
        labels: of every design that asked for it; none without a config.
        returns: (E, N) of the evaluations so far, the first one before training, N episodes each; E may be 0.
        experiments: those that ask for it.
        made: with which versions, on which device and at which commit, as its config.json has it; may lack any.
    """

    folder: Path
    path: str
    status: str
    reason: str = ""
    config: RunConfig | None = None
    labels: tuple[Labels, ...] = ()
    returns: Floats = field(default_factory=lambda: np.empty((0, 0)))
    experiments: frozenset[Path] = frozenset()
    made: Mapping[str, Any] = field(default_factory=dict)

    @functools.cached_property
    def means(self) -> Floats:
        """Mean return of each evaluation, (E,)."""
        return np.asarray(self.returns.mean(axis=1)) if len(self.returns) else np.empty(0)

    @functools.cached_property
    def facts(self) -> PathFacts:
        """What its path tells."""
        return facts_of(self.path)

    @property
    def arm(self) -> str:
        """The part of the path that runs share which differ in nothing but the seed."""
        return self.facts.arm

    @property
    def seed(self) -> int:
        """Seed of the run."""
        return self.facts.seed


class Collected(NamedTuple):
    """What the folders hold.

    Attributes:
        experiments: their folders.
        runs: every planned run once, in the order of their paths.
        outside: folders of runs that no plan asks for: listed, never averaged.
        analysis: how the runs will be compared, as their experiments declared it; see `declared.py`.
        costs: entries of every `cost.json`.
        references: entries of every `references.json`.
        plans: experiment -> what it asks for and declared.
        whole: whether no part of an environment's runs was named instead of all of them.
        notes: what a reader has to know of what was read: a line each.
    """

    experiments: tuple[Path, ...]
    runs: tuple[Run, ...]
    outside: tuple[Path, ...]
    analysis: Mapping[str, Any]
    costs: tuple[Entry, ...]
    references: tuple[Entry, ...]
    plans: Mapping[Path, Plan]
    whole: bool
    notes: tuple[str, ...]


def collect(folders: Sequence[Path]) -> Collected:
    """Reads the runs of one or several folders: of an experiment, of several, or of a part of one.

    A folder of runs without a plan is an experiment that asks for the runs that it holds. A run that two folders hold
    counts once, from the folder where it came further. Of a folder of experiments those are left out that confirm what
    another one chose: their seeds must have no part in a choice. Named itself, such a one is read.

    Raises:
        InputError: no folder is named, one is not there or holds no run, or a plan, costs or references cannot be read.
        RefusedError: one of them has another schema.
    """
    parts, plans, notes = _to_read(folders)
    runs: dict[str, Run] = {}
    outside: list[Path] = []
    for root, inside in parts.items():
        planned, others = _asked(root, plans[root], inside)
        outside += others
        for run in _read(Experiment(root), planned, plans[root].also):
            runs[run.path] = _merged(runs[run.path], run) if run.path in runs else run
    analysis, differing = shared_analysis(plans)
    return Collected(
        experiments=tuple(parts),
        runs=tuple(runs[path] for path in sorted(runs)),
        outside=tuple(sorted(outside)),
        analysis=analysis,
        costs=tuple(entry for root in parts for entry in read_costs(Experiment(root).cost_path)),
        references=tuple(entry for root in parts for entry in read_references(Experiment(root).references_path)),
        plans=plans,
        whole=not any("/" in part for inside in parts.values() for part in inside),
        notes=(*notes, *differing),
    )


def _to_read(folders: Sequence[Path]) -> tuple[dict[Path, set[str]], dict[Path, Plan], list[str]]:
    """Returns which parts of which experiments are meant, their plans, and a note on what is left out."""
    if not folders:
        raise InputError("folders", "none is named", "name that of an experiment")
    parts: dict[Path, set[str]] = {}
    named: set[Path] = set()
    for folder in folders:
        for root, part, itself in _experiments(folder):
            parts.setdefault(root, set()).add(part)
            named |= {root} if itself else set()
    plans = {root: Experiment(root).plan() for root in parts}
    left = [root for root, plan in plans.items() if plan.confirms and root not in named]
    if len(left) == len(parts):
        raise InputError(str(folders[0]), "holds only what confirms other experiments", f"name one: {left[0]}")
    notes = [f"{root.name} is left out: its seeds confirm what {plans[root].confirms} chose" for root in left]
    kept = [root for root in parts if root not in left]
    return {root: parts[root] for root in kept}, {root: plans[root] for root in kept}, notes


def _experiments(folder: Path) -> Iterator[tuple[Path, str, bool]]:
    """Yields the experiments that a folder is, holds or is a part of.

    Each comes with the part that is meant ("" for all), and whether it was named itself.
    """
    if not folder.is_dir():
        beside = [path.name for path in folder.parent.iterdir() if path.is_dir()] if folder.parent.is_dir() else []
        raise InputError(str(folder), "is not a folder", nearest(folder.name, beside))
    whole = folder.resolve()
    above = next((path for path in (whole, *whole.parents[:5]) if Experiment(path).plan_path.is_file()), None)
    if above is not None:
        yield above, "" if above == whole else str(whole.relative_to(above)), True
        return
    below = sorted(path.parent for path in whole.glob("*/experiment.yaml"))
    if not below and not find_runs(whole):
        raise InputError(str(folder), "holds no runs", "rlbatch list runs shows where there are some")
    yield from ((path, "", not below) for path in below or [whole])


def _asked(root: Path, plan: Plan, parts: set[str]) -> tuple[dict[str, str], list[Path]]:
    """Returns where -> run id ("" if any) of the planned runs in these parts, and the folders of all others there."""
    found = [str(run.path.relative_to(root)) for run in find_runs(root)]
    asked = plan.runs or dict.fromkeys(found, "")
    wrong = next((path for path in plan.runs if not is_run_path(path)), None)
    if wrong is not None:
        raise InputError(str(Experiment(root).plan_path), f"{wrong!r} is not the path of a run", "restore the file")
    planned = {path: run_id for path, run_id in asked.items() if _within(path, parts)}
    if not planned:
        raise InputError(str(root / min(parts)), "holds no planned run", "rlbatch status shows the plan")
    return planned, [root / path for path in found if path not in asked and _within(path, parts)]


def _within(path: str, parts: set[str]) -> bool:
    return any(not part or f"{path}/".startswith(f"{part}/") for part in parts)


def _read(experiment: Experiment, planned: Mapping[str, str], also: Mapping[str, Sequence[Labels]]) -> Iterator[Run]:
    """Yields each planned run of an experiment as it stands."""
    busy = experiment.locked()
    attempted = experiment.attempted()
    experiments = frozenset((experiment.path,))
    for path, run_id in planned.items():
        folder = RunFolder(experiment.path / path)
        if not folder.exists() and not folder.result_path.exists():
            status = ("running" if busy else "partial") if path in attempted else "planned"
            yield Run(folder.path, path, status, experiments=experiments)
            continue
        try:
            run = _read_run(folder, path, run_id, busy)
        except RlbatchError as error:
            if not is_run_path(path):
                raise
            run = Run(folder.path, path, "unreadable", str(error))
        more = also.get(run.config.run_id, ()) if run.config is not None else ()
        yield replace(run, labels=(*run.labels, *more), experiments=experiments)


def _read_run(folder: RunFolder, path: str, run_id: str, busy: bool) -> Run:
    """Returns a run that was begun; raises RlbatchError where its record does not hold together.

    Args:
        folder: of the run.
        path: where it lies below its experiment.
        run_id: that the plan has there; empty without a plan, and then the path follows from the settings.
        busy: whether a command trains in the experiment.
    """
    record, config = folder.checked()
    if run_id and config.run_id != run_id:
        raise InputError(str(folder.config_path), f"is of the run {config.run_id}, not of {run_id}, which is planned")
    result = folder.result()
    returns = _returns(folder, config, finished=result is not None and result["outcome"] == "ok")
    status = str(result["outcome"]) if result is not None else "running" if busy else "partial"
    labels = {name: getattr(config, name) for name in LABELS}
    reason = str(result["reason"]) if result is not None else ""
    made = record.get("provenance")
    return Run(
        folder.path,
        path if run_id else str(run_path(config)),
        status,
        reason,
        config,
        (labels,),
        returns,
        made={**(made if isinstance(made, dict) else {}), "device": record.get("device")},
    )


def _returns(folder: RunFolder, config: RunConfig, *, finished: bool) -> Floats:
    """Returns (E, N) of the evaluations of a run, checked against its settings; raises InputError."""
    where, points = str(folder.metrics_path), evaluation_points(config)
    rows = list(folder.rows("eval"))
    told = [row["timesteps"] for row in rows]
    if finished and told == points[: len(rows)] != points:
        raise InputError(where, lost_words(len(rows), len(points)))
    if told != points[: len(rows)]:
        raise InputError(where, f"its {len(rows)} evaluations are not those of its settings, which are {len(points)}")
    try:
        returns = np.array([row["returns"] for row in rows], dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(where, f"holds returns that are not numbers: {error}") from error
    if len(rows) and (returns.shape != (len(rows), config.n_eval_episodes) or not np.isfinite(returns).all()):
        raise InputError(where, f"does not hold {config.n_eval_episodes} finite returns for each evaluation")
    return returns.reshape(len(rows), config.n_eval_episodes)


def _merged(one: Run, other: Run) -> Run:
    """Returns the better of two records of the same run, with the labels of both."""
    first, second = sorted((one, other), key=lambda run: _PREFERRED.index(run.status))
    new = [labels for labels in second.labels if labels not in first.labels]
    return replace(first, labels=(*first.labels, *new), experiments=first.experiments | second.experiments)
