"""How was it done, in one paragraph for a paper? Only what these runs and this comparison did."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rlbatch import __version__
from rlbatch.analysis import across, redraws
from rlbatch.analysis.answer import Answer
from rlbatch.analysis.arms import Arm
from rlbatch.analysis.intervals import CONFIDENCE
from rlbatch.analysis.metrics import METRICS


def methods(found: Answer) -> str:
    """Returns the paragraph."""
    arms = list({arm.path: arm for part in found.parts for arm in part.slice.cells.values()}.values())
    configs = [arm.config for arm in arms if arm.config is not None]
    if not configs:
        return "No run was begun."
    first = configs[0]
    envs = ", ".join(dict.fromkeys(part.scored.task.name for part in found.parts))
    algos = " and ".join(sorted({config.algo.upper() for config in configs}))
    networks = " and ".join(sorted({str(list(config.net_arch)) for config in configs}))
    said = [
        f"{algos} with networks {networks} was trained with rlbatch {__version__} (engine {first.engine}, with the "
        f"semantics of Stable-Baselines3) in {envs} at batch sizes {_several(c.batch_size for c in configs)}, "
        f"{_span([len(arm.counted) for arm in arms])} seeds per arm, {_span([c.total_timesteps for c in configs])} env "
        f"steps each. The greedy policy was evaluated {first.n_evaluations + 1} times with {first.n_eval_episodes} "
        f"episodes on fixed seeds. Arms were compared by {METRICS[found.metric].about}.",
        *_scales(found),
        *_runs(found, arms),
        _ways(found),
        "Intervals of means are Welch's; comparisons with the reference are corrected by Holm's method; verdicts on "
        f"the best arms use simultaneous {CONFIDENCE:.0%} bounds (Hsu's comparison with the best; equivalence margin "
        f"{found.delta:.0%} of the range). Intervals of interquartile means are bootstrap-t ({across.RESAMPLES:,} "
        "resamples).",
        *_chosen(found),
    ]
    if found.together:
        said.append("Aggregates over environments weigh each alike; their resamples are stratified by environment.")
    if not found.declared:
        said.append(f"The comparison is exploratory, not as declared before training: {found.exploratory}.")
    return " ".join(said)


def _scales(found: Answer) -> list[str]:
    own = [part.scored.task.name for part in found.parts if part.scaled and not part.scored.scale.listed]
    if not own:
        return []
    return [
        f"In {', '.join(dict.fromkeys(own))} scores range from random play to the best three evaluations in a row of "
        "any run of the experiment."
    ]


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
        "Where each batch size has its own best learning rate, a standard error is the standard deviation over "
        f"{redraws.RESAMPLES:,} resamples of choice and scores, and intervals of interquartile means are Student's."
    ]


def _several(values: Iterable[int]) -> str:
    return ", ".join(str(value) for value in sorted(set(values)))


def _span(values: Sequence[int]) -> str:
    low, high = min(values), max(values)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"
