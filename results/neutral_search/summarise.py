"""Which learning rates should the preset `neutral` have? The answer, from run folders or from scores.csv.

python results/neutral_search/summarise.py results/neutral_search-* results/neutral_confirm-*
    reads run folders, then writes scores.csv and README.md
python results/neutral_search/summarise.py
    writes README.md from scores.csv alone

Rows of run folders replace those of the same runs in scores.csv; the others stay. The rule is declared in
experiments/neutral_search.yaml. The second search, for DQN alone, has its own folder, and a script that calls this one.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from rlbatch.analysis.intervals import mean_of
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
    run_script,
    spans,
    standing,
    table,
    update_scores,
)

KEY = ("part", "env", "learning_rate", "batch_size", "seed")
COLUMNS = (*KEY, "outcome", "auc", "return_mean", "best", "steps_to_threshold")
SEARCH, CONFIRM = "search", "confirm"


class Choice(NamedTuple):
    """What the search says about one algorithm.

    Attributes:
        envs: the algorithm's environments.
        standing: of the declared runs.
        scores: (environment, rate, batch size, seed) -> normalised area.
        ranking: rates, the highest mean score over environments, batch sizes and seeds first; at a tie the smaller.
        rate: the first of them; None while declared runs are missing.
    """

    envs: list[str]
    standing: Standing
    scores: dict[Key, float]
    ranking: list[float]
    rate: float | None


class Confirmation(NamedTuple):
    """How one rate did on fresh seeds in one environment.

    Attributes:
        env_id: the environment.
        rate: the learning rate.
        standing: of the declared runs.
        final: return of each run's last evaluation; the environment's `low` for one that diverged.
        reached: how many runs reached the threshold.
        touched: how many had an evaluation at or above it; None where the table does not know.
        expected: what was declared, in words.
        as_expected: whether that came true.
    """

    env_id: str
    rate: float
    standing: Standing
    final: list[float]
    reached: int
    touched: int | None
    expected: str
    as_expected: bool


def summarise(folders: Sequence[Path], home: Path, name: str = "neutral_search") -> str:
    """Writes scores.csv (from the folders, if any) and README.md into `home`; returns the README.

    Args:
        folders: hold runs.
        home: where the files stand.
        name: of the experiment.

    Raises:
        ValueError: there are no scores, a folder is not there, or two hold the same run.
        RlbatchError: a run folder cannot be read.
    """
    document = declaration(name)
    parts = declared_parts(document)
    found = [
        dict(zip(KEY, _name(SEARCH if run in parts[SEARCH] else CONFIRM, run), strict=True))
        | {"outcome": status, **{column: final.get(column) for column in ("auc", "return_mean", "best")}}
        | {"steps_to_threshold": _steps(final.get("steps_to_threshold"))}
        for run, status, final in recorded(folders, [*parts[SEARCH], *parts[CONFIRM]])
    ]
    text = report(update_scores(home / "scores.csv", COLUMNS, KEY, found), document)
    (home / "README.md").write_text(text, encoding="utf-8")
    return text


def declared_parts(document: Mapping[str, Any]) -> dict[str, list[Settings]]:
    """Returns the settings of the declared runs: the search, and the confirmation at whichever rate was chosen."""
    confirm = document["analysis"]["confirm"]
    overrides = {
        env_id: document.get("overrides", {}).get(env_id, {}) | {"total_timesteps": steps}
        for env_id, steps in confirm["total_timesteps"].items()
    }
    changed = {"seeds": confirm["seeds"], "batch_size": confirm["batch_size"], "overrides": overrides}
    return {SEARCH: settings_of(document), CONFIRM: settings_of({**document, **changed})}


def choose(rows: Sequence[Row], document: Mapping[str, Any], algo: str) -> Choice:
    """Returns the choice of one algorithm's learning rate, by the declared rule."""
    envs = [env_id for env_id in document["envs"] if listed()[env_id].algo == algo]
    declared = [_name(SEARCH, run) for run in declared_parts(document)[SEARCH] if run["env_id"] in envs]
    come = standing(rows, KEY, declared)
    scores = {run[1:]: normalised(run[1], area) for run, area in come.areas.items()}
    rates = [rate for rate in document["learning_rate"] if by_seed(scores, rate=rate)]
    ranking = sorted(rates, key=lambda rate: (-float(np.mean(list(by_seed(scores, rate=rate).values()))), rate))
    return Choice(envs, come, scores, ranking, None if come.missing else ranking[0])


