"""How was it done, in one paragraph for a paper? Only what these runs and this comparison did."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from rlbatch.analysis import across, halves, redraws
from rlbatch.analysis.answer import Answer
from rlbatch.analysis.arms import Arm, Slice
from rlbatch.analysis.collect import Run
from rlbatch.analysis.intervals import CONFIDENCE
from rlbatch.analysis.metrics import METRICS
from rlbatch.analysis.words import percent

_PACKAGES = ("rlbatch", "torch", "stable_baselines3", "gymnasium", "numpy")
"""Whose versions a reader has to know."""


def methods(found: Answer) -> str:
    """Returns the paragraph."""
    arms = list({arm.path: arm for part in found.parts for arm in part.slice.cells.values()}.values())
    if not arms:
        return "No run has ended."
    said = [
        *_trained(found, arms),
        *_scales(found),
        *_runs(found, arms),
        f"Arms were compared by {METRICS[found.metric].about}. {_ways(found)}",
        "Intervals of means are Student's and those of differences Welch's; comparisons with the reference are "
        f"corrected by Holm's method (1979). Verdicts on the best arms use bounds of {CONFIDENCE:.0%} each that hold "
        "for all arms, the lower ones after Hsu (1984) and the upper ones after Tukey, both with Welch's errors, and "
        f"an equivalence margin of {percent(found.delta)} of the range. Intervals of interquartile means are "
        f"bootstrap-t ({across.RESAMPLES:,} resamples).",
        *_chosen(found),
    ]
    if found.together:
        said.append("Aggregates over environments weigh each alike; their resamples are stratified by environment.")
    if not found.declared:
        said.append(f"The comparison is exploratory, not as declared before training: {found.exploratory}.")
    return " ".join(said)


def made_with(runs: Iterable[Run]) -> str:
    """Returns with which versions and on which devices runs were trained, as far as they say."""
    many = list(runs)
    versions = [run.made.get("versions") for run in many]
    told = []
    for package in _PACKAGES:
        known = {str(one[package]) for one in versions if isinstance(one, dict) and one.get(package)}
        told += [f"{package.replace('_', '-')} {' and '.join(sorted(known))}"] if known else []
    devices = sorted({str(run.made["device"]) for run in many if run.made.get("device")})
    return ", ".join(told) + (f"; on {' and '.join(devices)}" if devices else "")


def commits_of(runs: Iterable[Run]) -> list[str]:
    """Returns the git commits of the working directories in which runs were trained."""
    return sorted({str(run.made["git_commit"]) for run in runs if run.made.get("git_commit")})


def _trained(found: Answer, arms: Sequence[Arm]) -> list[str]:
    """Returns what was trained, how, and how it was evaluated."""
    configs = [arm.config for arm in arms if arm.config is not None]
    slices = [part.slice for part in found.parts]
    algos = " and ".join(sorted({config.algo.upper() for config in configs}))
    networks = " and ".join(sorted({str(list(config.net_arch)) for config in configs}))
    engines = " and ".join(sorted({config.engine for config in configs}))
    envs = ", ".join(dict.fromkeys(part.scored.task.name for part in found.parts))
    rates = ", ".join(f"{rate:g}" for rate in sorted({rate for one in slices for rate in one.learning_rates}))
    rules = _labels(slices, "lr_rule")
    return [
        f"{algos} with networks {networks} and {_several(c.n_steps for c in configs)}-step returns was trained with "
        f"{made_with(run for arm in arms for run in arm.runs)} (engine {engines}, with the semantics of "
        f"Stable-Baselines3) in {envs} at batch sizes {_several(c.batch_size for c in configs)} and learning rates "
        f"{rates}{'' if rules == 'none' else f' before the rule {rules}'}, with equal "
        f"{_labels(slices, 'match')}, {_span([len(arm.counted) for arm in arms])} seeds per arm, "
        f"{_span([c.total_timesteps for c in configs])} env steps each.",
        f"The greedy policy was evaluated {_span([c.n_evaluations + 1 for c in configs])} times with "
        f"{_span([c.n_eval_episodes for c in configs])} episodes on fixed seeds.",
    ]


def _labels(slices: Sequence[Slice], name: str) -> str:
    """Returns the designs or rules of what is compared."""
    fixed = {str(one.fixed[name]) for one in slices if name in one.fixed}
    every = fixed or {str(labels[name]) for one in slices for arm in one.cells.values() for labels in arm.labels}
    return " or ".join(sorted(every))


def _scales(found: Answer) -> list[str]:
    said = []
    listed = [part.scored for part in found.parts if part.scaled and part.scored.scale.listed]
    if listed:
        ends = dict.fromkeys(f"{one.task.name} {one.scale.low:g} and {one.scale.high:g}" for one in listed)
        said.append(f"Scores are 0 at a listed low and 1 at a listed reference return: {'; '.join(ends)}.")
    own = [part.scored.task.name for part in found.parts if part.scaled and not part.scored.scale.listed]
    if own:
        said.append(
            f"In {', '.join(dict.fromkeys(own))} scores range from random play to the best three evaluations in a row "
            "of any run of the experiment."
        )
    return said


def _runs(found: Answer, arms: Sequence[Arm]) -> list[str]:
    """Returns what came of the runs that did not end well, and of those that are not there."""
    said = []
    if diverged := sum(len(arm.diverged) for arm in arms):
        said.append(f"Diverged runs ({diverged}) count with the lowest return from then on.")
    absent = len(found.comparison.missing) + len(found.comparison.unfinished)
    if absent:
        said.append(f"Of the planned runs {absent} failed for other reasons or are not finished, and are not counted.")
    return said


def _ways(found: Answer) -> str:
    """Returns how learning rates were treated, by the way that conclusions rest on."""
    words = dict.fromkeys(part.ways[0].words for part in found.parts)
    return f"Batch sizes were compared {'; '.join(words)}."


def _chosen(found: Answer) -> list[str]:
    """Returns how errors were got where learning rates were chosen."""
    if not any(way.tuned for part in found.parts for way in part.ways):
        return []
    return [
        f"Where each batch size has its own best learning rate, the seeds were parted into halves in up to "
        f"{halves.SPLITS} ways; squared standard errors are the variance over {redraws.RESAMPLES:,} resamples of "
        "choice and scores, and half of the variance between the ways; intervals of interquartile means are Student's "
        "there."
    ]


def _several(values: Iterable[int]) -> str:
    return ", ".join(str(value) for value in sorted(set(values)))


def _span(values: Sequence[Any]) -> str:
    low, high = min(values), max(values)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"
