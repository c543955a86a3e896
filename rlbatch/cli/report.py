"""rlbatch report: everything on one page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from rlbatch.cli import options, types
from rlbatch.cli.output import check_replaceable, echo_json, writing
from rlbatch.cli.reading import answer_to, note_looks
from rlbatch.errors import InputError


@click.command(cls=options.GroupedCommand)
@click.argument("folders", metavar="DIR...", nargs=-1, required=True, type=types.Parsed("folder", str, "dir"))
@options.analysis_options
@options.option(
    "--to",
    type=types.Parsed("file", types.read_path, "file"),
    group="Output",
    help="The page.  [default: report.html in the first DIR]",
)
@options.option(
    "--figures",
    type=types.Parsed("folder", types.read_path, "dir"),
    group="Output",
    help="Write each figure, in all its views, into this folder too, as SVG and PNG.",
)
@options.output_options
def command(folders: tuple[str, ...], to: str | None, figures: str | None, as_json: bool, **asked: Any) -> None:
    """Write one HTML page with the answer, figures and tables; it needs no network and can be sent to others."""
    from rlbatch.analysis.all_figures import figures_of
    from rlbatch.analysis.report import BEGINS, NAME, write_report

    path = Path(folders[0]) / NAME if to is None else Path(to)
    check_replaceable(path, BEGINS)
    if figures is not None and Path(figures).exists() and not Path(figures).is_dir():
        raise InputError(figures, "is a file", "name a folder")
    found = answer_to(folders, **asked)
    note_looks(found)
    drawn = figures_of(found)
    with writing(path):
        write_report(found, drawn, path)
    written = []
    if figures is not None:
        from rlbatch.analysis.plots import save

        with writing(Path(figures)):
            written = save([picture for figure in drawn for picture in figure.pictures], Path(figures))
    if as_json:
        echo_json("report", {"page": str(path), "figures": [str(file) for file in written]})
        return
    click.echo("\n".join(map(str, (path, *written))))
