"""How was it done, in one paragraph for a paper? Only what these runs and this comparison did."""

from __future__ import annotations

from rlbatch import __version__
from rlbatch.analysis.answer import Answer
from rlbatch.analysis.metrics import METRICS
from rlbatch.analysis.redraws import RESAMPLES


def methods(found: Answer) -> str:
    """Returns the paragraph."""
    arms = [arm for part in found.parts for arm in part.slice.cells.values() if arm.config is not None]
    configs = [arm.config for arm in arms if arm.config is not None]
    if not configs:
        return "No run was begun."
    envs = ", ".join(dict.fromkeys(part.scored.task.env_id for part in found.parts))
    algos = " and ".join(sorted({config.algo.upper() for config in configs}))
    counts = sorted({len(arm.counted) for arm in arms})
    seeds = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    steps = sorted({config.total_timesteps for config in configs})
    budget = f"{steps[0]:,}" if len(steps) == 1 else f"{steps[0]:,} to {steps[-1]:,}"
    first = configs[0]
    batches = ", ".join(str(size) for size in sorted({config.batch_size for config in configs}))
    diverged = sum(len(arm.diverged) for arm in arms)
    return (
        f"{algos} was trained with rlbatch {__version__} (engine {first.engine}, with the semantics of "
        f"Stable-Baselines3) in {envs} at batch sizes {batches}, {seeds} seeds per arm, {budget} env steps each. The "
        f"greedy policy was evaluated {first.n_evaluations + 1} times with {first.n_eval_episodes} episodes on fixed "
        f"seeds. Arms were compared by {METRICS[found.metric].about}. Diverged runs ({diverged}) count with the lowest "
        "return from then on. Intervals of means are Welch's; comparisons with the reference are corrected by Holm's "
        f"method; verdicts on the best arms use simultaneous 95 % bounds (Hsu's comparison with the best; equivalence "
        f"margin {found.delta:.0%} of the reference range). Interquartile means and aggregates over environments have "
        f"studentised bootstrap intervals, stratified by environment, with 10,000 resamples.{_chosen(found)}"
    )


def _chosen(found: Answer) -> str:
    """Returns how errors were got where learning rates were chosen."""
    if not any(way.tuned for part in found.parts for way in part.ways):
        return ""
    return (
        " Where each batch size has its own best learning rate, that was chosen on one half of the seeds and scored on "
        f"the other; errors of means and of aggregates are then those of {RESAMPLES:,} resamples of choice and scores."
    )
