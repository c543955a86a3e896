"""How is it told how often intervals cover? The page of `coverage.py`, from what that measured."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import NamedTuple

HEADLINE = "*"
SEEDS = (5, 10, 20, 40)
RESAMPLES = 400


class Levels(NamedTuple):
    """What the two halves of a table differ in: two values, and how the column heads name them."""

    values: tuple[float, float]
    heads: tuple[str, str]


FAILING = Levels((0.0, 0.2), ("", "20% failing, "))
_LOWER = Levels((0.0, 0.1), ("equal rates, ", "two 0.1 lower, "))
LEVELS = {
    "at_best_rates": _LOWER,
    "scores_at_best_rates": _LOWER,
    "unseen_failures": Levels((0.03, 0.13), ("deviation 0.03, ", "0.13, ")),
}
"""Parts that vary something else than the share of failing seeds."""
ERRORS = ("verdicts", "at_best_rates")
"""Parts that measure errors."""


class Cell(NamedTuple):
    """What was measured at one level and with one number of seeds: name -> in how many of the repeats."""

    repeats: int
    happened: dict[str, int]


Cells = dict[str, Cell]
"""Level (share of failing seeds) and number of seeds, such as 0.2/10 -> what was measured."""

TEXT = """# How often the intervals cover, and the verdicts err

Measured on made-up scores, whose truth is known. `python tests/analysis/coverage.py` measures all and writes this page.
It takes RESAMPLES resamples where the analysis takes 10,000. With 1,000 repeats a share of 95 % is known to within 1.4
percentage points, with 250 to within 2.8.

A score is that of one seed, on the scale where 0 is the environment's `low` and 1 its `reference`: normal with mean 0.8
and standard deviation 0.13 over seeds. Where 20 % of the seeds fail, those have 0.05 ± 0.03: five deviations below the
others. n is the number of seeds per arm, or per arm and environment.

## One environment

Coverage of 95 % intervals, in per cent. Headlines, marked with a star, are to cover 93 to 97 % from ten seeds on; what
does not is in bold.

TABLE one_environment
The mean of *one* arm of which a fifth of the seeds fail is covered too seldom with ten seeds, and so is its difference
from an arm that never fails: of ten such seeds none fails with a probability of 0.8^10 = 10.7 %, and then nothing in
the scores tells of it. An interval that did cover it would be as long for every arm that never fails. That is why the
share of failing seeds, with its own interval, stands beside a mean. Two arms that fail equally often are compared
without this error.

A quarter of n seeds is seldom a whole number: ⌊n/4⌋ are left out at each end of the interquartile mean (IQM), as in
rliable. With five seeds that leaves three.

## Five environments

Means of 0.9, 0.5, 0.7, 0.3 and 0.8, deviations of 0.13, 0.2, 0.1, 0.05 and 0.25.

TABLE several_environments
The median of five means is the mean of one environment, or of another: its error is known least, and its interval too
short.

## False verdicts

Shares in per cent of experiments with *any* false verdict, which is to be 5 % at most; what lies above that by more
than the error of measurement is in bold. delta is 0.1.

TABLE verdicts
## What verdicts and naive choices come to

Shares in per cent. A batch size that is dropped because it was the best in less than 5 % of resamples was often as good
as the others. A best rate that is scored by the seeds that chose it scores too high nearly always; half of the times
would be right.

TABLE chances
"""


class Kept:
    """What was measured last, part by part, in a file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        known = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        self.parts: dict[str, Cells] = {
            part: {name: Cell(**cell) for name, cell in cells.items()} for part, cells in known.items()
        }

    def put(self, part: str, level: float, n: int, cell: Cell) -> None:
        """Keeps one cell, in the place of an older one."""
        self.parts.setdefault(part, {})[f"{level:g}/{n}"] = cell
        self.path.parent.mkdir(exist_ok=True)
        plain = {part: {name: cell._asdict() for name, cell in cells.items()} for part, cells in self.parts.items()}
        self.path.write_text(json.dumps(plain, indent=1) + "\n", encoding="utf-8")


def page(kept: Kept) -> str:
    """Returns the page."""
    filled = TEXT.replace("RESAMPLES", f"{RESAMPLES:,}")
    for part in re.findall(r"^TABLE (\w+)$", TEXT, re.MULTILINE):
        measured = table(kept.parts.get(part, {}), LEVELS.get(part, FAILING), errors=part in ERRORS)
        filled = filled.replace(f"TABLE {part}\n", measured)
    return filled


def table(cells: Cells, levels: Levels = FAILING, *, errors: bool = False) -> str:
    """Returns a Markdown table in per cent, and the number of repeats.

    In bold is what is out of range: headlines below 93 or above 97 % from ten seeds on, and errors that lie above 5 %
    by more than two standard errors of the measurement.
    """
    if not cells:
        return "Not measured.\n\n"
    heads = [f"{head}n = {n}" if n == SEEDS[0] else f"{n}" for head in levels.heads for n in SEEDS]
    lines = ["| | " + " | ".join(heads) + " |", "|---|" + "---:|" * len(heads)]
    for name in dict.fromkeys(name for cell in cells.values() for name in cell.happened):
        row = []
        for n, cell in ((n, cells.get(f"{level:g}/{n}")) for level in levels.values for n in SEEDS):
            if cell is None or name not in cell.happened:
                row.append("")
                continue
            share = cell.happened[name] / cell.repeats
            outside = n >= 10 and name.startswith(HEADLINE) and not 0.93 <= share <= 0.97
            above = (
                errors
                and not name.endswith("for comparison")
                and share > 0.05 + 2 * math.sqrt(0.05 * 0.95 / cell.repeats)
            )
            row.append(f"**{100 * share:.1f}**" if outside or above else f"{100 * share:.1f}")
        lines.append(f"| {name.replace(HEADLINE, '★ ')} | " + " | ".join(row) + " |")
    counts = [cell.repeats for cell in cells.values()]
    repeats = " to ".join(f"{count:,}" for count in sorted({min(counts), max(counts)}))
    return "\n".join(lines) + f"\n\n{repeats} repeats.\n\n"
