"""rlbatch bench: how wide to stack, and whether a GPU is worth it, on this machine."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.table import Table

from rlbatch.cli import options, types
from rlbatch.cli.output import echo_json, number
from rlbatch.errors import InputError
from rlbatch.values import Integer, Real, from_json

if TYPE_CHECKING:
    from rlbatch.config import RunConfig

_BATCH_SIZES, _WIDTHS = (32, 256), (1, 8, 32)
_WIDTH = Integer(1, 256)
_SECONDS = Real(0.01, 3600)
_COLUMNS = {
    "device": 6,
    "batch": 5,
    "width": 5,
    "env steps/s": 11,
    "updates/s": 9,
    "x SB3": 5,
    "with eval": 9,
    "act": 5,
    "env": 5,
    "store": 5,
    "update": 6,
    "log": 5,
    "eval": 5,
    "of peak": 7,
}
"""Heading -> least width: a row is printed before the next one is known."""
_WIDEST = 1000
_LEGEND = """\
x SB3: env steps/s against one run on Stable-Baselines3, same device; with eval: the same with a run's evaluations
act to log: microseconds per env step of one run; eval: per env step of evaluation
of peak: matrix products of the updates, of the {peak} GFLOP/s that one float32 product reaches"""


def read_widths(word: str) -> tuple[int, ...]:
    """Reads widths of a stack, written as batch sizes are."""
    return tuple(_WIDTH(width) for width in types.read_batches(word))


def read_seconds(word: str) -> float:
    """Reads a number of seconds."""
    return _SECONDS(from_json(word))


@click.command(cls=options.GroupedCommand)
@options.environment_options(group="Runs", default="CartPole-v1", show_default=True)
@options.option(
    "--batch",
    "batch_sizes",
    type=types.Parsed("sizes", types.read_batches),
    group="Runs",
    help="Transitions per update: 256, or several: 32,64,128 or 2^5..2^10.  [default: 32,256]",
)
@options.option(
    "--width",
    "widths",
    type=types.Parsed("widths", read_widths),
    group="Runs",
    help="Runs of a stack: 8, or several.  [default: 1,8,32]",
)
@options.preset_option(group="Runs")
@options.option(
    "--set",
    "settings",
    type=types.Parsed("field=value", types.read_setting, types.setting_names),
    multiple=True,
    group="Runs",
    help="Any setting, the value as JSON: --set net_arch=[256,256] --set n_eval_episodes=2.",
)
@options.option(
    "--device",
    default="auto",
    show_default=True,
    type=types.word("auto", "cpu", "cuda"),
    metavar="auto|cpu|cuda[:n]",
    group="Measurement",
    help="auto: the CPU and every GPU that is present, each measured.",
)
@options.option(
    "--seconds",
    default="2.0",
    show_default=True,
    type=types.Parsed("s", read_seconds),
    group="Measurement",
    help="How long the stack trains in each case, and Stable-Baselines3 beside it.",
)
@options.option(
    "--repeats",
    default=5,
    show_default=True,
    type=types.integer(Integer(1, 1000)),
    group="Measurement",
    help="Stretches into which these are divided; the median counts.",
)
@options.option(
    "--env-workers",
    type=types.integer(Integer(0, 256)),
    default=0,
    group="Measurement",
    help="Processes that step the environments of a stack.  [default: 0, none]",
)
@options.output_options
def command(**given: Any) -> int:
    """Measure how fast stacks of several widths train here, beside Stable-Baselines3, and where their time goes.

    \b
    rlbatch bench
    rlbatch bench --env Pendulum-v1 --batch 256 --width 2^0..2^5
    """  # noqa: D301 - click reads the \b
    from rlbatch.launch import Interrupted, bench
    from rlbatch.launch.machine import check_device

    modules, configs, widths = _plan(given)
    check_device(given["device"])
    wanted = ("seconds", "repeats", "env_workers")
    job = bench.job_of(configs, widths, given["device"], modules=modules, **{name: given[name] for name in wanted})
    cases: list[dict[str, Any]] = []

    def take(case: dict[str, Any]) -> None:
        cases.append(case)
        if not given["as_json"]:
            _print_row(case, first=len(cases) == 1)

    if not given["as_json"]:
        click.echo(_headline(configs, given))
    try:
        bench.run(job, take)
    except Interrupted as stop:
        return _stopped(stop.exit_code, as_json=given["as_json"])
    _conclude(cases, bench.verdicts(cases), job, as_json=given["as_json"])
    return 0


def _plan(given: Mapping[str, Any]) -> tuple[list[str], list[RunConfig], tuple[int, ...]]:
    """Returns the modules to import, a run for each batch size, and the widths; all is checked."""
    from dataclasses import replace

    from rlbatch.cli.request import modules_of, request_of, told_by_option
    from rlbatch.env_ids import import_module
    from rlbatch.launch.bench import plan

    modules = modules_of(given)
    for module, where in modules.items():
        import_module(module, where)
    absent = ("seed", "seeds", "total_timesteps", "match", "lr_rule", "engine")
    request = request_of(dict.fromkeys(absent) | dict(given))
    if not request.batch_sizes:
        request = replace(request, batch_sizes=_BATCH_SIZES, origins=dict(request.origins) | {"batch_size": "--batch"})
    widths: tuple[int, ...] = given["widths"] or _WIDTHS
    with told_by_option(request):
        return list(modules), plan(request, widths), widths


def _headline(configs: Sequence[RunConfig], given: Mapping[str, Any]) -> str:
    first = configs[0]
    workers = f", {given['env_workers']} env workers" if given["env_workers"] else ""
    return (
        f"{first.env_id}: {first.algo.upper()} {list(first.net_arch)}, preset {first.preset}, one thread{workers}; "
        f"median of {given['repeats']} stretches of {given['seconds'] / given['repeats']:.2g} s"
    )


def _print_row(case: Mapping[str, Any], *, first: bool) -> None:
    """Prints a case as a row of the table, under the headings if it is the first; what did not fit has no numbers."""
    from rlbatch.launch.bench import fitted

    table = Table(box=None, pad_edge=False, header_style="bold", show_header=first)
    for heading, width in _COLUMNS.items():
        justify: Any = "left" if heading == "device" else "right"
        table.add_column(heading, justify=justify, min_width=width, no_wrap=True)
    name = (case["device"], str(case["batch_size"]), str(case["width"]))
    times = case["microseconds"] if fitted(case) else {}
    table.add_row(*name, *(_numbers(case, times) if times else ["no memory"]))
    Console(width=_WIDEST, highlight=False, markup=False).print(table, crop=False)


def _numbers(case: Mapping[str, Any], times: Mapping[str, float]) -> list[str]:
    """Returns the cells of a row that were measured."""
    return [
        *(f"{case[name]:,.0f}" for name in ("env_steps_per_s", "updates_per_s")),
        *(_rounded(case[name]) for name in ("times_sb3", "times_sb3_with_evaluation")),
        *(_rounded(times[name]) for name in ("act", "environment", "store", "update", "logging", "evaluation")),
        f"{100 * case['peak_share']:.1f} %",
    ]


def _rounded(value: float) -> str:
    return number(float(f"{value:.2g}" if value < 10 else f"{value:.3g}"))


def _conclude(
    cases: Sequence[Mapping[str, Any]], verdicts: Sequence[Mapping[str, Any]], job: Mapping[str, Any], *, as_json: bool
) -> None:
    """Prints what follows from the cases, or everything as JSON."""
    if as_json:
        from rlbatch.launch.bench import fitted
        from rlbatch.launch.provenance import versions

        told = {name: job[name] for name in ("configs", "seconds", "repeats", "env_workers")}
        told |= {"cases": list(filter(fitted, cases)), "too_wide": [case for case in cases if not fitted(case)]}
        echo_json("bench", {"verdicts": verdicts, **told, "versions": versions()})
        return
    peaks = {case["device"]: case["peak_gflops"] for case in cases if "peak_gflops" in case}
    if not peaks:
        raise InputError("--width", "no stack fits into memory", "fewer, or --set buffer_size=N with a smaller N")
    click.echo(_LEGEND.format(peak=" and ".join(f"{peak:,.0f} ({device})" for device, peak in peaks.items())))
    for verdict in verdicts:
        click.echo(verdict["words"])


def _stopped(exit_code: int, *, as_json: bool) -> int:
    """Says that a signal ended the command; returns the exit code."""
    told = {"schema": "rlbatch.error/1", "where": "", "what": "stopped", "hint": "", "exit_code": exit_code}
    click.echo(json.dumps(told) if as_json else "stopped", err=True)
    return exit_code
