"""What does `rlbatch train` say? What it will do, how each run ended, how to go on."""

from __future__ import annotations

import json
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import click

from rlbatch.cli.output import duration, echo_json, echo_table, number, plural, size
from rlbatch.config import SETTINGS, RunConfig, as_dict
from rlbatch.designs import replay_ratio
from rlbatch.environments import newer_version
from rlbatch.errors import printable
from rlbatch.experiment import Experiment
from rlbatch.grid import PlannedRun
from rlbatch.launch import Interrupted, Outcome
from rlbatch.launch.estimate import estimate
from rlbatch.launch.execute import left_to_do, stacks_here
from rlbatch.results import GOOD_OUTCOMES


def announce(planned: Sequence[PlannedRun], experiment: Experiment, given: Mapping[str, Any]) -> None:
    """Prints what will be done: as JSON, or in words, with every setting and its origin if `verbose`."""
    configs = [run.config for run in planned]
    cost = estimate(configs, stacks_here(configs, given["device"], given["stack_width"]))
    left = left_to_do(planned, experiment, given["retry_failed"])
    stacks = stacks_here([configs[index] for index in left], given["device"], given["stack_width"])
    if given["as_json"]:
        runs = [{"run_id": c.run_id, "status": experiment.run(c).status(), "config": as_dict(c)} for c in configs]
        told = {"folder": str(experiment.path), "cost": vars(cost), "stacks": [[left[i] for i in s] for s in stacks]}
        echo_json("train", {"dry_run": True, **told, "runs": runs})
        return
    click.echo(_headline(configs))
    for config in {config.batch_size: config for config in configs}.values():
        click.echo(f"  {schedule_line(config)}")
    click.echo(
        f"  {plural(cost.updates, 'update')}, {plural(cost.samples, 'sample')}, "
        f"{plural(cost.eval_episodes, 'evaluation episode')}; "
        f"replay memory {size(cost.replay_bytes)}, about {size(cost.disk_bytes)} on disk"
    )
    if given["dry_run"] and stacks:
        click.echo(f"  {stacks_line(stacks)}")
    finished = sum(experiment.run(config).result() is not None for config in configs)
    before = f": {finished} of {plural(len(configs), 'run')} already finished" if finished else ""
    click.echo(f"  into {experiment.path}{before}")
    newer = newer_version(configs[0].env_id)
    notes = [f"{newer} is a newer version of this environment"] if newer is not None else []
    for note in dict.fromkeys([*notes, *(note for run in planned for note in run.notes)]):
        click.echo(f"  note: {note}")
    if given["verbose"]:
        click.echo(f"  preset: {planned[0].preset_source}")
        settings_table(as_dict(configs[0]), planned[0].origins)


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


def schedule_line(config: RunConfig) -> str:
    """Returns how often a run updates, at which rate, and how often it replays each transition."""
    ratio = replay_ratio(config)
    often = "1 update per env step" if ratio == 1 else f"{number(ratio)} updates per env step"
    return (
        f"batch {config.batch_size}: {often}, learning rate {config.learning_rate:.3g}; "
        f"each transition is replayed about {number(ratio * config.batch_size)} times"
    )


def stacks_line(stacks: Sequence[Sequence[int]]) -> str:
    """Returns how many stacks there are and how wide they are."""
    widths = sorted(Counter(map(len, stacks)).items(), reverse=True)
    parts = [f"{plural(count, 'stack')} of {plural(width, 'run')}" for width, count in widths]
    return ", ".join(parts) + (", one after the other" if len(stacks) > 1 else "")


def settings_table(settings: dict[str, object], origins: dict[str, str]) -> None:
    """Prints every setting of a run with its unit and where its value came from."""
    rows = [(n, value, SETTINGS[n].unit, origins.get(n, "")) for n, value in settings.items() if value is not None]
    echo_table(("setting", "value", "unit", "from"), rows)


def conclude(outcomes: Sequence[Outcome], experiment: Experiment, given: Mapping[str, Any]) -> None:
    """Prints how the runs stand: as JSON, as folders alone if `quiet`, or in words."""
    if given["as_json"]:
        runs = [{"folder": str(o.folder.path), "new": o.new, "result": o.result} for o in outcomes]
        echo_json("train", {"dry_run": False, "folder": str(experiment.path), "runs": runs})
        return
    if given["quiet"]:
        click.echo("\n".join(str(outcome.folder.path) for outcome in outcomes))
        return
    old = sum(not o.new for o in outcomes)
    if old:
        click.echo(f"{plural(old, 'run')} already finished, not trained again")
    for module in dict.fromkeys(name for o in outcomes for name in o.changed):
        click.echo(
            f"note: {module} has changed since finished runs were trained with it; a new --name trains them again"
        )
    for outcome in outcomes:
        click.echo(result_line(outcome))
    bad = [o for o in outcomes if o.result["outcome"] not in GOOD_OUTCOMES]
    if bad:
        click.echo(
            f"{plural(len(bad), 'run')} failed: {bad[0].folder.error_path} tells why; --retry-failed trains again"
        )
    click.echo(f"look: rlbatch tensorboard {shlex.quote(str(experiment.path))}")


def result_line(outcome: Outcome) -> str:
    """Returns one line that says how a run ended."""
    config, result = outcome.planned.config, outcome.result
    final = result["final"]
    parts = [f"batch {config.batch_size} seed {config.seed}: {result['outcome']}"]
    if result["outcome"] != "ok":
        parts.append(printable(result["reason"]))
    parts.append(f"return {number(final['return_mean'])}")
    if final["auc"] is not None:
        parts.append(f"area {number(final['auc'])}, best {number(final['best'])}")
    crossing = final["steps_to_threshold"]
    if crossing is not None:
        parts.append("threshold never reached" if crossing == "never" else f"threshold at {number(crossing)} steps")
    parts.append(duration(result["seconds"]))
    return ", ".join(parts) + f"\n  {outcome.folder.path}"


def stopped(stop: Interrupted, experiment: Experiment, given: Mapping[str, Any]) -> int:
    """Says how to go on after a Ctrl-C, as JSON or in words; returns the exit code."""
    what = f"stopped; finished runs are kept in {experiment.path}"
    hint = "The same command goes on where this one stopped; runs of the engine sb3 start from zero"
    told = {"schema": "rlbatch.error/1", "where": "", "what": what, "hint": hint, "exit_code": stop.exit_code}
    click.echo(json.dumps(told) if given["as_json"] else f"{what}. {hint}", err=True)
    return stop.exit_code
