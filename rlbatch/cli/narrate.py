"""What does a command that trains say? What it will do, how each run ended, how to go on."""

from __future__ import annotations

import json
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

import click

from rlbatch.cli.arm_labels import arm_labels, arm_text
from rlbatch.cli.forecast import as_json, forecast_lines, foresee
from rlbatch.cli.output import duration, echo_json, echo_table, number, plural
from rlbatch.config import SETTINGS, RunConfig, as_dict
from rlbatch.designs import replay_ratio
from rlbatch.env_ids import newer_version
from rlbatch.errors import printable
from rlbatch.experiment import Experiment
from rlbatch.grid import PlannedRun
from rlbatch.launch import Interrupted, Outcome
from rlbatch.launch.task import Task
from rlbatch.results import GOOD_OUTCOMES

_MOST_LINES = 20
"""Runs up to which each has a line of its own at the end; of more, each arm has one."""


def announce(task: Task, given: Mapping[str, Any]) -> None:
    """Prints what will be done: as JSON, or in words, with every setting and its origin if `verbose`."""
    planned, experiment = task.planned, task.experiment
    full = given["dry_run"] or task.file is not None
    forecast = foresee(task, given, with_speeds=full)
    if given["as_json"]:
        echo_json(task.command, {"dry_run": True, **as_json(task, forecast)})
        return
    configs = [run.config for run in planned]
    for kind in _kinds(configs):
        click.echo(_headline(kind))
        for line in _schedule_lines(kind):
            click.echo(f"  {line}")
    for line in forecast_lines(task, forecast, full=full):
        click.echo(f"  {line}")
    finished = sum(status not in ("planned", "partial") for status in forecast.statuses)
    begun = forecast.statuses.count("partial")
    before = [f"{finished} of {plural(len(configs), 'run')} already finished"] if finished else []
    before += [f"{plural(begun, 'run')} half done"] if begun else []
    click.echo(f"  into {experiment.path}{': ' if before else ''}{', '.join(before)}")
    envs = dict.fromkeys(config.env_id for config in configs)
    newer = {env_id: newer_version(env_id) for env_id in envs}
    notes = [
        f"{new} is a newer version of {'this environment' if len(envs) == 1 else old}"
        for old, new in newer.items()
        if new
    ]
    for note in dict.fromkeys([*notes, *(note for run in planned for note in run.notes)]):
        click.echo(f"  note: {note}")
    if given["verbose"]:
        _verbose(planned)


def _verbose(planned: Sequence[PlannedRun]) -> None:
    """Prints every setting of the first run of each environment, with its origin."""
    for first in {run.config.env_id: run for run in reversed(planned)}.values():
        click.echo(f"  preset: {first.preset_source}")
        settings_table(as_dict(first.config), first.origins)


def _kinds(configs: Sequence[RunConfig]) -> list[list[RunConfig]]:
    """Returns the runs in groups that one headline can describe."""
    kinds: dict[tuple[Any, ...], list[RunConfig]] = {}
    for config in configs:
        kinds.setdefault((config.env_id, config.total_timesteps, config.preset, config.engine), []).append(config)
    return list(kinds.values())


def _headline(configs: Sequence[RunConfig]) -> str:
    first = configs[0]
    batches = dict.fromkeys(str(config.batch_size) for config in configs)
    seeds = list(dict.fromkeys(config.seed for config in configs))
    which = f"seed {seeds[0]}" if len(seeds) == 1 else f"{len(seeds)} seeds"
    return (
        f"{first.env_id}: {first.algo.upper()}, batch {', '.join(batches)}, {which}, "
        f"{first.total_timesteps:,} env steps{' each' if len(configs) > 1 else ''}, "
        f"preset {first.preset}, engine {first.engine}"
    )


def _schedule_lines(configs: Sequence[RunConfig]) -> list[str]:
    """Returns a line for each batch size and schedule, with all learning rates it is trained at."""
    schedules: dict[tuple[Any, ...], list[RunConfig]] = {}
    for config in configs:
        schedules.setdefault((config.batch_size, replay_ratio(config)), []).append(config)
    return [schedule_line(*kind) for kind in schedules.values()]


def schedule_line(config: RunConfig, *more: RunConfig) -> str:
    """Returns how often a run updates, at which rate, and how often it replays each transition.

    Args:
        config: the run.
        more: runs with the same batch size and schedule, which may have other rates.
    """
    ratio = replay_ratio(config)
    often = "1 update per env step" if ratio == 1 else f"{number(ratio)} updates per env step"
    rates = list(dict.fromkeys(f"{run.learning_rate:.3g}" for run in (config, *more)))
    return (
        f"batch {config.batch_size}: {often}, learning rate{'s' if len(rates) > 1 else ''} {', '.join(rates)}; "
        f"each transition is replayed about {number(ratio * config.batch_size)} times"
    )


