"""rlbatch run: the runs of an experiment file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from rlbatch.cli import experiments, options, types
from rlbatch.values import Integer

if TYPE_CHECKING:
    from rlbatch.launch.task import Task


@click.command(cls=options.GroupedCommand)
@click.argument("file", type=types.Parsed("file", types.read_path, experiments.known))
@options.import_option
@options.option(
    "--only",
    type=types.Parsed("field=value", types.read_setting, types.setting_names),
    multiple=True,
    group="Experiment",
    help="Only the runs whose setting has this value, or one of a list: --only batch_size=[32,64] --only seed=0..4.",
)
@options.option(
    "--limit",
    type=types.integer(Integer(1, 10_000)),
    group="Experiment",
    help="Of the runs that are left to do, only the first N.",
)
@options.resource_options
@options.out_option
@options.option("--name", group="Output", help="Name of the experiment's folder.  [default: the file's name:]")
@options.telling_options
def command(**given: Any) -> int:
    """Train what is missing of an experiment file.

    FILE is a path, or the name of a file in ./experiments or of one that came with rlbatch. The file becomes the plan
    of its folder.

    \b
    rlbatch run experiments/quickstart.yaml --dry-run
    rlbatch run quickstart
    """  # noqa: D301 - click reads the \b
    from rlbatch.cli.carry_out import plan_and_carry_out  # loads gymnasium, which help does not need

    return plan_and_carry_out(_plan, given)


def _plan(given: Mapping[str, Any]) -> Task:
    """Returns what to train, all checked; nothing has been written."""
    from rlbatch.cli.carry_out import check_stacked
    from rlbatch.cli.selection import first_left, only
    from rlbatch.errors import InputError
    from rlbatch.experiment_file import relocate
    from rlbatch.launch import check

    task = experiments.task_of("run", given)
    planned = only(task.planned, given["only"])
    check_stacked(given, planned)
    try:
        check(
            planned,
            task.experiment,
            given["device"],
            given["stack_width"],
            given["jobs"],
            env_workers=given["env_workers"],
            cluster=given["cluster"],
        )
    except InputError as error:
        if task.file is not None:
            relocate(error, task.file.document, {})
        raise
    if given["limit"] is not None:
        planned = first_left(planned, task.experiment, given["limit"], retry_failed=given["retry_failed"])
    return replace(task, planned=planned)