def by_seed(
    scores: Mapping[Key, float], *, env_id: str | None = None, rate: float | None = None, batch: int | None = None
) -> dict[int, float]:
    """Returns seed -> mean score over the runs of an environment, a rate and a batch size, or over all where not given.

    Runs that share a seed share their random numbers, so that a standard error is one over seeds, not over runs.
    """
    wanted = (env_id, rate, batch)
    runs: dict[int, list[float]] = {}
    for (*settings, seed), score in scores.items():
        if all(want in (None, value) for want, value in zip(wanted, settings, strict=True)):
            runs.setdefault(seed, []).append(score)
    return {seed: float(np.mean(values)) for seed, values in runs.items()}


def confirmations(rows: Sequence[Row], document: Mapping[str, Any], rates: Mapping[str, float]) -> list[Confirmation]:
    """Returns the confirmation of each environment's rate, where one is chosen, and of any other rate that has runs.

    Args:
        rows: the score table.
        document: the declaration.
        rates: environment -> chosen rate.
    """
    confirm, made = document["analysis"]["confirm"], []
    known = {tuple(row[column] for column in KEY): row for row in rows}
    runs = [_name(CONFIRM, run) for run in declared_parts(document)[CONFIRM]]
    for env_id in document["envs"]:
        for rate in document["learning_rate"]:
            declared = [run for run in runs if run[1:3] == (env_id, rate)]
            if rate != rates.get(env_id) and not any(run in known for run in declared):
                continue
            come, low = standing(rows, KEY, declared), listed()[env_id].low
            final = [low if run in come.diverged else known[run]["return_mean"] for run in come.areas]
            reached = sum(known[run]["steps_to_threshold"] not in ("", "never") for run in come.areas)
            if env_id in confirm["reach_threshold"]:
                share = confirm["reach_threshold"][env_id]
                expected, came = f"threshold in more than {share:.0%} of seeds", reached > share * len(declared)
            else:
                least = confirm["return_mean"][env_id]
                expected, came = f"mean return ≥ {least:g}", bool(final) and float(np.mean(final)) >= least
            touched = _touched([known[run] for run in come.areas], env_id)
            made.append(Confirmation(env_id, rate, come, final, reached, touched, expected, came))
    return made


def report(rows: Sequence[Row], document: Mapping[str, Any]) -> str:
    """Returns the README: the chosen rates, the scores behind them, and the confirmation."""
    algos = dict.fromkeys(listed()[env_id].algo for env_id in document["envs"])
    choices = {algo: choose(rows, document, algo) for algo in algos}
    headings = ("algorithm", "chosen rate", "mean score", "next best rate", "ahead of it by", "at the edge of the grid")
    parts = [
        "# Which learning rates should the preset `neutral` have?\n",
        paragraph(f"""
            The question, the settings, the commands and the rule were declared before the runs, in
            [experiments/{document["name"]}.yaml](../../experiments/{document["name"]}.yaml). This page is written by
            `summarise.py` from `scores.csv`.
        """),
        paragraph("""
            A score is the area under the evaluation curve, normalised: 0 is the environment's `low`, 1 its `reference`.
            Chosen is the rate with the highest mean over batch sizes, seeds and the algorithm's environments. After
            each mean stands its standard error over seeds.
        """),
        table(headings, [_chosen(algo, choice, document["learning_rate"]) for algo, choice in choices.items()]),
    ]
    for algo, choice in choices.items():
        parts += _search(algo, choice, document)
    rates = {env_id: choice.rate for choice in choices.values() for env_id in choice.envs if choice.rate is not None}
    return "\n".join([*parts, *_confirmed(confirmations(rows, document, rates), rates, document)])


def _chosen(algo: str, choice: Choice, grid: Sequence[float]) -> tuple[str, ...]:
    """Returns the row of an algorithm's chosen rate."""
    if choice.rate is None:
        return (algo, f"none yet: {len(choice.standing.missing)} runs are missing", "-", "-", "-", "-")
    best, second = (by_seed(choice.scores, rate=rate) for rate in choice.ranking[:2])
    ahead = {seed: score - second[seed] for seed, score in best.items()}
    edge = "**yes**" if choice.rate in (min(grid), max(grid)) else "no"
    return (algo, f"**{choice.rate:g}**", _mean(best), f"{choice.ranking[1]:g}", _mean(ahead), edge)


