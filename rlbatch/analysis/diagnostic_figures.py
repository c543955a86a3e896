"""What does the batch size do to learning? What train rows tell of losses, gradients and batches, by batch size."""

from __future__ import annotations

import numpy as np

from rlbatch.analysis.answer import Part
from rlbatch.analysis.diagnostics import Diagnostic, diagnostics_of
from rlbatch.analysis.figures import Figure, Picture, curve, means_of, slug

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
    """Returns what the train rows of the arms that stand for each batch size say; nothing where they say nothing."""
    arms = next((way.arms for way in part.ways if way.arms), {})
    told = {batch: diagnostics_of(arm.arm, tuple(TAGS)) for batch, arm in sorted(arms.items())}
    pictures = []
    for tag, words in TAGS.items():
        known = {batch: tags[tag] for batch, tags in told.items() if tag in tags}
        if known:
            pictures.append(_picture(part, tag, words, known))
    name = slug(part.name, "diagnostics")
    return [Figure(name, tuple(pictures), ("tag",))] if pictures else []


def _picture(part: Part, tag: str, words: str, known: dict[int, Diagnostic]) -> Picture:
    series = []
    for batch, one in known.items():
        seen = np.isfinite(one.values).any(axis=0)
        columns = [column[np.isfinite(column)] for column in one.values.T[seen]]
        series.append(curve(batch, one.timesteps[seen], *means_of(columns)))
    return Picture(
        slug(part.name, "diagnostics", tag),
        f"{part.name}: {words}, on env steps",
        kind="lines",
        x_title="env steps",
        y_title=tag,
        log_x=False,
        series=tuple(series),
        about="Means over seeds of the train rows in each fortieth of the budget, with the 95 % interval. A diverged "
        "run counts as far as it came.",
        choice=(tag,),
    )
