"""rlbatch compare: which batch size, in tables."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rlbatch.cli import options, types
from rlbatch.cli.output import check_replaceable, echo_json, echo_table, writing
from rlbatch.cli.reading import answer_to, note_looks
from rlbatch.errors import InputError, nearest, printable

if TYPE_CHECKING:
    from rlbatch.analysis.table import Table

_AXES = ("steps", "updates", "samples", "seconds")


@click.command(cls=options.GroupedCommand)
@click.argument("folders", metavar="DIR...", nargs=-1, required=True, type=types.Parsed("folder", str, "dir"))
@options.analysis_options
@options.option(
    "--axis",
    default="steps",
    show_default=True,
    type=types.word(*_AXES),
    metavar="|".join(_AXES),
    group="Comparison",
    help="Axis on which it is told how much a mark takes.",
)
@options.option(
    "--csv",
    "csv_path",
    type=types.Parsed("file", types.read_path, "file"),
    group="Output",
    help="Write every episode of every evaluation as one line of this file.",
)
@options.option("--latex", is_flag=True, group="Output", help="Print the tables for LaTeX (booktabs).")
@options.output_options
def command(
    folders: tuple[str, ...], axis: str, csv_path: str | None, latex: bool, as_json: bool, **asked: Any
) -> None:
    """Compare batch sizes: tables of the runs in one or several folders, finished or not.

    DIR is an experiment's folder, one that holds several, or a part of one. Only evaluations are read.
    """
    from rlbatch.analysis.as_json import plain
    from rlbatch.analysis.caveats import caveats
    from rlbatch.analysis.episodes_csv import COLUMNS, write_episodes
    from rlbatch.analysis.table import confidence_line
    from rlbatch.analysis.tables import tables_of

    if axis not in _AXES:
        raise InputError("--axis", f"{axis!r} is not an axis", nearest(axis, _AXES) or f"allowed: {', '.join(_AXES)}")
    if csv_path is not None:
        check_replaceable(Path(csv_path), ",".join(COLUMNS).encode())
    found = answer_to(folders, **asked)
    note_looks(found)
    if csv_path is not None:
        with writing(Path(csv_path)):
            write_episodes(found.comparison, Path(csv_path))
    if as_json:
        echo_json("compare", plain(found))
        return
    tables, remarks = tables_of(found, axis=axis), (confidence_line(), *caveats(found))
    if latex:
        for table in tables:
            _echo_latex(table)
        click.echo("\n".join(f"% {printable(remark)}" for remark in remarks))
        return
    for table in tables:
        _echo_table(table)
    click.echo("\n".join(map(printable, remarks)))


def _echo_table(table: Table) -> None:
    """Prints a table with its title and notes."""
    from rlbatch.analysis.table import columns, shown

    click.echo(click.style(printable(table.title), bold=True))
    for line in table.lead:
        click.echo(f"  {printable(line)}")
    if table.rows:
        echo_table(table.headings, [[shown(cell) for cell in row] for row in table.rows], columns(table))
    for note in table.notes:
        click.echo(f"  {printable(note)}")
    click.echo()


def _echo_latex(table: Table) -> None:
    from rlbatch.analysis.table import columns, latex, shown

    if not table.rows:
        return
    right = columns(table)
    align = "".join("r" if i in right else "l" for i in range(len(table.headings)))
    lines = [
        r"\begin{tabular}{" + align + "}",
        r"\toprule",
        " & ".join(map(_latex, table.headings)) + r" \\",
        r"\midrule",
    ]
    lines += [" & ".join(latex(_latex(shown(cell))) for cell in row) + r" \\" for row in table.rows]
    above, below = ([f"% {printable(line)}" for line in some] for some in ((table.title, *table.lead), table.notes))
    click.echo("\n".join([*above, *lines, r"\bottomrule", r"\end{tabular}", *below, ""]))


def _latex(text: str) -> str:
    special = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    return "".join(special.get(c, f"\\{c}" if c in "&%$#_{}" else c) for c in printable(text))
