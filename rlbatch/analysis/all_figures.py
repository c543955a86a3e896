"""Which figures does an answer have? For each environment and design, then for each environment, then for all."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from rlbatch.analysis.answer import Answer, Part, Together
from rlbatch.analysis.curve_figures import learning_curves, reaching_curves
from rlbatch.analysis.diagnostic_figures import diagnostics
from rlbatch.analysis.figures import Figure
from rlbatch.analysis.front_figures import cost_front
from rlbatch.analysis.heat_figures import environments, heat_maps
from rlbatch.analysis.score_figures import planned_response, profiles, responses, steadiness
from rlbatch.analysis.words import design_words


def figures_of(found: Answer) -> tuple[Figure, ...]:
    """Returns all figures; reads the train rows of all arms."""
    figures: list[Figure] = []
    for part in found.parts:
        figures += _of_part(part, found)
    for part in {id(part.scored): part for part in found.parts}.values():
        figures += heat_maps(part.scored, found.metric, part.reference)
    designs: dict[str, list[Together]] = {}
    for both in found.together:
        designs.setdefault(design_words(both.fixed), []).append(both)
    for design, many in designs.items():
        figures += [profiles(many, design), environments(many, design)]
    return _with_own_names(figures)


def _of_part(part: Part, found: Answer) -> list[Figure]:
    return [
        *([planned_response(part)] if found.declared else []),
        responses(part),
        learning_curves(part),
        *reaching_curves(part),
        *steadiness(part),
        *cost_front(part),
        *diagnostics(part),
    ]


def _with_own_names(figures: Iterable[Figure]) -> tuple[Figure, ...]:
    """Returns the figures under names of their own: environments that differ in arguments alone share a name."""
    seen: dict[str, int] = {}
    named = []
    for figure in figures:
        count = seen[figure.name] = seen.get(figure.name, 0) + 1
        if count > 1:
            pictures = tuple(replace(picture, name=f"{picture.name}-{count}") for picture in figure.pictures)
            named.append(replace(figure, name=f"{figure.name}-{count}", pictures=pictures))
        else:
            named.append(figure)
    return tuple(named)
