"""rlbatch train: one run, or all combinations of several batch sizes and seeds."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from rlbatch.cli import options, types
from rlbatch.cli.output import echo_json
from rlbatch.cli.progress import progress
from rlbatch.config import as_dict, check_name
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
    """  # noqa: D301 - click reads the \b
    from rlbatch.cli import narrate  # this and what follows loads gymnasium, which help does not need
    from rlbatch.environments import import_module
    from rlbatch.experiment import experiment_at
    from rlbatch.grid import expand
    from rlbatch.launch import Interrupted, check, execute
    from rlbatch.launch.estimate import estimate
    from rlbatch.launch.execute import check_device, check_memory

    modules = _modules(given)
    for module, where in modules.items():
        import_module(module, where)
    planned = expand(_request(given))
    configs = [run.config for run in planned]
    default_name = f"{configs[0].env_id}-{configs[0].algo}".replace("/", "+").replace(":", "++")
    experiment = experiment_at(Path(given["out"]), given["name"] if given["name"] is not None else default_name)
    experiment.check_usable()
    check_device(given["device"])
    check_memory(planned)
    check(planned, experiment, given["device"])
    cost = estimate(configs)
    talks = not given["quiet"] and not given["as_json"]
    if talks:
        narrate.announce(planned, cost, experiment.path, verbose=given["verbose"])
    if given["dry_run"]:
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
                modules=list(modules),
                retry_failed=given["retry_failed"],
                argv=["rlbatch", *sys.argv[1:]],
            )
    except Interrupted as stop:
        click.echo(narrate.stopped(experiment.path), err=True)
        return stop.exit_code
    _conclude(outcomes, experiment.path, given)
    return 0 if all(o.result["outcome"] in ("ok", "diverged") for o in outcomes) else 3


def _modules(given: Mapping[str, Any]) -> dict[str, str]:
    """Returns the modules that the command line names, each with the option: --import, or --env with module:Id."""
    module = given["env_id"].rpartition(":")[0] if given["env_id"].count(":") == 1 else ""
    return dict.fromkeys(given["modules"], "--import") | ({module: "--env"} if module else {})


def _request(given: Mapping[str, Any]) -> Any:
    """Turns the options into a request; refuses a field that is given twice."""
    from rlbatch.grid import Request

    if given["seed"] is not None and given["seeds"] is not None:
        raise InputError("--seed", "and --seeds are both given", "--seed 7 is one run, --seeds 7 are seven")
    settings = {field: given[field] for field in _CONFIG_OPTIONS if given[field] is not None}
    origins = {field: _CONFIG_OPTIONS[field] for field in settings}
    batch_sizes = given["batch_sizes"] or ()
    seeds = given["seeds"] or ((given["seed"],) if given["seed"] is not None else ())
    taken = {"batch_size": "--batch"} if batch_sizes else {}
    taken |= {"seed": "--seed" if given["seed"] is not None else "--seeds"} if seeds else {}
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
    return Request(given["env_id"], given["algo"], batch_sizes, seeds, settings, origins | taken)


def _conclude(outcomes: Sequence[Any], folder: Path, given: Mapping[str, Any]) -> None:
    """Prints how the runs stand."""
    from rlbatch.cli import narrate

    if given["as_json"]:
        runs = [{"folder": str(o.folder.path), "new": o.new, "result": o.result} for o in outcomes]
        echo_json("train", {"dry_run": False, "folder": str(folder), "runs": runs})
    elif given["quiet"]:
        for outcome in outcomes:
            click.echo(str(outcome.folder.path))
    else:
        narrate.conclude(outcomes, folder)