def _search(algo: str, choice: Choice, document: Mapping[str, Any]) -> list[str]:
    """Returns the scores of one algorithm: over its environments, then in each, rates by batch sizes."""
    batches = document["batch_size"]
    headings = ("learning rate", *(f"batch {batch}" for batch in batches), "mean")
    parts = []
    for env_id in (None, *choice.envs) if len(choice.envs) > 1 else choice.envs:
        parts.append(f"## {algo}, {env_id or 'mean of ' + ', '.join(choice.envs)}\n")
        of = functools.partial(by_seed, choice.scores, env_id=env_id)
        rows = [
            (f"{rate:g}", *(_mean(of(rate=rate, batch=batch)) for batch in batches), _mean(of(rate=rate)))
            for rate in document["learning_rate"]
        ]
        parts.append(table(headings, rows))
    return parts + _told(choice.standing)


def _confirmed(made: Sequence[Confirmation], rates: Mapping[str, float], document: Mapping[str, Any]) -> list[str]:
    """Returns the part on the confirmation runs."""
    confirm = document["analysis"]["confirm"]
    parts = [
        f"## Confirmation on fresh seeds, at batch {confirm['batch_size']}\n",
        paragraph("""
            The winner of a comparison looks better than it is, so the chosen rates are trained again, with the preset's
            whole budget. A threshold counts as reached where `steps_to_threshold` is a number; in brackets stands,
            where that was kept, in how many runs a single evaluation was at or above it. After each mean stands, in
            brackets, the standard deviation over seeds.
        """),
    ]
    if not any(c.standing.areas or set(c.standing.missing.values()) != {"no record"} for c in made):
        return [*parts, "No confirmation run is there yet.\n"]
    rows = []
    for c in made:
        areas = [normalised(c.env_id, area) for area in c.standing.areas.values()]
        declared = len(areas) + len(c.standing.missing)
        has_threshold = c.env_id in confirm["reach_threshold"]
        reached = f"{c.reached} of {len(areas)}" if has_threshold else "-"
        if has_threshold and c.touched is not None:
            reached += f" ({c.touched})"
        verdict = "**yes**" if c.as_expected else "**no**"
        if c.standing.missing:
            verdict = "incomplete"
        if c.rate != rates.get(c.env_id):
            verdict = "not the chosen rate"
        cells = (reached, _spread(c.final, 1), _spread(areas, 3), c.expected, verdict)
        budget = f"{confirm['total_timesteps'][c.env_id]:,}"
        rows.append((c.env_id, budget, f"{c.rate:g}", f"{len(areas)} of {declared}", *cells))
    headings = ("environment", "env steps", "learning rate", "runs", "reached the threshold", "last return")
    parts.append(table((*headings, "normalised area", "expected", "as expected"), rows))
    return parts + [line for c in made for line in _told(c.standing)]


def _told(come: Standing) -> list[str]:
    """Returns what diverged and what is missing, by name."""
    reasons = {run: "Diverged, counted with the environment's `low`" for run in come.diverged}
    reasons |= {run: f"Missing, {why}" for run, why in come.missing.items()}
    groups: dict[Key, list[int]] = {}
    for (part, *arm, seed), reason in sorted(reasons.items(), key=lambda item: (item[1], item[0])):
        groups.setdefault((reason, part, *arm), []).append(seed)
    lines = [
        f"- {reason}: {part}, {env_id}, rate {rate:g}, batch {batch}, seeds {spans(seeds)}.\n"
        for (reason, part, env_id, rate, batch), seeds in groups.items()
    ]
    return ["".join(lines)] if lines else []


def _touched(rows: Sequence[Row], env_id: str) -> int | None:
    """Returns in how many runs an evaluation was at or above the threshold; None where a best one was not kept."""
    threshold, best = listed()[env_id].threshold, [row.get("best") for row in rows]
    if threshold is None or None in best:
        return None
    return sum(value >= threshold for value in best if value is not None)


def _name(part: str, run: Settings) -> Key:
    return (part, run["env_id"], run["learning_rate"], run["batch_size"], run["seed"])


def _steps(value: float | str | None) -> str:
    """Returns env steps until the threshold as a cell: a number, "never", or empty without a threshold."""
    return "" if value is None else str(value) if isinstance(value, str) else f"{value:.0f}"


def _mean(scores: Mapping[int, float]) -> str:
    """Returns the mean over seeds with its standard error."""
    if not scores:
        return "-"
    mean = mean_of(list(scores.values()))
    return f"{number(mean.value, 3)} ± {number(mean.error, 3)}"


def _spread(values: Sequence[float], digits: int) -> str:
    """Returns the mean of values with their standard deviation."""
    if not values:
        return "-"
    deviation = float(np.std(values, ddof=1)) if len(values) > 1 else None
    return f"{number(float(np.mean(values)), digits)} ({number(deviation, digits)})"


if __name__ == "__main__":
    run_script(__doc__, functools.partial(summarise, home=Path(__file__).parent))
