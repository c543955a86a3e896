"""rlbatch status: what an experiment folder holds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from rlbatch.cli import options, types
from rlbatch.cli.output import echo_json, echo_table, plural
from rlbatch.errors import InputError

_DONE = ("ok", "diverged")
_BEGUN = ("partial", "running")
_OPEN = ("planned", *_BEGUN)
_COLUMNS = (*_DONE, "failed", "partial", "running", "planned")


@click.command(cls=options.GroupedCommand)
@click.argument("folder", required=False, type=types.Parsed("folder", str, "dir"))
@options.output_options
def command(folder: str | None, as_json: bool) -> None:
    """Show what an experiment folder, or every experiment below a folder, holds: done, failed, partial, planned.

    FOLDER is RLBATCH_OUT or ./results if not given.
    """
    from rlbatch.experiment import Experiment

    root = options.results_folder(folder)
    found = [root] if (root / "experiment.yaml").is_file() else sorted(p.parent for p in root.glob("*/experiment.yaml"))
    if not found:
        raise InputError(str(root), "holds no experiment", "rlbatch train makes one")
    experiments = []
    for path in found:
        runs = Experiment(path).statuses()
        begun = [run for run, state in runs.items() if state in _BEGUN]
        experiments.append((path, runs, Experiment(path).planned(), Experiment(path).progress(begun)))
    if as_json:
        told = [
            {"folder": str(path), "runs": runs, "outside": sorted(set(runs) - set(plan)), "progress": progress}
            for path, runs, plan, progress in experiments
        ]
        echo_json("status", {"experiments": told})
        return
    for path, runs, plan, progress in experiments:
        asked = {run: state for run, state in runs.items() if run in plan}
        total = Counter(asked.values())
        states = "".join(f", {n} {state}{_share(asked, state, progress)}" for state, n in total.items())
        click.echo(f"{path}: {plural(len(asked), 'run')}{states}")
        echo_table(("arm", "runs", *_COLUMNS), _arms(asked), range(1, 2 + len(_COLUMNS)))
        outside = {run: state for run, state in runs.items() if run not in plan}
        if outside:
            click.echo(f"outside the plan: {plural(len(outside), 'run')}")
            echo_table(("arm", "runs", *_COLUMNS), _arms(outside), range(1, 2 + len(_COLUMNS)))


def _share(runs: Mapping[str, str], state: str, progress: Mapping[str, float]) -> str:
    """Returns how far the runs in a state are, where that is known."""
    known = [progress[run] for run, own in runs.items() if own == state and run in progress]
    return f" ({sum(known) / len(known):.0%} of their env steps)" if known else ""


def _arms(runs: dict[str, str]) -> list[tuple[Any, ...]]:
    """Returns one row per arm: its path and how many runs are in which state."""
    arms: dict[str, Counter[str]] = {}
    for path, state in runs.items():
        known = state if state in (*_DONE, *_OPEN) else "failed"
        arms.setdefault(str(Path(path).parent), Counter())[known] += 1
    return [(arm, sum(states.values()), *(states[c] or "-" for c in _COLUMNS)) for arm, states in arms.items()]