def settings_table(settings: dict[str, object], origins: dict[str, str]) -> None:
    """Prints every setting of a run with its unit and where its value came from."""
    rows = [(n, value, SETTINGS[n].unit, origins.get(n, "")) for n, value in settings.items() if value is not None]
    echo_table(("setting", "value", "unit", "from"), rows)


def conclude(outcomes: Sequence[Outcome], task: Task, given: Mapping[str, Any]) -> None:
    """Prints how the runs stand: as JSON, as folders alone if `quiet`, or in words."""
    if given["as_json"]:
        runs = [{"folder": str(o.folder.path), "new": o.new, "result": o.result} for o in outcomes]
        echo_json(task.command, {"dry_run": False, "folder": str(task.experiment.path), "runs": runs})
        return
    if given["quiet"]:
        click.echo("".join(f"{outcome.folder.path}\n" for outcome in outcomes), nl=False)
        return
    old = sum(not o.new for o in outcomes)
    if old:
        click.echo(f"{plural(old, 'run')} already finished, not trained again")
    for module in dict.fromkeys(name for o in outcomes for name in o.changed):
        click.echo(
            f"note: {module} has changed since finished runs were trained with it; a new --name trains them again"
        )
    if len(outcomes) > _MOST_LINES:
        _arms_table(outcomes)
    else:
        arms = {o.planned.config.arm_id: o.planned.config for o in outcomes}
        headings, labels = arm_labels(list(arms.values()))
        names = {arm_id: arm_text(headings, label) for arm_id, label in zip(arms, labels, strict=True)}
        for outcome in outcomes:
            click.echo(result_line(outcome, names[outcome.planned.config.arm_id]))
    bad = [o for o in outcomes if o.result["outcome"] not in GOOD_OUTCOMES]
    if bad:
        click.echo(
            f"{plural(len(bad), 'run')} failed: {bad[0].folder.error_path} tells why; --retry-failed trains again"
        )
    click.echo(f"look: rlbatch tensorboard {shlex.quote(str(task.experiment.path))}")


def _arms_table(outcomes: Sequence[Outcome]) -> None:
    """Prints one line per arm: how many of its runs ended how, and their mean scores."""
    arms: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        arms.setdefault(outcome.planned.config.arm_id, []).append(outcome)
    headings, labels = arm_labels([runs[0].planned.config for runs in arms.values()])
    rows = []
    for label, runs in zip(labels, arms.values(), strict=True):
        kinds = Counter(run.result["outcome"] for run in runs)
        finals = [run.result["final"] for run in runs]
        means = [_mean([final[key] for final in finals if final[key] is not None]) for key in ("return_mean", "auc")]
        ended = ", ".join(f"{count} {kind}" for kind, count in kinds.items())
        rows.append((*label, len(runs), ended, *map(number, means)))
    width = len(headings)
    echo_table((*headings, "runs", "ended", "return", "auc"), rows, (*range(width + 1), width + 2, width + 3))


def _mean(values: Sequence[float]) -> float | None:
    return fmean(values) if values else None


def result_line(outcome: Outcome, arm: str) -> str:
    """Returns one line that says how a run of the named arm ended."""
    result = outcome.result
    final = result["final"]
    parts = [f"{arm} seed {outcome.planned.config.seed}: {result['outcome']}"]
    if result["outcome"] != "ok":
        parts.append(printable(result["reason"]))
    parts.append(f"return {number(final['return_mean'])}")
    if final["auc"] is not None:
        parts.append(f"auc {number(final['auc'])}, best {number(final['best'])}")
    crossing = final["steps_to_threshold"]
    if crossing is not None:
        parts.append(
            "threshold not reached for good" if crossing == "never" else f"threshold at {number(crossing)} steps"
        )
    parts.append(duration(result["seconds"]))
    return ", ".join(parts) + f"\n  {outcome.folder.path}"


def stopped(stop: Interrupted, experiment: Experiment, given: Mapping[str, Any]) -> int:
    """Says how to go on after a Ctrl-C, as JSON or in words; returns the exit code."""
    what = f"stopped; finished runs are kept in {experiment.path}"
    hint = "The same command goes on where this one stopped; runs of the engine sb3 start from zero"
    told = {"schema": "rlbatch.error/1", "where": "", "what": what, "hint": hint, "exit_code": stop.exit_code}
    click.echo(json.dumps(told) if given["as_json"] else f"{what}. {hint}", err=True)
    return stop.exit_code
