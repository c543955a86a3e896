"""How does a reader see everything at once? One HTML page that needs no network, with figures, tables and words.

Everything that stands in run folders is text here, never markup: Jinja escapes it, and the numbers of the figures are
JSON in a script that is no program. The page's policy allows its own two scripts by their hash and nothing else.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path
from typing import Any

from rlbatch import __version__
from rlbatch.analysis.answer import Answer
from rlbatch.analysis.figures import Figure, figures_of
from rlbatch.analysis.looks import looks_at
from rlbatch.analysis.methods import methods
from rlbatch.analysis.plain import jsonable
from rlbatch.analysis.plots import colours_of
from rlbatch.analysis.recommend import overall, recommend
from rlbatch.analysis.table import Table, columns, confidence_line, shown
from rlbatch.analysis.tables import tables_of
from rlbatch.errors import InputError
from rlbatch.experiment import Experiment
from rlbatch.results import write_bytes

NAME = "report.html"
_FOLDER = resources.files("rlbatch.analysis") / "page"


def write_report(found: Answer, path: Path) -> None:
    """Writes the page, whole or not at all.

    Raises:
        InputError: plotly or Jinja2 is not installed.
    """
    write_bytes(path, page(found).encode())


def page(found: Answer) -> str:
    """Returns the page; the same answer gives the same page but for the time in its last section."""
    try:
        import jinja2
        from plotly.offline import get_plotlyjs
    except ImportError as error:
        raise InputError("report", f"needs {error.name}", "pip install 'rlbatch[plots]'") from error
    library, program = get_plotlyjs(), (_FOLDER / "report.js").read_text(encoding="utf-8")
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    environment.filters["shown"] = shown
    template = environment.from_string((_FOLDER / "report.html").read_text(encoding="utf-8"))
    figures = figures_of(found)
    return template.render(
        style=(_FOLDER / "report.css").read_text(encoding="utf-8"),
        # the two scripts come with rlbatch and plotly, and hold nothing of the runs
        library=_script(library),
        program=_script(program),
        policy=f"script-src {_hash(library)} {_hash(program)}",
        data=[_drawn(figure) for figure in figures],
        figures=figures,
        recommendations=recommend(found),
        together=overall(found),
        tables=tables_of(found),
        columns=columns,
        confidence=confidence_line(),
        methods=methods(found),
        found=found,
        outcomes=_outcomes(found),
        experiments=_experiments(found),
        version=__version__,
        made=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _drawn(figure: Figure) -> dict[str, Any]:
    """Returns what the page's program needs to draw a figure."""
    colours = colours_of(figure.series)
    series = [
        {
            "name": one.name,
            "x": one.x,
            "y": one.y,
            "low": one.low,
            "high": one.high,
            "seeds": one.seeds,
            "colour": colour,
        }
        for one, colour in zip(figure.series, colours, strict=True)
    ]
    told: dict[str, Any] = jsonable(
        {
            "id": figure.name,
            "kind": figure.kind,
            "title": figure.title,
            "x": figure.x_title,
            "y": figure.y_title,
            "log": figure.log_x,
            "logY": figure.log_y,
            "series": series,
        }
    )
    return told


def _outcomes(found: Answer) -> Table:
    """Returns how every planned run stands."""
    rows = [(run.path, run.status, run.reason) for run in found.comparison.collected.runs]
    return Table("Outcomes of all runs", ("run", "status", "reason"), tuple(rows))


def _experiments(found: Answer) -> Sequence[dict[str, Any]]:
    """Returns of each experiment where it lies, how often it was looked at, and by which commands it was made."""
    told = []
    for path in found.comparison.collected.experiments:
        told.append({"name": path.name, "looks": looks_at(path), "commands": Experiment(path).commands()})
    return told


def _hash(script: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"


def _script(text: str) -> Any:
    """Returns a script as markup; raises ValueError if it could end the element it stands in."""
    import markupsafe

    if "</script" in text.lower():
        raise ValueError("a script holds its own end")
    return markupsafe.Markup(text)  # noqa: S704 - a file of ours or of plotly
