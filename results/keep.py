"""What is kept of an experiment that was run in full? A page of words, tables and figures, and one row per run.

python results/keep.py NAME FOLDER    reads the run folders of experiments/NAME.yaml below FOLDER, and writes into
                                      results/NAME: README.md, scores.csv and figures/
"""

from __future__ import annotations

import argparse
import csv
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from summaries import EXPERIMENTS, paragraph, table

from rlbatch.analysis.all_figures import figures_of
from rlbatch.analysis.answer import Answer, answer
from rlbatch.analysis.caveats import caveats
from rlbatch.analysis.comparison import compare
from rlbatch.analysis.methods import methods
from rlbatch.analysis.plots import save
from rlbatch.analysis.recommend import overall, recommend
from rlbatch.analysis.table import Table, confidence_line, shown
from rlbatch.analysis.tables import tables_of
from rlbatch.analysis.words import design_words
from rlbatch.errors import RlbatchError

RESULTS = Path(__file__).parent
SETTINGS = ("env", "design", "batch_size", "learning_rate", "seed", "run", "outcome")
SCORES = ("auc", "final", "best", "drawdown_max", "dispersion", "steps_to_75%", "steps_to_threshold")
"""Metrics of a run in scores.csv; one that an environment does not have is left empty."""
COLUMNS = (*SETTINGS, *SCORES)


def question_of(name: str) -> str:
    """Returns the question of an experiment: the first line of its file."""
    return (EXPERIMENTS / f"{name}.yaml").read_text(encoding="utf-8").splitlines()[0].lstrip("# ")


def page(name: str, found: Answer, figures: list[str]) -> str:
    """Returns README.md: the answer, the figures, the tables and the methods.

    Raises:
        ValueError: not every declared run has ended: nothing is kept of half an experiment. Or what is compared is not
            what was declared.
    """
    comparison = found.comparison
    if comparison.unfinished:
        raise ValueError(f"{len(comparison.unfinished)} runs of {name} are not finished")
    if not found.declared:
        raise ValueError(f"{name} is not as it was declared: {found.exploratory}")
    parts = [
        f"# {question_of(name)}\n",
        paragraph(f"""
            Declared before the runs in [experiments/{name}.yaml](../../experiments/{name}.yaml), trained by
            `rlbatch run {name}`, and written from its run folders by `results/keep.py`. These are not kept: once they
            are trained again, `rlbatch report` makes the page with interactive figures. [scores.csv](scores.csv) has
            one row for each run.
        """),
        "## Answer\n",
        *("\n".join(f"- {sentence}" for sentence in one.sentences) + "\n" for one in recommend(found)),
        *(f"- {sentence}\n" for sentence in (*overall(found), *caveats(found))),
        "## Figures\n",
        *(f"![{figure}](figures/{figure}.svg)\n" for figure in figures),
        "## Tables\n",
        paragraph(confidence_line() + "."),
        *(_markdown(one) for one in tables_of(found) if one.rows),
        "## Methods\n",
        paragraph(methods(found)),
    ]
    return "\n".join(parts)


def rows_of(found: Answer) -> Iterator[dict[str, object]]:
    """Yields each counted run with its settings that vary and its scores, and each that is missing with its outcome."""
    for scored in found.comparison.tasks:
        slices = [(design_words(one.fixed).lstrip(", "), one.cells) for one in scored.task.slices]
        for arm in scored.task.arms:
            there = [(design, cell) for design, cells in slices for cell, own in cells.items() if own.path == arm.path]
            settings = {
                "env": scored.task.name,
                "design": "; ".join(design for design, _ in there),
                "batch_size": arm.batch_size,
                "learning_rate": next((f"{rate:g}" for _, (_, rate) in there), None),
            }
            values = scored.arms[arm.path].values if arm.path in scored.arms else {}
            for number, run in enumerate(arm.counted):
                told = {name: f"{values[name][number]:.6g}" for name in SCORES if name in values}
                yield {**settings, "seed": run.seed, "run": run.path, "outcome": run.status, **told}
            for run in arm.missing:
                yield {**settings, "seed": run.seed, "run": run.path, "outcome": run.status}


def keep(name: str, folder: Path) -> Path:
    """Writes what is kept of an experiment; returns its folder.

    Raises:
        RlbatchError: like `compare`.
        ValueError: like `page`.
    """
    found = answer(compare([folder]))
    home = RESULTS / name
    figures = figures_of(found)
    pictures = [figure.pictures[0] for figure in figures]
    text = page(name, found, [picture.name for picture in pictures])
    home.mkdir(exist_ok=True)
    (home / "README.md").write_text(text, encoding="utf-8")
    with (home / "scores.csv").open("w", encoding="utf-8", newline="") as file:
        told = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        told.writeheader()
        told.writerows(rows_of(found))
    shutil.rmtree(home / "figures", ignore_errors=True)
    save(pictures, home / "figures", ("svg",))
    return home


def _markdown(one: Table) -> str:
    rows = [[shown(cell).replace("|", "\\|") for cell in row] for row in one.rows]
    lead = "".join(f"{line}\n\n" for line in one.lead)
    notes = "".join(f"- {note}\n" for note in one.notes)
    return f"### {one.title}\n\n{lead}{table(one.headings, rows)}" + (f"\n{notes}" if notes else "")


def main() -> None:
    """Keeps what the command line names; an error is one line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", help="of the experiment")
    parser.add_argument("folder", type=Path, help="of its runs")
    given = parser.parse_args()
    try:
        print(keep(given.name, given.folder))
    except (ValueError, OSError, RlbatchError) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
