"""Does the stacked engine learn what Stable-Baselines3 learns? The answer, from run folders or from scores.csv.

python results/sb3_parity/summarise.py results/sb3_parity-*    reads run folders, then writes scores.csv and README.md
python results/sb3_parity/summarise.py                         writes README.md from scores.csv alone

Rows of run folders replace those of the same runs in scores.csv; the others stay. The rule is declared in
experiments/sb3_parity.yaml.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from rlbatch.analysis.intervals import Interval, difference_of, equivalent
from rlbatch.environments import listed
from rlbatch.experiment_file import settings_of

sys.path.insert(0, str(Path(__file__).parents[1]))
from summaries import (
    Key,
    Row,
    Settings,
    Standing,
    declaration,
    normalised,
    number,
    paragraph,
    recorded,
    reference_range,
    run_script,
    spans,
    standing,
    table,
    update_scores,
)

KEY = ("env", "engine", "seed")
COLUMNS = (*KEY, "outcome", "auc", "return_mean")
FIRST, REPEAT = "first", "repeat"


class Comparison(NamedTuple):
    """The two engines in one environment.

    Attributes:
        env_id: the environment.
        part: first or repeat.
        engines: the engine compared, then the reference.
        standing: of all declared runs of both engines.
        interval: of the difference of mean areas in units of return; None with fewer than two runs of an engine.
        margin: the largest difference that counts as none, in units of return.
    """

    env_id: str
    part: str
    engines: tuple[str, str]
    standing: Standing
    interval: Interval | None
    margin: float

    @property
    def verdict(self) -> str:
        """The answer by the declared rule."""
        if self.standing.missing or self.interval is None:
            return "incomplete"
        return "equivalent" if equivalent(self.interval, self.margin) else "not shown"

    def areas(self, engine: str) -> list[float]:
        """Returns the areas of one engine's runs, in units of return."""
        return _areas(self.standing, engine)


def summarise(folders: Sequence[Path], home: Path) -> str:
    """Writes scores.csv (from the folders, if any) and README.md into `home`; returns the README.

    Raises:
        ValueError: there are no scores, a folder is not there, or two hold the same run.
        RlbatchError: a run folder cannot be read.
    """
    document = declaration("sb3_parity")
    declared = [run for runs in declared_parts(document).values() for run in runs]
    found = [
        {"env": run["env_id"], "engine": run["engine"], "seed": run["seed"], "outcome": status}
        | {"auc": final.get("auc"), "return_mean": final.get("return_mean")}
        for run, status, final in recorded(folders, declared)
    ]
    text = report(update_scores(home / "scores.csv", COLUMNS, KEY, found), document)
    (home / "README.md").write_text(text, encoding="utf-8")
    return text


def declared_parts(document: Mapping[str, Any]) -> dict[str, list[Settings]]:
    """Returns the settings of the declared runs: those of the first comparison, and those of a repeat."""
    repeat = []
    for engine, seeds in document["analysis"]["repeat"].items():
        changed = {field: value for field, value in document.items() if field != "exclude"}
        repeat += settings_of(changed | {"engine": engine, "seeds": seeds})
    return {FIRST: settings_of(document), REPEAT: repeat}


def comparisons(rows: Sequence[Row], document: Mapping[str, Any]) -> list[Comparison]:
    """Returns the first comparison of every environment, and the repeat of those where one was begun."""
    analysis = document["analysis"]
    engines = (analysis["compare"]["engine"], analysis["reference"]["engine"])
    made = []
    for part, runs in declared_parts(document).items():
        for env_id in document["envs"]:
            declared = [(run["env_id"], run["engine"], run["seed"]) for run in runs if run["env_id"] == env_id]
            come = standing(rows, KEY, declared)
            if part == REPEAT and not come.areas and set(come.missing.values()) == {"no record"}:
                continue
            samples = [_areas(come, engine) for engine in engines]
            enough = all(len(sample) > 1 for sample in samples)
            interval = difference_of(*samples).interval(1 - 2 * analysis["alpha"]) if enough else None
            margin = analysis["margin"] * reference_range(env_id)
            made.append(Comparison(env_id, part, engines, come, interval, margin))
    return made


