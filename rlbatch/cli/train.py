"""rlbatch train: one run, or all combinations of several batch sizes and seeds."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from rlbatch.cli import options, types
from rlbatch.cli.output import duration, echo_json, echo_table, number, plural, size
from rlbatch.cli.progress import progress
from rlbatch.config import SETTINGS, as_dict, check_name
from rlbatch.errors import InputError
from rlbatch.values import Integer

_CONFIG_OPTIONS = {
    "total_timesteps": "--steps",
    "match": "--match",
    "lr_rule": "--lr-rule",
    "preset": "--preset",
    "engine": "--engine",
    "env_kwargs": "--env-kwargs",
}
"""Field of `RunConfig` -> the option that sets it; every other field is set by --set."""


@click.command(cls=options.GroupedCommand)
@options.option(
    "--env",
    "env_id",
    type=types.EnvironmentId(),
    required=True,
    group="Environment",
    help="Gymnasium id, or module:Id for your own (the module is imported).",
)
@options.option(
    "--env-kwargs",
    type=types.Parsed("json", types.read_object),
    group="Environment",
    help="Arguments of gymnasium.make, as a JSON object.",
)
@options.import_option
@options.option(
    "--algo",
    default="auto",
    show_default=True,
    metavar="auto|dqn|sac",
    group="Experiment",
    help="auto: dqn for Discrete actions, sac for Box actions.",
)
@options.option(
    "--batch",
    "batch_sizes",
    type=types.Parsed("sizes", types.read_batches),
    group="Experiment",
    help="Transitions per update: 256, or several: 32,64,128 or 2^5..2^10.  [default: the preset's]",
)
@options.option(
    "--seeds",
    type=types.Parsed("seeds", types.read_seeds),
    group="Experiment",
    help="How many (5 means 0..4), a range 0..4, or a list 1,5,9.",
)
@options.option(
    "--seed", type=types.Parsed("seed", types.read_seed), group="Experiment", help="One seed.  [default: 0]"
)
@options.option(
    "--steps",
    "total_timesteps",
    type=types.integer(Integer(1, 10**12)),
    group="Experiment",
    help="Env steps of each run.  [default: the preset's]",
)
@options.option(
    "--match",
    metavar="updates|samples",
    group="Experiment",
    help="What is held fixed per env step while the batch varies.  [default: updates]",
)
@options.option(
    "--lr-rule",
    metavar="none|sqrt|linear|adam-sde",
    group="Experiment",
    help="How the learning rate follows the batch.  [default: none]",
)
@options.option(
    "--preset",
    metavar="neutral|zoo",
    group="Experiment",
    help="Where unnamed hyperparameters come from.  [default: neutral]",
)
@options.option(
    "--set",
    "settings",
    type=types.Parsed("field=value", types.read_setting),
    multiple=True,
    group="Experiment",
    help="Any setting, the value as JSON: --set learning_rate=0.001 --set net_arch=[64,64].",
)
@options.option(
    "--engine",
    metavar="sb3",
    group="Resources",
    help="Who trains: sb3, Stable-Baselines3's own classes.  [default: sb3]",
)
@options.option(
    "--device",
    default="auto",
    show_default=True,
    metavar="auto|cpu|cuda[:n]",
    group="Resources",
    help="auto: a GPU for image observations, else the CPU.",
)
@options.option(
    "--retry-failed",
    is_flag=True,
    group="Resources",
    help="Train failed runs again; a diverged run is a result and stays.",
)
@options.out_option
@options.option("--name", group="Output", help="Name of the experiment's folder.  [default: <env>-<algo>]")
@options.option(
    "--dry-run", is_flag=True, group="Output", help="Print what would run and what it costs; write nothing."
)
@options.output_options
@options.option("-q", "--quiet", is_flag=True, group="Output", help="Print nothing but the run folders.")
@options.option("-v", "--verbose", is_flag=True, group="Output", help="Print every setting and where it came from.")
def command(**given: Any) -> int:
    """Train one run, or all combinations of several batch sizes and seeds.

    \b
    rlbatch train --env CartPole-v1 --batch 256
    rlbatch train --env Pendulum-v1 --batch 32,64,128,256 --seeds 5
    """
    from rlbatch.environments import import_module
    from rlbatch.experiment import experiment_at
    from rlbatch.grid import expand
    from rlbatch.launch import Interrupted, execute
    from rlbatch.launch.estimate import estimate

    modules = _modules(given)
    for module in modules:
        import_module(module)
    planned = expand(_request(given))
    configs = [run.config for run in planned]
    default_name = f"{configs[0].env_id}-{configs[0].algo}".replace("/", "+").replace(":", "++")
    experiment = experiment_at(Path(given["out"]), given["name"] if given["name"] is not None else default_name)
    cost = estimate(configs)
    talks = not given["quiet"] and not given["as_json"]
    if talks:
        _announce(planned, cost, experiment.path, given["verbose"])
    if given["dry_run"]:
        experiment.check_usable()
        if given["as_json"]:
            runs = [{"run_id": c.run_id, "status": experiment.run(c).status(), "config": as_dict(c)} for c in configs]
            echo_json("train", {"dry_run": True, "folder": str(experiment.path), "cost": vars(cost), "runs": runs})
        return 0
    try:
        with progress(configs, quiet=not talks) as show:
            outcomes = execute(
                planned,
                experiment,
                show,
                device=given["device"],
                modules=modules,
                retry_failed=given["retry_failed"],
                argv=["rlbatch", *sys.argv[1:]],
            )
    except Interrupted as stop:
        click.echo(_stopped(experiment.path), err=True)
        return stop.exit_code
    _conclude(outcomes, experiment.path, given)
    return 0 if all(o.result["outcome"] in ("ok", "diverged") for o in outcomes) else 3


def _modules(given: Mapping[str, Any]) -> list[str]:
    """Returns the modules that the command line names: by --import and by module:Id."""
    module = given["env_id"].rpartition(":")[0] if given["env_id"].count(":") == 1 else ""
    return [*given["modules"], *([module] if module else [])]


def _request(given: Mapping[str, Any]) -> Any:
    """Turns the options into a request; refuses a field that is given twice."""
    from rlbatch.grid import Request

    if given["seed"] is not None and given["seeds"] is not None:
        raise InputError("--seed", "and --seeds are both given", "--seed 7 is one run, --seeds 7 are seven")
    settings = {field: given[field] for field in _CONFIG_OPTIONS if given[field] is not None}
    origins = {field: _CONFIG_OPTIONS[field] for field in settings}
    batch_sizes = given["batch_sizes"] or ()
    seeds = given["seeds"] or ((given["seed"],) if given["seed"] is not None else ())
    taken = {"batch_size": "--batch" if batch_sizes else "", "seed": "--seed or --seeds" if seeds else ""}
    for field, value in given["settings"]:
        check_name(field)
        if field in ("env_id", "algo"):
            raise InputError("--set", f"{field} has an option of its own", f"use --{field.removesuffix('_id')}")
        before = (
            "--set" if field in settings and field not in _CONFIG_OPTIONS else origins.get(field) or taken.get(field)
        )
        if before:
            raise InputError("--set", f"{field} is given twice", f"by {before} and by --set")
        if field == "batch_size":
            batch_sizes = (value,)
            taken[field] = "--set"
        elif field == "seed":
            seeds = (value,)
            taken[field] = "--set"
        else:
            settings[field] = value
            origins[field] = "--set"
    return Request(given["env_id"], given["algo"], batch_sizes, seeds or (0,), settings, origins)


def _announce(planned: Sequence[Any], cost: Any, folder: Path, verbose: bool) -> None:
    """Prints what will be done."""
    from rlbatch.designs import replay_ratio
    from rlbatch.environments import newer_version

    first = planned[0].config
    batches = list(dict.fromkeys(run.config.batch_size for run in planned))
    seeds = list(dict.fromkeys(run.config.seed for run in planned))
    shown = f"batch {', '.join(map(str, batches))}"
    which = f"seed {seeds[0]}" if len(seeds) == 1 else f"{len(seeds)} seeds"
    click.echo(
        f"{first.env_id}: {first.algo.upper()}, {shown}, {which}, {first.total_timesteps:,} env steps"
        f"{' each' if len(planned) > 1 else ''}, preset {first.preset}, engine {first.engine}"
    )
    for config in {run.config.batch_size: run.config for run in planned}.values():
        ratio = replay_ratio(config)
        click.echo(
            f"  batch {config.batch_size}: {number(ratio)} updates per env step, learning rate {config.learning_rate:.3g}; "
            f"each transition is replayed about {number(ratio * config.batch_size)} times"
        )
    click.echo(
        f"  {plural(cost.updates, 'update')}, {plural(cost.samples, 'sample')}, {plural(cost.eval_episodes, 'evaluation episode')}; "
        f"replay {size(cost.replay_bytes)} of memory, about {size(cost.disk_bytes)} on disk"
    )
    click.echo(f"  into {folder}")
    newer = newer_version(first.env_id)
    if newer is not None:
        click.echo(f"  note: {newer} is a newer version of this environment")
    for note in dict.fromkeys(note for run in planned for note in run.notes):
        click.echo(f"  note: {note}")
    if verbose:
        click.echo(f"  preset: {planned[0].preset_source}")
        rows = [
            (name, value, SETTINGS[name].unit, planned[0].origins.get(name, ""))
            for name, value in as_dict(first).items()
            if value is not None
        ]
        echo_table(("setting", "value", "unit", "from"), rows)


def _conclude(outcomes: Sequence[Any], folder: Path, given: Mapping[str, Any]) -> None:
    """Prints how the runs stand."""
    if given["as_json"]:
        runs = [{"folder": str(o.folder.path), "new": o.new, "result": o.result} for o in outcomes]
        echo_json("train", {"dry_run": False, "folder": str(folder), "runs": runs})
        return
    if given["quiet"]:
        for outcome in outcomes:
            click.echo(str(outcome.folder.path))
        return
    old = sum(not o.new for o in outcomes)
    if old:
        click.echo(f"{plural(old, 'run')} already finished, not trained again")
    for outcome in outcomes:
        click.echo(result_line(outcome))
    bad = [o for o in outcomes if o.result["outcome"] not in ("ok", "diverged")]
    if bad:
        click.echo(f"{plural(len(bad), 'run')} failed; see {bad[0].folder.error_path}; --retry-failed trains again")
    click.echo(f"look: rlbatch tensorboard {folder}")


def result_line(outcome: Any) -> str:
    """Returns one line that says how a run ended."""
    config, result = outcome.planned.config, outcome.result
    final = result["final"]
    parts = [f"batch {config.batch_size} seed {config.seed}: {result['outcome']}"]
    if result["outcome"] != "ok":
        parts.append(result["reason"])
    parts.append(f"return {number(final['return_mean'])}")
    if final["auc"] is not None:
        parts.append(f"area {number(final['auc'])}, best {number(final['best'])}")
    crossing = final["steps_to_threshold"]
    if crossing is not None:
        parts.append("threshold never reached" if crossing == "never" else f"threshold at {number(crossing)} steps")
    parts.append(duration(result["seconds"]))
    return ", ".join(parts) + f"\n  {outcome.folder.path}"


def _stopped(folder: Path) -> str:
    return (
        f"stopped; finished runs are kept in {folder}. The same command goes on: "
        "the interrupted run starts from zero (the sb3 engine cannot continue a run)"
    )
