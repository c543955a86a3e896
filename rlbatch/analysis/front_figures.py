"""What does each batch size cost until it has learned? Updates against samples, with the fitted hyperbola."""

from __future__ import annotations

import numpy as np

from rlbatch.analysis.answer import Part
from rlbatch.analysis.figures import Figure, Picture, Series, slug
from rlbatch.analysis.front import Front

_POINTS = 60
"""Of the drawn hyperbola."""


def cost_front(part: Part) -> list[Figure]:
    """Returns updates against samples until the curve reaches the mark, one point per batch size; or nothing."""
    front = part.front
    if front is None or (front.updates > 0).sum() < 2:  # the axes are logarithmic
        return []
    name = slug(part.name, "front")
    picture = Picture(
        name,
        f"{part.name}: updates and samples until the curve reaches {part.scored.marks[str(part.mark)]:g}",
        kind="lines",
        x_title="samples",
        y_title="updates",
        log_x=True,
        series=(*_points(front), *_hyperbola(front)),
        about=f"Medians over runs, each batch size at its fastest rate; {front.words}.",
        log_y=True,
    )
    return [Figure(name, (picture,))]


def _points(front: Front) -> list[Series]:
    unknown = np.array([np.nan])
    return [
        Series(f"batch {batch:g}", np.array([samples]), np.array([updates]), unknown, unknown, (), int(batch))
        for batch, samples, updates in zip(front.batch_sizes, front.samples, front.updates, strict=True)
        if updates > 0
    ]


def _hyperbola(front: Front) -> list[Series]:
    if front.fit is None:
        return []
    sizes = np.geomspace(front.batch_sizes.min(), front.batch_sizes.max(), _POINTS)
    updates = front.fit.updates_min * (1 + front.fit.critical / sizes)
    unknown = np.full(_POINTS, np.nan)
    return [Series("hyperbola", updates * sizes, updates, unknown, unknown)]
