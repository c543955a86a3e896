"""rlbatch train: one run, or all combinations of several batch sizes and seeds."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rlbatch.cli import options, types
from rlbatch.cli.progress import progress
from rlbatch.errors import InputError
from rlbatch.results import GOOD_OUTCOMES
from rlbatch.values import Integer

if TYPE_CHECKING:
    from rlbatch.experiment import Experiment
    from rlbatch.grid import PlannedRun


@click.command(cls=options.GroupedCommand)
@options.environment_options(group="Experiment", required=True)
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
    type=types.word("updates", "samples"),
    metavar="updates|samples",
    group="Experiment",
    help="What is held fixed per env step while the batch varies.  [default: updates]",
)
@options.option(
    "--lr-rule",
    type=types.word("none", "sqrt", "linear", "adam-sde"),
    metavar="none|sqrt|linear|adam-sde",
    group="Experiment",
    help="How the learning rate follows the batch.  [default: none]",
)
@options.preset_option(group="Experiment")
@options.option(
    "--set",
    "settings",
    type=types.Parsed("field=value", types.read_setting, types.setting_names),
    multiple=True,
    group="Experiment",
    help="Any setting, the value as JSON: --set learning_rate=0.001 --set net_arch=[64,64].",
)
@options.option(
    "--engine",
    type=types.word("stacked", "sb3"),
    metavar="stacked|sb3",
    group="Resources",
    help="stacked: many runs as one program. sb3: Stable-Baselines3's own classes, one run at a time.  "
    "[default: stacked]",
)
@options.option(
    "--jobs",
    type=types.integer(Integer(1, 256)),
    group="Resources",
    help="Stacks that train at a time, each in a process of its own.  [default: one per core]",
)
@options.option(
    "--stack-width",
    type=types.integer(Integer(1, 256)),
    group="Resources",
    help="Runs that train as one program, at most.  [default: at most 32, fewer where cores would be idle]",
)
@options.option(
    "--env-workers",
    type=types.integer(Integer(0, 256)),
    default=0,
    group="Resources",
    help="Processes that step the environments of a stack; worth it for MuJoCo and Box2D.  [default: 0, none]",
)
@options.option(
    "--device",
    default="auto",
    show_default=True,
    type=types.word("auto", "cpu", "cuda"),
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
    from rlbatch.launch import Interrupted, execute
    from rlbatch.launch.execute import left_to_do

    modules, planned, experiment = _plan(given)
    talks = not given["quiet"] and not given["as_json"]
    if talks or (given["dry_run"] and given["as_json"]):
        with contextlib.suppress(BrokenPipeError):  # nobody reads on: training goes on
            narrate.announce(planned, experiment, given)
    if given["dry_run"]:
        return 0
    left = left_to_do(planned, experiment, given["retry_failed"])
    try:
        with progress([run.config for run in planned], quiet=not talks, left=left) as show:
            outcomes = execute(
                planned,
                experiment,
                show,
                device=given["device"],
                modules=modules,
                stack_width=given["stack_width"],
                jobs=given["jobs"],
                env_workers=given["env_workers"],
                retry_failed=given["retry_failed"],
                argv=["rlbatch", *click.get_current_context().obj],
            )
    except Interrupted as stop:
        return narrate.stopped(stop, experiment, given)
    with contextlib.suppress(BrokenPipeError):
        narrate.conclude(outcomes, experiment, given)
    return 0 if all(o.result["outcome"] in GOOD_OUTCOMES for o in outcomes) else 3


def _plan(given: Mapping[str, Any]) -> tuple[list[str], list[PlannedRun], Experiment]:
    """Returns the modules to import, the runs and their experiment, all checked; nothing has been written."""
    from rlbatch.cli.request import modules_of, request_of, told_by_option
    from rlbatch.environments import import_module
    from rlbatch.experiment import experiment_at
    from rlbatch.grid import expand
    from rlbatch.launch import check

    modules = modules_of(given)
    for module, where in modules.items():
        import_module(module, where)
    request = request_of(given)
    with told_by_option(request):
        planned = expand(request)
    _check_stacked(given, planned)
    first = planned[0].config
    default_name = f"{first.env_id}-{first.algo}".replace("/", "+").replace(":", "++")
    experiment = experiment_at(
        Path(given["out"]).expanduser(), default_name if given["name"] is None else given["name"]
    )
    with told_by_option(request):
        check(planned, experiment, given["device"], given["stack_width"], given["jobs"])
    return list(modules), planned, experiment


def _check_stacked(given: Mapping[str, Any], planned: Sequence[PlannedRun]) -> None:
    """Refuses what only a stack can use where there is none."""
    for option, asked in (("--stack-width", given["stack_width"]), ("--env-workers", given["env_workers"])):
        unstacked = next((run for run in planned if run.config.engine != "stacked"), None)
        if asked and unstacked is not None:
            why = unstacked.origins["engine"]
            raise InputError(option, f"is of no use with the engine sb3 ({why})", "leave it out")
