"""How is it told how often intervals cover? The page of `coverage.py`, from what that measured."""

from __future__ import annotations

import json
import math
from pathlib import Path

HEADLINE = "*"
SAFE = {f"{failing:g}/{n}": n >= 10 for failing in (0.0, 0.2) for n in (5, 10, 20, 40)}
"""Cell of a table, share of failing seeds and number of seeds -> whether a headline is held to its range there."""
Measured = dict[str, dict[str, float]]
"""What was measured -> cell -> share of the repeats in which it happened."""
TEXT = """# How often the intervals cover, and the verdicts err

Measured on made-up scores, whose truth is known, with REPEATS repeats each: a share of 95 % is known to within about
1 percentage point. `python tests/analysis/coverage.py` measures all and writes this page. It takes RESAMPLES resamples
where the analysis takes 10,000.

A score is that of one seed, on the scale where 0 is the environment's `low` and 1 its `reference`: normal with mean 0.8
and standard deviation 0.13 over seeds. Where 20 % of the seeds fail, those have 0.05 ± 0.03: five deviations below the
others. n is the number of seeds per arm, or per arm and environment.

## One environment

Coverage of 95 % intervals, in per cent. Headlines, marked with a star, are to cover 93 to 97 % from ten seeds on; what
does not is in bold.

TABLE one_environment
The mean of *one* arm of which a fifth of the seeds fail is not covered with ten seeds, and so neither is its difference
from an arm that never fails: of ten such seeds none fails with a probability of 0.8^10 = 10.7 %, and then nothing in
the scores tells of it. An interval that did cover it would be as long for every arm that never fails. That is why the
share of failing seeds, with its own interval, stands beside a mean. Two arms that fail equally often are compared
without this error.

A quarter of n seeds is seldom a whole number: ⌊n/4⌋ are left out at each end of the interquartile mean (IQM), as in
rliable. With five seeds that leaves three.

## Five environments

Means of 0.9, 0.5, 0.7, 0.3 and 0.8, deviations of 0.13, 0.2, 0.1, 0.05 and 0.25.

TABLE several_environments
The median of five means is the mean of one environment, or of another: its error is known least.

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
        self.parts: dict[str, Measured] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}

    def put(self, part: str, measured: Measured) -> None:
        """Keeps one part, in the place of an older one."""
        self.parts[part] = measured
        self.path.parent.mkdir(exist_ok=True)
        self.path.write_text(json.dumps(self.parts, indent=1) + "\n", encoding="utf-8")


def page(kept: Kept, repeats: int, resamples: int) -> str:
    """Returns the page, whose numbers in words are those of its tables."""
    limit = 0.05 + 2 * math.sqrt(0.05 * 0.95 / repeats)
    filled = TEXT.replace("REPEATS", f"{repeats:,}").replace("RESAMPLES", f"{resamples:,}")
    for part, measured in kept.parts.items():
        filled = filled.replace(f"TABLE {part}\n", table(measured, limit if part == "verdicts" else None))
    return filled


def table(measured: Measured, limit: float | None = None) -> str:
    """Returns a Markdown table in per cent, what is outside its range in bold.

    The range of a headline is 93 to 97 % from ten seeds on; that of an error has an upper `limit`.
    """
    heads = ["n = 5", "10", "20", "40", "20 % failing, n = 5", "10", "20", "40"]
    lines = ["| | " + " | ".join(heads) + " |", "|---|" + "---:|" * len(heads)]
    for name, shares in measured.items():
        row = []
        for cell, held in SAFE.items():
            share = shares.get(cell)
            if share is None:
                row.append("")
                continue
            outside = held and name.startswith(HEADLINE) and not 0.93 <= share <= 0.97
            above = limit is not None and share > limit
            row.append(f"**{100 * share:.1f}**" if outside or above else f"{100 * share:.1f}")
        lines.append(f"| {name.replace(HEADLINE, '★ ')} | " + " | ".join(row) + " |")
    return "\n".join(lines) + "\n"
