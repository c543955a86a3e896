"""rlbatch tensorboard: the curves of a folder, served on this machine only."""

from __future__ import annotations

import contextlib
import io
import ipaddress
import json
import os
import re
import threading
from collections import Counter
from collections.abc import Collection
from pathlib import Path
from urllib.parse import quote

import click

from rlbatch.cli import options, types
from rlbatch.errors import InputError, RefusedError, RlbatchError, printable
from rlbatch.values import Integer

PINNED = ("eval/return_mean", "efficiency/auc", "stability/drawdown", "update/td_error")
_CARDS = quote(json.dumps([{"plugin": "scalars", "tag": tag} for tag in PINNED], separators=(",", ":")))
_BATCH = quote(r"(?:^|/)(b\d{5,})(?:-|/|$)")
LINK = f"?runColorGroup=regex:{_BATCH}&smoothing=0&pinnedCards={_CARDS}#timeseries"
"""Opens the time series with one colour per batch size and the cards that a first look wants on top."""
MEANS = "#custom_scalars&_smoothingWeight=0&regexInput=_aggregate%2F"
"""Opens the charts of means over seeds, unsmoothed and without the runs that are behind them."""
MOST = 40
"""Runs that TensorBoard shows at once: of more that match a filter it shows none."""
REFRESH_S = 30.0
"""Seconds after which means are made anew, for runs that train meanwhile."""


@click.command(cls=options.GroupedCommand)
@click.argument("folder", required=False, type=types.Parsed("folder", str, "dir"))
@options.option(
    "--port",
    type=types.integer(Integer(0, 65535)),
    default=6006,
    show_default=True,
    group="Server",
    help="Port; 0 takes a free one.",
)
@options.option(
    "--host", default="127.0.0.1", show_default=True, group="Server", help="Loopback address: TensorBoard has no login."
)
def command(folder: str | None, port: int, host: str) -> None:
    """Start TensorBoard for FOLDER (RLBATCH_OUT or ./results if not given) and print its links. Ctrl-C ends it.

    The means over seeds of each experiment are written into its folder _aggregate, and kept up to date.
    """
    from rlbatch.analysis.board import Board

    _check_host(host)
    path = options.results_folder(folder)
    if not path.is_dir():
        raise InputError(str(path), "is not a folder", "rlbatch train makes ./results")
    if not any(name.startswith("events.out.tfevents.") for *_, names in os.walk(path) for name in names):
        raise InputError(str(path), "holds no curves yet", "rlbatch train writes them")
    board = Board(path)
    told = _tell(board.refresh())
    url = start(path, host, port)
    _note_looks(path)
    click.echo(f"{path} in TensorBoard, one colour per batch size: {url}{LINK}")
    for of, link in _means(board.means):
        click.echo(f"means over seeds{of}, with intervals: {url}{link}")
    click.echo("Ctrl-C ends it")
    with contextlib.suppress(KeyboardInterrupt):
        while not threading.Event().wait(REFRESH_S):
            told = _tell(board.refresh(), told)


def _means(curves: Counter[str]) -> list[tuple[str, str]]:
    """Returns for each link to charts of means what it shows, and the link: one, or where those are too many several.

    Args:
        curves: environment -> its mean curves.
    """
    if curves.total() <= MOST:
        return [("", MEANS)] if curves else []
    return [(f" in {name}", f"{MEANS}{quote(re.escape(name), safe='')}%2F") for name in sorted(curves)]


def _note_looks(folder: Path) -> None:
    """Keeps that somebody looks at the experiments at or below a folder."""
    from rlbatch.analysis.board import experiments_in
    from rlbatch.analysis.looks import note_look

    for experiment in experiments_in(folder):
        with contextlib.suppress(RlbatchError):  # what cannot be read is not shown
            note_look(experiment.path, (), experiment.planned())


def _tell(notes: list[str], told: Collection[str] = ()) -> list[str]:
    """Prints the notes that were not told before; returns all."""
    for note in notes:
        if note not in told:
            click.echo(printable(note), err=True)
    return notes


def start(folder: Path, host: str, port: int) -> str:
    """Starts the server in the background and returns its address, ending in a slash; raises InputError."""
    from tensorboard import program

    server = program.TensorBoard()
    server.configure(argv=["tensorboard", "--logdir", str(folder), "--host", host, "--port", str(port)])
    try:
        with contextlib.redirect_stderr(io.StringIO()):  # where it advertises how it loads data
            return str(server.launch())
    except program.TensorBoardServerException as error:
        raise InputError("--port", f"{port} cannot be used: {error.msg}", "--port 0 takes a free one") from error


def _check_host(host: str) -> None:
    try:
        loopback = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError as error:
        raise InputError("--host", f"{host!r} is not an address", "127.0.0.1 is the default") from error
    if not loopback:
        hint = "from another machine: ssh -L 6006:127.0.0.1:6006 HOST"
        raise RefusedError("--host", f"{host} is open to others, and TensorBoard has no login", hint)
