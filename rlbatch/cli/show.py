"""rlbatch show: one run, its result and its settings; or the plan of an experiment file."""

from __future__ import annotations

import shlex
from typing import Any

import click

from rlbatch.cli import experiments, options, types
from rlbatch.cli.output import duration, echo_json, number
from rlbatch.cli.reading import find_run
from rlbatch.errors import printable

_SHOWN = 10


@click.command(cls=options.GroupedCommand)
@click.argument("run", metavar="RUN|FILE", type=types.Parsed("run", str, "dir"))
@options.import_option
@options.out_option
@options.output_options
def command(run: str, modules: tuple[str, ...], out: str, as_json: bool) -> None:
    """Show a run, with its last evaluations and every setting's origin, or the plan of an experiment file.

    RUN is a run folder, or a folder that holds just one. FILE is an experiment file or its name: what it would train,
    as with run --dry-run; --import and --out are for it.
    """
    if experiments.is_experiment(run):
        _show_plan({"file": run, "modules": modules, "out": out, "as_json": as_json})
    else:
        _show_run(run, as_json)


def _show_plan(given: dict[str, Any]) -> None:
    from rlbatch.cli.narrate import announce

    task = experiments.task_of("show", given | {"name": None})
    here = {
        "device": "auto",
        "stack_width": None,
        "jobs": None,
        "env_workers": 0,
        "cluster": None,
        "retry_failed": False,
        "dry_run": True,
        "verbose": False,
    }
    announce(task, given | here)


def _show_run(run: str, as_json: bool) -> None:
    from rlbatch.cli.narrate import schedule_line, settings_table

    folder = find_run(run)
    record, result = folder.record(), folder.result()
    evaluations = list(folder.rows("eval"))
    if as_json:
        echo_json("show", {"folder": str(folder.path), "record": record, "result": result, "evaluations": evaluations})
        return
    click.echo(f"{folder.path}\nrun {record['run_id']}, arm {record['arm_id']}, {folder.status()}")
    click.echo(schedule_line(folder.config()))
    _show_result(result)
    _show_curve(evaluations)
    for note in map(str, record.get("notes") or ()):
        click.echo(f"note: {printable(note)}")
    settings_table(record["config"], _object(record.get("origins")))
    _show_making(record)


def _show_making(record: dict[str, Any]) -> None:
    """Prints what config.json keeps beside the config; none of it is needed to read a run."""
    made = _object(record.get("provenance"))
    versions = ", ".join(f"{name} {v}" for name, v in _object(made.get("versions")).items() if v is not None)
    click.echo(printable(f"preset: {record.get('preset_source', 'unknown')}"))
    command_line = shlex.join(map(str, made.get("argv") or ["unknown"]))
    click.echo(printable(f"made: {made.get('created', 'unknown')} on {record.get('device')} by {command_line}"))
    click.echo(printable(f"with: {versions}"))


def _object(content: Any) -> dict[str, Any]:
    return content if isinstance(content, dict) else {}


def _show_result(result: dict[str, Any] | None) -> None:
    if result is None:
        click.echo("not finished")
        return
    reason = f": {printable(result['reason'])}" if result["reason"] else ""
    click.echo(
        f"outcome {result['outcome']}{reason}; {number(result['timesteps'])} env steps, "
        f"{number(result['updates'])} updates, {number(result['samples'])} samples, {duration(result['seconds'])}"
    )
    final = result["final"]
    click.echo(
        f"return {number(final['return_mean'])} (last evaluation), best {number(final['best'])}, "
        f"area {number(final['auc'])}, steps to threshold {number(final['steps_to_threshold'])}, "
        f"largest drawdown {number(final['drawdown_max'])}, dispersion {number(final['dispersion'])}"
    )


def _show_curve(evaluations: list[dict[str, Any]]) -> None:
    last = evaluations[-_SHOWN:]
    points = ", ".join(f"{row['timesteps']:,}: {number(row['eval/return_mean'])}" for row in last)
    click.echo(f"evaluations (env steps: return): {'... ' if len(evaluations) > _SHOWN else ''}{points or 'none yet'}")
    cut = sum(row["cut_episodes"] for row in evaluations)
    if cut:
        click.echo(f"note: {cut} evaluation episodes did not end and were cut")
