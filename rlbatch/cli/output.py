"""How do commands print? Numbers a reader can take in, tables that fit, JSON for programs."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from rlbatch.errors import InputError, printable

_WIDEST = 1000


def echo_json(command: str, content: Mapping[str, Any]) -> None:
    """Prints the one object of a command's --json."""
    click.echo(json.dumps({"schema": f"rlbatch.{command}/1", **content}, allow_nan=False))


def echo_table(headings: Sequence[str], rows: Sequence[Sequence[Any]], right: Sequence[int] = ()) -> None:
    """Prints rows under headings; columns named by index in `right` are aligned right.

    A table has its natural width: on a narrow terminal the terminal wraps its lines, but nothing is cut.
    """
    table = Table(box=None, pad_edge=False, header_style="bold")
    for index, heading in enumerate(headings):
        table.add_column(heading, justify="right" if index in right else "left", no_wrap=True)
    for row in rows:
        table.add_row(*(printable(str(cell)) for cell in row))
    Console(width=_WIDEST, highlight=False, markup=False).print(table, crop=False)


def check_replaceable(path: Path, begins: bytes) -> None:
    """Raises InputError unless there is nothing at a path that the user named, or a file that a command like this made.

    Args:
        path: to be written.
        begins: how every such file begins.
    """
    if path.is_dir():
        raise InputError(str(path), "is a folder", "name a file")
    try:
        with path.open("rb") as file:
            known = file.read(len(begins)) == begins
    except FileNotFoundError:
        return
    except OSError as error:
        raise InputError(str(path), f"cannot be written: {error.strerror}") from error
    if not known:
        raise InputError(str(path), "is there already and holds something else", "name another file, or move it away")


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Raises InputError where a file or folder that the user named cannot be written."""
    try:
        yield
    except OSError as error:
        raise InputError(str(path), f"cannot be written: {error.strerror}") from error


def number(value: Any) -> str:
    """Returns a number short enough for a table: 500, 71.3, 0.00125, 1,234,567; a dash for nothing."""
    if value is None:
        return "-"
    if isinstance(value, bool | str):
        return str(value)
    if isinstance(value, int) or float(value).is_integer():
        return f"{int(value):,}"
    return f"{value:,.1f}" if abs(value) >= 10 else f"{value:.4g}"


def size(count: float) -> str:
    """Returns a number of bytes in a unit a reader knows."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def duration(seconds: float) -> str:
    """Returns a duration as 48 s, 3 min 20 s or 2 h 05 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def plural(count: int, noun: str) -> str:
    """Returns "1 run" or "12 runs"."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
