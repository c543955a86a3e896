"""rlbatch recommend: which batch size, in sentences."""

from __future__ import annotations

from typing import Any

import click

from rlbatch.cli import options, types
from rlbatch.cli.compare import answer_to
from rlbatch.cli.output import echo_json


@click.command(cls=options.GroupedCommand)
@click.argument("folders", metavar="DIR...", nargs=-1, required=True, type=types.Parsed("folder", str, "dir"))
@options.analysis_options
@options.output_options
def command(folders: tuple[str, ...], as_json: bool, **asked: Any) -> None:
    """Say in sentences which batch sizes are as good as the best, for what that holds, and how sure it is."""
    from rlbatch.analysis.plain import plain_recommendations
    from rlbatch.analysis.recommend import overall, recommend

    found = answer_to(folders, **asked)
    recommendations, together = recommend(found), overall(found)
    if as_json:
        echo_json("recommend", plain_recommendations(recommendations, together))
        return
    for one in recommendations:
        click.echo("\n".join(one.sentences) + "\n")
    for sentence in together:
        click.echo(sentence)