def report(rows: Sequence[Row], document: Mapping[str, Any]) -> str:
    """Returns the README: the verdicts, then the numbers of every environment."""
    made, analysis = comparisons(rows, document), document["analysis"]
    level, side = f"{100 * (1 - 2 * analysis['alpha']):g} %", f"{100 * analysis['alpha']:g} %"
    compared, reference = made[0].engines
    verdicts = [(c.env_id, c.part, _span(c.interval, 3, reference_range(c.env_id)), f"**{c.verdict}**") for c in made]
    parts = [
        "# Does the stacked engine learn what Stable-Baselines3 learns?\n",
        paragraph("""
            The question, the settings, the commands and the rule were declared before the runs, in
            [experiments/sb3_parity.yaml](../../experiments/sb3_parity.yaml). This page is written by `summarise.py`
            from `scores.csv`.
        """),
        paragraph(f"""
            Compared is the area under the evaluation curve: the mean of {compared} minus the mean of {reference}, with
            Welch's {level} t interval. *Equivalent*: the interval lies within ±{100 * analysis["margin"]:g} % of the
            environment's reference range, which is two one-sided tests at {side} each (Schuirmann 1987). *Not shown*:
            it does not, which does not say that the engines differ. *Incomplete*: declared runs are missing, and
            nothing is decided. Normalised scores are 0 at the environment's `low` and 1 at its `reference`.
        """),
        table(("environment", "result", f"{level} interval, normalised", "verdict"), verdicts),
    ]
    for comparison in made:
        budget = document["overrides"][comparison.env_id]["total_timesteps"]
        repeat = ": the repeat" if comparison.part == REPEAT else ""
        parts.append(f"## {comparison.env_id}, {budget:,} env steps{repeat}\n")
        parts += _section(comparison, level)
    return "\n".join(parts)


def _section(made: Comparison, level: str) -> list[str]:
    """Returns the numbers of one comparison: the engines, their difference, and what diverged or is missing."""
    scale = reference_range(made.env_id)
    difference = []
    for unit, size, digits in (("return", 1.0, 1), ("normalised", scale, 3)):
        point = number(made.interval and made.interval.estimate / size, digits)
        difference.append((unit, point, _span(made.interval, digits, size), f"±{number(made.margin / size, digits)}"))
    parts = [
        table(
            ("engine", "runs", "mean area", "SD", "mean, normalised", "SD, normalised"),
            [_side(made, engine) for engine in made.engines],
        ),
        table((" − ".join(made.engines), "difference", f"{level} interval", "margin"), difference),
        f"Verdict: **{made.verdict}**.\n",
    ]
    if made.standing.diverged:
        low = listed()[made.env_id].low
        parts.append(paragraph(f"Diverged, each counted with an area of {low:g}: {_named(made.standing.diverged)}."))
    for reason in sorted(set(made.standing.missing.values())):
        runs = [run for run, why in made.standing.missing.items() if why == reason]
        parts.append(paragraph(f"Missing, {reason}, {len(runs)} in number: {_named(runs)}."))
    return parts


def _side(made: Comparison, engine: str) -> tuple[str, ...]:
    """Returns one engine's row: how many runs, mean and standard deviation, both also normalised."""
    areas, scale = made.areas(engine), reference_range(made.env_id)
    declared = sum(run[1] == engine for run in (*made.standing.areas, *made.standing.missing))
    mean = float(np.mean(areas)) if areas else None
    deviation = float(np.std(areas, ddof=1)) if len(areas) > 1 else None
    share = None if mean is None else normalised(made.env_id, mean)
    spread = None if deviation is None else deviation / scale
    cells = (number(mean, 1), number(deviation, 1), number(share, 3), number(spread, 3))
    return (engine, f"{len(areas)} of {declared}", *cells)


def _areas(come: Standing, engine: str) -> list[float]:
    return [area for run, area in come.areas.items() if run[1] == engine]


def _named(runs: Sequence[Key]) -> str:
    engines = sorted({run[1] for run in runs})
    return "; ".join(f"{engine} seeds {spans(run[2] for run in runs if run[1] == engine)}" for engine in engines)


def _span(interval: Interval | None, digits: int, unit: float) -> str:
    """Returns the ends of an interval, in multiples of a unit."""
    return (
        "-" if interval is None else f"[{number(interval.low / unit, digits)}, {number(interval.high / unit, digits)}]"
    )


if __name__ == "__main__":
    run_script(__doc__, functools.partial(summarise, home=Path(__file__).parent))
