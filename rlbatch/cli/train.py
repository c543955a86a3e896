"""rlbatch train: one run, or all combinations of several batch sizes and seeds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from rlbatch.cli import options, types
from rlbatch.values import Integer

if TYPE_CHECKING:
    from rlbatch.launch.task import Task


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
@options.resource_options
@options.out_option
@options.option("--name", group="Output", help="Name of the experiment's folder.  [default: <env>-<algo>]")
@options.telling_options
def command(**given: Any) -> int:
    """Train one run, or all combinations of several batch sizes and seeds.

    \b
    rlbatch train --env CartPole-v1 --batch 256
    rlbatch train --env Pendulum-v1 --batch 32,64,128,256 --seeds 5
    """  # noqa: D301 - click reads the \b
    from rlbatch.cli.carry_out import plan_and_carry_out  # loads gymnasium, which help does not need

    return plan_and_carry_out(_plan, given)


def _plan(given: Mapping[str, Any]) -> Task:
    """Returns what to train, all checked; nothing has been written."""
    from rlbatch.cli.carry_out import check_stacked
    from rlbatch.cli.request import modules_of, request_of, told_by_option
    from rlbatch.env_ids import import_module
    from rlbatch.launch import check
    from rlbatch.launch.task import task_of_request

    modules = modules_of(given)
    for module, where in modules.items():
        import_module(module, where)
    request = request_of(given)
    with told_by_option(request):
        task = task_of_request(request, list(modules), given["out"], given["name"])
        check_stacked(given, task.planned)
        check(
            task.planned,
            task.experiment,
            given["device"],
            given["stack_width"],
            given["jobs"],
            env_workers=given["env_workers"],
            cluster=given["cluster"],
        )
    return task
