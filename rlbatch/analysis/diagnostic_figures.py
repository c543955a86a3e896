"""What does the batch size do to learning? What train rows tell of losses, gradients and batches, by batch size."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from rlbatch.analysis.answer import Part
from rlbatch.analysis.diagnostics import Diagnostic, diagnostics_of
from rlbatch.analysis.figures import Figure, Picture, curve, means_of, slug
from rlbatch.analysis.rate_views import Arms, rates_said, shared_rate_first

TAGS = {
    "update/td_error": "absolute difference of a Q-value and its target",
    "update/q_mean": "Q-value of the batch's own actions",
    "update/loss": "Huber loss",
    "update/critic_loss": "loss of the critics",
    "update/actor_loss": "loss of the actor",
    "update/ent_coef": "entropy coefficient",
    "update/grad_norm": "norm of the gradient before clipping",
    "update/actor_grad_norm": "norm of the actor's gradient",
    "update/clip_fraction": "share of updates whose gradient was clipped",
    "batch/unique_fraction": "distinct transitions in a batch, over its size",
    "batch/age_mean": "how many env steps ago the batch's transitions were stored",
    "batch/replays_per_transition": "how often a transition is drawn on average",
    "rollout/return_mean": "return while training, exploration included",
    "rollout/exploration_rate": "probability of a random action",
}
"""Tag of train rows -> what it is, in the order in which they are offered."""


def diagnostics(part: Part) -> list[Figure]:
    """Returns what the train rows of the arms say, at each learning rate; nothing where they say nothing.

    First come the arms at one rate: the batch size is all that they differ in.
    """
    groups = shared_rate_first(part)
    arms = {arm.arm.path: arm.arm for these in groups.values() for arm in these.values()}
    told = {path: diagnostics_of(arm, tuple(TAGS)) for path, arm in arms.items()}
    tags = [tag for tag in TAGS if any(tag in known for known in told.values())]
    views = [_View(rates, these, first=number == 0) for number, (rates, these) in enumerate(groups.items())]
    pictures = [_picture(part, view, tag, told) for view in views for tag in tags]
    controls = ("tag",) if "" in groups else ("tag", "learning rate")
    return [Figure(slug(part.name, "diagnostics"), tuple(pictures), controls)] if pictures else []


class _View(NamedTuple):
    """What a reader sees of a tag.

    Attributes:
        rates: the learning rates in words; empty where there is no choice.
        arms: batch size -> the arm that stands for it.
        first: whether it is seen first.
    """

    rates: str
    arms: Arms
    first: bool


def _picture(part: Part, view: _View, tag: str, told: Mapping[str, Mapping[str, Diagnostic]]) -> Picture:
    series = []
    for batch, arm in sorted(view.arms.items()):
        one = told[arm.arm.path].get(tag)
        if one is not None:
            seen = np.isfinite(one.values).any(axis=0)
            columns = [column[np.isfinite(column)] for column in one.values.T[seen]]
            series.append(curve(batch, one.timesteps[seen], *means_of(columns)))
    at = f", learning rate {view.rates}" if view.rates else ""
    return Picture(
        slug(part.name, "diagnostics", tag, *([] if view.first else ["rate", view.rates])),
        f"{part.name}: {TAGS[tag]}, on env steps{at}",
        kind="lines",
        x_title="env steps",
        y_title=tag,
        log_x=False,
        series=tuple(series),
        about=f"{_ABOUT} {rates_said(part, view.arms)}",
        choice=(tag, view.rates) if view.rates else (tag,),
    )


_ABOUT = (
    "Means over seeds of the train rows in each fortieth of the budget, with the 95 % interval. A diverged run counts "
    "as far as it came."
)
