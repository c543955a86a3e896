"""rlbatch list: environments, presets, experiments or runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import click

from rlbatch.cli import options, types
from rlbatch.cli.output import echo_json, echo_table, number
from rlbatch.errors import InputError, RlbatchError, nearest

_KINDS = ("envs", "presets", "experiments", "runs")

Listing = tuple[tuple[str, ...], list[tuple[Any, ...]]]


@click.command(cls=options.GroupedCommand)
@click.argument("kind", metavar="|".join(_KINDS), type=types.word(*_KINDS))
@click.argument("folder", required=False, type=types.Parsed("folder", str, "dir"))
@options.output_options
def command(kind: str, folder: str | None, as_json: bool) -> None:
    """List what can be named: environments, presets, experiment files; or the runs in a folder.

    FOLDER is for runs: RLBATCH_OUT or ./results if not given. Experiments are those in ./experiments and those that
    came with rlbatch.
    """
    kinds: dict[str, Callable[[], Listing]] = {
        "envs": _environments,
        "presets": _presets,
        "experiments": _experiments,
        "runs": partial(_runs, folder),
    }
    if kind not in kinds:
        raise InputError("list", f"{kind!r} cannot be listed", nearest(kind, kinds) or f"allowed: {', '.join(kinds)}")
    if folder is not None and kind != "runs":
        raise InputError("folder", f"{folder!r} is given, and {kind} are the same everywhere", "leave it out")
    headings, rows = kinds[kind]()
    if as_json:
        echo_json("list", {kind: [dict(zip(headings, row, strict=True)) for row in rows]})
        return
    echo_table(headings, [[number(cell) for cell in row] for row in rows], _numbers(rows))


def _environments() -> Listing:
    from rlbatch.environments import INSTALL, installed, listed

    headings = ("env", "algo", "max_episode_steps", "threshold", "low", "reference", "install")
    rows = [
        (
            env_id,
            f.algo,
            f.max_episode_steps,
            f.threshold,
            f.low,
            f.reference,
            "" if installed(f.family) else INSTALL[f.family],
        )
        for env_id, f in listed().items()
    ]
    return headings, rows


def _presets() -> Listing:
    from rlbatch import presets

    rows: list[tuple[Any, ...]] = []
    for name in presets.NAMES:
        for algo in ("dqn", "sac"):
            for env_id in [*presets.document(name)[algo]["environments"], "any other"]:
                values = presets.load(name, algo, env_id).values
                net = "-".join(map(str, values.get("net_arch", ("default",))))
                kept = [values.get(field) for field in ("total_timesteps", "batch_size", "learning_rate")]
                rows.append((name, algo, env_id, *kept, net))
    return ("preset", "algo", "env", "total_timesteps", "batch_size", "learning_rate", "net_arch"), rows


def _experiments() -> Listing:
    """Returns the question of each file, its first comment, without planning its runs."""
    from rlbatch.cli.experiments import known
    from rlbatch.strict_yaml import read

    rows: list[tuple[Any, ...]] = []
    for name, path in known().items():
        try:
            document = read(path)
        except RlbatchError as error:
            rows.append((name, "", f"unreadable: {error}", str(path)))
            continue
        first = document.text.splitlines()[0]
        question = first.lstrip("# ").strip() if first.startswith("#") else ""
        envs = document.content.get("envs", "")
        rows.append((name, ", ".join(map(str, envs)) if isinstance(envs, list) else str(envs), question, str(path)))
    return ("experiment", "envs", "question", "file"), rows


def _runs(folder: str | None) -> Listing:
    from rlbatch.results import find_runs

    root = options.results_folder(folder)
    if not root.is_dir():
        raise InputError(str(root), "is not a folder", "rlbatch train makes ./results")
    rows: list[tuple[Any, ...]] = []
    for run in find_runs(root):
        try:
            config, result = run.config(), run.result()
            run.check_evaluations()
        except RlbatchError as error:
            rows.append(("", "", None, None, None, "", "unreadable", None, None, str(error)))
            continue
        final = result["final"] if result is not None else {}
        arm = (config.env_id, config.algo, config.batch_size, config.learning_rate, config.seed, config.arm_id[:8])
        rows.append((*arm, run.status(), final.get("return_mean"), final.get("auc"), str(run.path)))
    headings = ("env", "algo", "batch_size", "learning_rate", "seed", "arm", "status", "return_mean", "auc", "folder")
    return headings, rows


def _numbers(rows: Sequence[Sequence[Any]]) -> list[int]:
    """Returns the columns that hold numbers."""
    width = len(rows[0]) if rows else 0
    return [i for i in range(width) if any(isinstance(row[i], int | float) for row in rows)]
