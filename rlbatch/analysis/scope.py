"""For what does a conclusion hold? For the algorithm, networks, budget and design that its runs were trained with."""

from __future__ import annotations

from rlbatch.analysis.answer import Part
from rlbatch.designs import replay_ratio

_MIXED = "of each batch size's own"


def holds_for(part: Part) -> str:
    """Returns it in a sentence."""
    configs = [arm.arm.config for arm in part.cells.values() if arm.arm.config is not None]
    first = configs[0]
    match, rule = (_design(part, axis) for axis in ("match", "lr_rule"))
    ratios = sorted({replay_ratio(config) for config in configs})
    updates = " to ".join(f"{ratio:g}" for ratio in dict.fromkeys((ratios[0], ratios[-1])))
    updates += " update per env step" if updates == "1" else " updates per env step"
    rule += "" if "none" in rule.split(" or ") or rule == _MIXED else " (rates are those before the rule)"
    return (
        f"It holds for {first.algo.upper()} with networks {list(first.net_arch)}, {first.total_timesteps:,} env steps, "
        f"n-step {first.n_steps}, match {match}, learning-rate rule {rule}, {updates}."
    )


def _design(part: Part, axis: str) -> str:
    """Returns the design of a part: an arm may be part of several, and then the others say which."""
    if axis in part.slice.fixed:
        return str(part.slice.fixed[axis])
    shared = set.intersection(*({str(labels[axis]) for labels in arm.arm.labels} for arm in part.cells.values()))
    return " or ".join(sorted(shared)) if shared else _MIXED
