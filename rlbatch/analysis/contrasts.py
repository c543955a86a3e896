"""Does it depend on the design what the batch size does? Slopes at one value of a setting, minus those at another.

Two slopes of which one is shown to be above zero and the other is not need not differ. So wherever an experiment varies
another setting than batch size and learning rate, the slopes themselves are compared, over the batch sizes that both
have. Arms that both share are in both slopes with the same weight, and so in the difference with none.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from rlbatch.analysis import trend
from rlbatch.analysis.answer import Part
from rlbatch.analysis.arms import FOLLOWING
from rlbatch.analysis.intervals import Estimate, combine
from rlbatch.analysis.ways import Kind, Way
from rlbatch.analysis.words import design_words

_DESIGNS = ("match", "lr_rule", "replay_ratio")
"""Settings that stand for what they make of others."""


class Contrast(NamedTuple):
    """How the slope at one value of a setting differs from that at its base value, all else being the same.

    Attributes:
        part: at the value.
        base: at the base value.
        axis: the setting.
        kind: of the way to compare.
        batch_sizes: those that both have.
        slope: of `part` over these, per doubling.
        base_slope: of `base`.
        difference: one minus the other.
    """

    part: Part
    base: Part
    axis: str
    kind: Kind
    batch_sizes: tuple[int, ...]
    slope: Estimate
    base_slope: Estimate
    difference: Estimate

    @property
    def where(self) -> str:
        """The environment, with what is the same on both sides."""
        same = {name: value for name, value in self.base.slice.fixed.items() if name != self.axis}
        return self.base.scored.task.name + design_words(same)

    @property
    def also(self) -> tuple[str, ...]:
        """Other settings that vary with it, though neither design nor rule makes them: the cause may be these."""
        sides = (self.part, self.base)
        labels = [one for side in sides for arm in side.cells.values() for one in arm.arm.labels]
        made = {
            name
            for (label, value), names in FOLLOWING.items()
            if self.axis in _DESIGNS or any(one[label] == value for one in labels)
            for name in names
        }
        names = [name for name in self.part.scored.task.following if name not in made]
        return tuple(name for name in names if _values(self.part, name) != _values(self.base, name))

    @property
    def value(self) -> Any:
        """Of the setting."""
        return self.part.slice.fixed[self.axis]

    @property
    def base_value(self) -> Any:
        """That of the setting at the base."""
        return self.base.slice.fixed[self.axis]


def contrasts_of(parts: Sequence[Part]) -> tuple[Contrast, ...]:
    """Returns the differences of slopes in each environment, in each way in which both may have verdicts.

    What is compared at different learning rates is not compared here.
    """
    found = []
    for part in parts:
        for axis in part.slice.fixed:
            base = _base(part, [one for one in parts if one is part or _differs_in(axis, one, part)], axis)
            ways = {way.words: way for way in base.ways if not way.withheld}
            found += [
                _contrast(part, base, axis, way, ways[way.words])
                for way in part.ways
                if base is not part
                and not way.withheld
                and way.words in ways
                and len(_shared(way, ways[way.words])) > 1
            ]
    return tuple(found)


def _base(part: Part, group: Sequence[Part], axis: str) -> Part:
    """Returns what others are compared with: at the declared value, else without a rule, else the first of them."""
    usable = [one for one in group if not all(way.withheld for way in one.ways)]
    wanted = part.reference.get(axis, "none" if axis == "lr_rule" else None)
    return next((one for one in usable if one.slice.fixed[axis] == wanted), (usable or [part])[0])


def _differs_in(axis: str, one: Part, other: Part) -> bool:
    """Tells whether two parts are of one environment and differ in this setting alone."""
    fixed, others = one.slice.fixed, other.slice.fixed
    return one.scored is other.scored and all((fixed[name] == others[name]) == (name != axis) for name in fixed)


def _shared(way: Way, other: Way) -> tuple[int, ...]:
    return tuple(sorted(set(way.means) & set(other.means)))


def _contrast(part: Part, base: Part, axis: str, way: Way, base_way: Way) -> Contrast:
    sizes = _shared(way, base_way)
    slope, base_slope = (trend.slope({size: one.means[size] for size in sizes}) for one in (way, base_way))
    weights = dict(zip(sizes, trend.weights(sizes), strict=True))
    for size in sizes:
        if _arms(part, size) == _arms(base, size):
            weights[size] = 0.0
    both = [way.means[size] for size in sizes] + [base_way.means[size] for size in sizes]
    difference = combine(both, [*weights.values(), *(-weight for weight in weights.values())])
    return Contrast(part, base, axis, way.kind, sizes, slope, base_slope, difference)


def _values(part: Part, name: str) -> set[str]:
    return {repr(getattr(arm.arm.config, name, None)) for arm in part.cells.values()}


def _arms(part: Part, size: int) -> set[str]:
    return {arm.arm.path for (batch, _), arm in part.cells.items() if batch == size}
