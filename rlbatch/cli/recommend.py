"""rlbatch recommend: which batch size, in sentences; with --confirm also on fresh seeds."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rlbatch.cli import options, types
from rlbatch.cli.output import echo_json
from rlbatch.cli.reading import answer_to, note_looks
from rlbatch.errors import InputError, printable
from rlbatch.values import Integer

if TYPE_CHECKING:
    from rlbatch.analysis.answer import Answer
    from rlbatch.analysis.confirm import Confirmed
    from rlbatch.config import RunConfig
    from rlbatch.launch.task import Task

_ASKED = ("metric", "delta", "reference", "threshold", "where", "group")


@click.command(cls=options.GroupedCommand)
@click.argument("folders", metavar="DIR...", nargs=-1, required=True, type=types.Parsed("folder", str, "dir"))
@options.analysis_options
@options.option(
    "--confirm",
    type=types.integer(Integer(1, 1000)),
    metavar="N",
    group="Confirmation",
    help="Train N fresh seeds of the arm with the highest mean and of the reference, in <experiment>-confirm, and say "
    "what they say; under 5 without a verdict.",
)
@options.import_option
@options.resource_options
@options.telling_options
def command(folders: tuple[str, ...], confirm: int | None, as_json: bool, **given: Any) -> int:
    """Say in sentences which batch sizes are as good as the best, for what that holds, and how sure it is."""
    from rlbatch.analysis.as_json import plain_recommendations
    from rlbatch.analysis.caveats import caveats
    from rlbatch.analysis.recommend import overall, recommend

    if confirm is None:
        _check_nothing_trains()
    found = answer_to(folders, **{name: given[name] for name in _ASKED})
    if confirm is not None:
        return _confirm(found, confirm, {**given, "as_json": as_json})
    note_looks(found)
    if as_json:
        echo_json("recommend", plain_recommendations(found))
        return 0
    for one in recommend(found):
        click.echo("\n".join(map(printable, one.sentences)) + "\n")
    for sentence in (*overall(found), *caveats(found)):
        click.echo(printable(sentence))
    return 0


def _check_nothing_trains() -> None:
    """Refuses options of training where nothing is trained."""
    context = click.get_current_context()
    for param in context.command.params:
        here = param.name in (*_ASKED, "folders", "as_json")
        if not here and context.get_parameter_source(str(param.name)) is click.core.ParameterSource.COMMANDLINE:
            raise InputError(param.opts[0], "is of no use where nothing is trained", "add --confirm N, or leave it out")


def _confirm(found: Answer, count: int, given: Mapping[str, Any]) -> int:
    """Trains what confirms the answer and says what it says; returns the exit code."""
    from rlbatch.analysis.as_json import plain_recommendations
    from rlbatch.analysis.comparison import compare
    from rlbatch.analysis.confirm import SUFFIX, claims_of, confirmed, first_fresh, fresh_configs, sentence_of
    from rlbatch.cli.carry_out import plan_and_carry_out

    (experiment, *others) = found.comparison.collected.experiments
    if others:
        raise InputError("--confirm", "confirms one experiment at a time", "name one folder")
    if confirms := found.comparison.collected.plans[experiment].confirms:
        raise InputError("--confirm", f"{experiment.name} itself confirms {confirms}", f"name {confirms}")
    claims = claims_of(found)
    if not any(len(part.ways[0].samples) > 1 for part in found.parts):
        raise InputError("--confirm", "there are no two batch sizes to compare: nothing to confirm")
    if not claims:
        if all(part.verdicts[part.ways[0].kind].reference is None for part in found.parts):
            raise InputError(
                "--confirm", "the reference has no runs to compare with", "--reference BATCH names another"
            )
        raise InputError("--confirm", "the reference has the highest mean: nothing to confirm")
    folder = experiment.with_name(experiment.name + SUFFIX)
    first = first_fresh(experiment)
    configs = fresh_configs(claims, first, count)
    words = {**given, "out": str(folder.parent), "name": folder.name}
    if given["dry_run"]:
        return plan_and_carry_out(lambda told: _task(told, folder, configs, experiment), words)
    note_looks(found)
    words |= {"as_json": False, "quiet": given["quiet"] or given["as_json"]}
    with contextlib.redirect_stdout(sys.stderr) if given["as_json"] else contextlib.nullcontext():
        code = plan_and_carry_out(lambda told: _task(told, folder, configs, experiment), words)
    if code not in (0, 3):
        return code
    told = confirmed(claims, compare([folder]), found.metric, first, folder)
    if given["as_json"]:
        more = {"folder": str(folder), "confirmed": [_plain(one) for one in told]}
        echo_json("recommend", plain_recommendations(found) | more)
    else:
        click.echo("\n".join(printable(sentence_of(one)) for one in told))
    return code


def _plain(one: Confirmed) -> dict[str, Any]:
    """Returns what fresh seeds say of a claim as JSON has it."""
    from rlbatch.analysis.as_json import jsonable

    return {
        "env_id": one.claim.env_id,
        "chosen": one.claim.chosen.arm.path,
        "reference": one.claim.reference.arm.path,
        "difference": jsonable(one.difference),
        "seeds": one.seeds,
        "p_value": one.p_value,
        "verdict": one.verdict,
        "lacking": [{"run": run.path, "status": run.status} for run in one.lacking],
        "looked_at_before": list(one.before),
    }


def _task(told: Mapping[str, Any], folder: Path, configs: Sequence[RunConfig], experiment: Path) -> Task:
    """Returns the task that trains the confirming runs, checked; nothing has been written."""
    from rlbatch.config import SETTINGS
    from rlbatch.env_ids import import_module
    from rlbatch.experiment import Experiment
    from rlbatch.grid import PlannedRun
    from rlbatch.launch import check
    from rlbatch.launch.task import Task

    for module in told["modules"]:
        import_module(module)
    origins = dict.fromkeys(SETTINGS, str(experiment))
    planned = [PlannedRun(config, dict(origins), f"an arm of {experiment}", []) for config in configs]
    task = Task("recommend", list(told["modules"]), planned, Experiment(folder), confirms=experiment.name)
    resources = {"env_workers": told["env_workers"], "cluster": told["cluster"]}
    check(planned, task.experiment, told["device"], told["stack_width"], told["jobs"], **resources)
    return task
