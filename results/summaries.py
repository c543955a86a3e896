"""What do the scripts share that summarise kept experiments? Declared runs, their scores, the tables.

An experiment's declaration says which runs there should be; its score table says what came of them. What is declared
and not there is named, never left out.
"""

from __future__ import annotations

import argparse
import csv
import math
import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from rlbatch.config import as_dict
from rlbatch.environments import listed
from rlbatch.errors import RlbatchError
from rlbatch.results import find_runs
from rlbatch.strict_yaml import read

EXPERIMENTS = Path(__file__).parents[1] / "experiments"

Settings = dict[str, Any]
Row = dict[str, Any]
Key = tuple[Any, ...]
Record = tuple[Settings, str, Mapping[str, Any]]

_TYPES: dict[str, Callable[[str], Any]] = {
    "seed": int,
    "batch_size": int,
    "learning_rate": float,
    "auc": float,
    "return_mean": float,
    "best": float,
}
"""Column of a score table -> its type; every other column is text."""


class Standing(NamedTuple):
    """What came of the declared runs.

    Attributes:
        areas: run -> area under its evaluation curve, in units of return.
        diverged: the runs among them that diverged and count with their environment's `low`.
        missing: run -> how it failed, or "no record".
    """

    areas: dict[Key, float]
    diverged: list[Key]
    missing: dict[Key, str]


def declaration(name: str) -> dict[str, Any]:
    """Returns what experiments/<name>.yaml says."""
    return read(EXPERIMENTS / f"{name}.yaml").content


def recorded(folders: Iterable[Path], declared: Sequence[Settings]) -> Iterator[Record]:
    """Yields each run found at or below the folders that was declared: its declared settings, status and final scores.

    Runs that were not declared are named on standard error.

    Raises:
        ValueError: there is no such folder.
        RlbatchError: a run folder cannot be read.
    """
    for folder in folders:
        if not folder.is_dir():
            raise ValueError(f"{folder} is not a folder")
        for run in find_runs(folder):
            config = as_dict(run.config())
            settings = next((d for d in declared if all(config[field] == value for field, value in d.items())), None)
            if settings is None:
                print(f"left out, not declared: {run.path}", file=sys.stderr)
                continue
            result = run.result()
            yield settings, run.status(), result["final"] if result is not None else {}


def update_scores(path: Path, columns: Sequence[str], key: Sequence[str], found: Iterable[Row]) -> list[Row]:
    """Lays the rows found over those that a score table holds, writes it sorted by its key, and returns all rows.

    Args:
        path: a CSV file with a heading; it need not exist.
        columns: of the table.
        key: the columns that name a run.
        found: rows of run folders; None is an empty cell.

    Raises:
        ValueError: the same run was found twice, or there is no row at all.
    """
    rows = {_key(row, key): row for row in read_scores(path)}
    new: dict[Key, Row] = {}
    for row in found:
        if _key(row, key) in new:
            raise ValueError(f"two folders hold the same run: {dict(zip(key, _key(row, key), strict=True))}")
        new[_key(row, key)] = row
    rows |= new
    if not rows:
        raise ValueError(f"{path} is not there, and no folder holds a declared run")
    ordered = [rows[name] for name in sorted(rows)]
    if new:
        with path.open("w", encoding="utf-8", newline="") as file:
            table = csv.DictWriter(file, columns, lineterminator="\n")
            table.writeheader()
            table.writerows(ordered)
    return ordered


def read_scores(path: Path) -> list[Row]:
    """Returns the rows of a score table, none where it does not exist; an empty cell of a number is None."""
    if not path.is_file():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return [{column: _read(column, cell) for column, cell in row.items()} for row in csv.DictReader(file)]


def standing(rows: Iterable[Row], key: Sequence[str], declared: Iterable[Key]) -> Standing:
    """Returns what came of the declared runs; each is named by the values of the columns in `key`, "env" among them.

    A run that diverged is a result: it counts with its environment's `low` as its area. Any other run without an area
    is missing.
    """
    known = {_key(row, key): row for row in rows}
    areas: dict[Key, float] = {}
    diverged, missing = [], {}
    for run in declared:
        outcome = known[run]["outcome"] if run in known else "no record"
        if outcome == "ok":
            areas[run] = known[run]["auc"]
        elif outcome == "diverged":
            areas[run] = listed()[known[run]["env"]].low
            diverged.append(run)
        else:
            missing[run] = outcome
    return Standing(areas, diverged, missing)


def reference_range(env_id: str) -> float:
    """Returns reference minus low, in units of return: the length of the environment's normalised scale."""
    facts = listed()[env_id]
    if facts.reference is None:
        raise ValueError(f"{env_id} has no reference score")
    return facts.reference - facts.low


def normalised(env_id: str, score: float) -> float:
    """Returns a score on the scale where the environment's `low` is 0 and its `reference` 1."""
    return (score - listed()[env_id].low) / reference_range(env_id)


def number(value: float | None, digits: int) -> str:
    """Returns a number in words; there may be none."""
    return "-" if value is None or not math.isfinite(value) else f"{value:.{digits}f}"


def paragraph(text: str) -> str:
    """Returns a text as one paragraph of lines of at most 120 characters."""
    return textwrap.fill(" ".join(text.split()), 120, break_long_words=False, break_on_hyphens=False) + "\n"


def table(headings: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Returns a Markdown table."""
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines) + "\n"


def spans(seeds: Iterable[int]) -> str:
    """Returns seeds in words, neighbours joined: `0..3, 7`."""
    ordered = sorted(seeds)
    starts = [n for n in ordered if n - 1 not in ordered]
    ends = [n for n in ordered if n + 1 not in ordered]
    return ", ".join(str(a) if a == b else f"{a}..{b}" for a, b in zip(starts, ends, strict=True))


def run_script(doc: str | None, summarise: Callable[[Sequence[Path]], str]) -> None:
    """Summarises the folders that the command line names, prints the summary, and tells an error in one line."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="*", type=Path, help="folders of runs")
    try:
        print(summarise(parser.parse_args().folders))
    except (ValueError, OSError, RlbatchError) as error:
        sys.exit(f"error: {error}")


def _key(row: Row, key: Sequence[str]) -> Key:
    return tuple(row[column] for column in key)


def _read(column: str, cell: str) -> Any:
    if column not in _TYPES:
        return cell
    return _TYPES[column](cell) if cell else None
