"""How does a reader see everything at once? One HTML page that needs no network, with figures, tables and words.

Everything that stands in run folders is text here, never markup: Jinja escapes it, and the numbers of the figures are
JSON in a script that is no program. The page's policy allows its own two scripts by their hash and nothing else.
"""

from __future__ import annotations

import base64
import hashlib
import math
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path
from typing import Any

from rlbatch import __version__
from rlbatch.analysis.answer import Answer
from rlbatch.analysis.caveats import caveats
from rlbatch.analysis.figures import Figure, Picture
from rlbatch.analysis.intervals import Floats
from rlbatch.analysis.looks import looks_at
from rlbatch.analysis.methods import commits_of, made_with, methods
from rlbatch.analysis.metrics import METRICS
from rlbatch.analysis.plots import colours_of, ordered_colour
from rlbatch.analysis.recommend import overall, recommend
from rlbatch.analysis.table import Table, columns, confidence_line, shown
from rlbatch.analysis.tables import tables_of
from rlbatch.analysis.words import percent
from rlbatch.errors import InputError
from rlbatch.experiment import Experiment
from rlbatch.results import write_bytes

NAME = "report.html"
BEGINS = b"<!doctype html>\n<!-- rlbatch report -->"
"""How a page begins: no other file is replaced by one."""
_FOLDER = resources.files("rlbatch.analysis") / "page"


def write_report(found: Answer, figures: Sequence[Figure], path: Path) -> None:
    """Writes the page, whole or not at all.

    Raises:
        InputError: plotly or Jinja2 is not installed.
    """
    write_bytes(path, page(found, figures).encode())


def page(found: Answer, figures: Sequence[Figure]) -> str:
    """Returns the page; the same answer and its figures give the same page but for the time in its last section.

    Raises:
        InputError: plotly or Jinja2 is not installed.
    """
    try:
        import jinja2
        from plotly.offline import get_plotlyjs
    except ImportError as error:
        raise InputError("report", f"needs {error.name}", "pip install 'rlbatch[plots]'") from error
    library, program = get_plotlyjs(), (_FOLDER / "report.js").read_text(encoding="utf-8")
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    environment.filters["shown"] = shown
    template = environment.from_string((_FOLDER / "report.html").read_text(encoding="utf-8"))
    batches = _batches(figures)
    return template.render(
        # these come with rlbatch and plotly, and hold nothing of the runs
        style=_inside("style", (_FOLDER / "report.css").read_text(encoding="utf-8")),
        library=_inside("script", library),
        program=_inside("script", program),
        policy=f"script-src {_hash(library)} {_hash(program)}",
        data={"batches": batches, "figures": [_drawn(figure, batches) for figure in figures]},
        batches=[(batch, ordered_colour(place, len(batches))) for place, batch in enumerate(batches)],
        figures=list(enumerate(figures)),
        recommendations=list(zip((part.name for part in found.parts), recommend(found), strict=True)),
        together=overall(found),
        caveats=caveats(found),
        declared=_declared(found),
        tables=[table for table in tables_of(found) if table.rows],
        columns=columns,
        confidence=confidence_line(),
        methods=methods(found),
        found=found,
        outcomes=_outcomes(found),
        experiments=_experiments(found),
        version=__version__,
        made=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _batches(figures: Sequence[Figure]) -> list[int]:
    """Returns all batch sizes that figures show, in ascending order."""
    pictures = [picture for figure in figures for picture in figure.pictures]
    return sorted({batch for picture in pictures for batch in picture.batches if batch is not None})


def _drawn(figure: Figure, batches: Sequence[int]) -> dict[str, Any]:
    """Returns what the page's program needs to draw a figure."""
    return {
        "id": figure.name,
        "pictures": [
            {
                "kind": picture.kind,
                "title": picture.title,
                "choice": picture.choice,
                "x": picture.x_title,
                "y": picture.y_title,
                "colours": picture.colour_title,
                "log": picture.log_x,
                "logY": picture.log_y,
                "series": _series(picture, batches),
            }
            for picture in figure.pictures
        ],
    }


def _series(picture: Picture, batches: Sequence[int]) -> list[dict[str, Any]]:
    return [
        {
            "name": one.name,
            "batch": one.batch_size,
            "colour": colour,
            **{name: _short(getattr(one, name)) for name in ("x", "y", "low", "high")},
            "seeds": [_short(values) for values in one.seeds],
        }
        for one, colour in zip(picture.series, colours_of(picture.series, batches), strict=True)
    ]


def _short(values: Floats) -> list[float | None]:
    """Returns numbers with as many digits as can be seen; null for what is not known."""
    return [float(f"{value:.6g}") if math.isfinite(value) else None for value in values.tolist()]


def _declared(found: Answer) -> list[str]:
    """Returns what was declared before training, in words."""
    if not found.declared:
        return []
    arms = dict.fromkeys(", ".join(f"{name} {value}" for name, value in part.reference.items()) for part in found.parts)
    return [
        f"metric: {found.metric}, {METRICS[found.metric].about}",
        f"reference: {'; '.join(filter(None, arms)) or 'the batch size of the preset, as none was declared'}",
        f"margin: {percent(found.delta)} of the reference range",
    ]


def _outcomes(found: Answer) -> Table:
    """Returns how every planned run stands."""
    rows = [(run.path, run.status, run.reason) for run in found.comparison.runs]
    return Table("Outcomes of all runs", ("run", "status", "reason"), tuple(rows))


def _experiments(found: Answer) -> Sequence[dict[str, Any]]:
    """Returns of each experiment how often it was looked at, by which commands and with what it was made."""
    collected = found.comparison.collected
    told = []
    for path, plan in collected.plans.items():
        runs = [run for run in found.comparison.runs if path in run.experiments]
        looks, commands = looks_at(path, len(plan.runs)), Experiment(path).commands()
        made = {"made": made_with(runs), "commits": commits_of(runs)}
        told.append({"name": path.name, "looks": looks, "commands": commands, **made})
    return told


def _hash(script: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"


def _inside(element: str, text: str) -> Any:
    """Returns what stands in an element as markup; raises ValueError if it could end the element."""
    import markupsafe

    if f"</{element}" in text.lower():
        raise ValueError(f"a {element} holds its own end")
    return markupsafe.Markup(text)  # noqa: S704 - a file of ours or of plotly
