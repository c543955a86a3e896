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
    "effects_at_best_rates": _LOWER,
    "unseen_failures": Levels((0.03, 0.13), ("deviation 0.03, ", "0.13, ")),
    "critical_batch": Levels((0.2, 0.4), ("deviation 0.2, ", "0.4, ")),
    "power_law": Levels((0.03, 0.13), ("deviation 0.03, ", "0.13, ")),
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
percentage points, with 500 to within 1.9, with 250 to within 2.8.

What to know before reading a table of `rlbatch compare`:

- **The mean in its first column is not covered as often as it says where seeds fail.** With 20 % failing and ten seeds
  its 95 % interval holds the true mean in 88.8 % of experiments, with five in 82.7 %. Look at how many seeds failed.
- **"Equivalent" cannot know of failures that no seed showed**: see "Failures that were not seen".
- Each batch size at its own best rate: the error of choosing the rate is in every interval, and errs on the safe side.

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
rliable. With five seeds that leaves three. Where many scores are equal, as at the end of a scale, ranks bound it; with
five seeds its interval is too short there.

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
## Each batch size at its own best rate

Three rates, of which two score as high as the best one or 0.1 lower, the same for all batch sizes, which are therefore
equal. Rates are chosen on halves of the seeds and scored on the others, over all ways to halve them, or 126 of more
than ten. The scores that come of it are not independent of each other; where they are taken for such, verdicts err as
the lines "for comparison" say. So the error of the choice is measured by drawing seeds anew, choosing again and scoring
again, with half of the variance between the ways to halve them added.

Shares in per cent of experiments with *any* false verdict, which is to be 5 % at most:

TABLE at_best_rates
Coverage of 95 % intervals, in per cent, of what such a score is on average. It is to be 95 % at least: most intervals
are longer than they need be.

TABLE scores_at_best_rates
The same of effects: of five equal batch sizes, under two designs. The best rate is known up to the steps at which rates
were tried; its interval contains these, and is longer than it need be here.

TABLE effects_at_best_rates
## The advantage of the batch size that half of the seeds choose

Coverage of its 95 % interval, in per cent. Under five seeds there is none. The deviation of the scores is 0.13.

TABLE advantage
It errs on the safe side where arms are alike, and is too short where, with a fifth of the seeds failing, it is not seen
in ten seeds which arm fails less, or nearly all halves choose the same arm.

## Failures that were not seen

Two arms have a mean of 0.75 where their seeds do not fail. One never fails; of the other, a fifth of the seeds score 0,
so that it is 0.15 below. delta is 0.1. Shares in per cent:

TABLE unseen_failures
Nearly all false verdicts are those of experiments in which no seed failed. No rule on the scores can tell them apart
from experiments with an arm that never fails: to doubt every arm without a failure would, where a failure costs 0.75,
call none "equivalent" under 25 seeds. The same holds, with the same numbers, of successes that were not seen: of an arm
of which a fifth of the seeds learns, beside one that never does. So the verdict stands, and the share of failed seeds,
with its interval, is told beside it (`failures` in `rlbatch compare --json`).

## Steps to a threshold

Coverage of 95 % intervals, in per cent, of the probability and the restricted mean; nothing told of a probability
counts as covered. The median has no interval; a half of the times above the true one would be right, and it is above
also where it is not reached. A run goes on up to a moment anywhere in its budget.

TABLE times
## The critical batch size

Samples are held fixed, and batch B takes a tenth of the budget times (1 + B / B_crit) in env steps, at seven batch
sizes from 8 to 512, at the better of two rates; the deviation is that of the logarithm over seeds. Shares in per cent
of experiments:

TABLE critical_batch
## The power law of the best batch size

The best batch size is 50 times the replay ratio to the power of -0.5, at four ratios from 1/4 to 2; a score falls by
0.03 times the square of the doublings from there, at seven batch sizes from 8 to 512 and the better of two rates. The
interval contains that an optimum is known up to the steps between batch sizes, and is longer than it need be. Shares in
per cent of experiments:

TABLE power_law
## Not measured

Verdicts on stability, and the interquartile mean and optimality gap over environments where each batch size has its own
best rate. They are made like those above.
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
