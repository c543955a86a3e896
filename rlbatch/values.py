"""Which values may a setting of a given kind have? Checks that turn raw input into a typed value, or say why not.

A check is a callable `check(value) -> typed value` that raises `ValueError` with a text naming what is allowed.
Values come from JSON (`--set`), YAML and Python, so `True` is not 1 here, `"32"` is not 32 and 32.0 is not 32.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

Check = Callable[[Any], Any]

MAX_SEEDS = 10_000
"""Most seeds that one range or count may stand for."""

_MAX_DIGITS = 100


@dataclass(frozen=True)
class Integer:
    """A whole number in [low, high], or one of the `special` values."""

    low: int
    high: int = 2**31 - 1
    special: tuple[int, ...] = ()

    def __call__(self, value: Any) -> int:
        """Returns `value` unchanged; raises ValueError."""
        if isinstance(value, float) and value.is_integer():
            raise ValueError(f"{value} is not a whole number, use {int(value)}")
        if isinstance(value, bool) or not isinstance(value, int):
            raise ValueError(f"{value!r} is not a whole number")
        if not (self.low <= value <= self.high or value in self.special):
            also = "".join(f", or {s}" for s in self.special)
            raise ValueError(f"{value} is out of range, allowed is {self.low} to {self.high}{also}")
        return value


SEED = Integer(0, 2**32 - 1)


@dataclass(frozen=True)
class Real:
    """A finite number between low and high; the ends belong to it unless said otherwise."""

    low: float = -math.inf
    high: float = math.inf
    above_low: bool = False
    below_high: bool = False

    def __call__(self, value: Any) -> float:
        """Returns `value` as a float; raises ValueError."""
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError(f"{value!r} is not a number")
        try:
            number = float(value)
        except OverflowError:  # a whole number beyond the largest float
            number = math.inf
        too_low = number <= self.low if self.above_low else number < self.low
        too_high = number >= self.high if self.below_high else number > self.high
        if not math.isfinite(number) or too_low or too_high:
            left = "(" if self.above_low or math.isinf(self.low) else "["
            right = ")" if self.below_high or math.isinf(self.high) else "]"
            raise ValueError(f"{value} is out of range, allowed is {left}{self.low:g}, {self.high:g}{right}")
        return number


@dataclass(frozen=True)
class Choice:
    """One of a few names."""

    names: tuple[str, ...]

    def __call__(self, value: Any) -> str:
        """Returns `value` unchanged; raises ValueError."""
        if value not in self.names or not isinstance(value, str):
            raise ValueError(f"{value!r} is not one of {', '.join(self.names)}")
        return value


@dataclass(frozen=True)
class Either:
    """A value that passes any of several checks, or None where `none` says so."""

    checks: tuple[Check, ...]
    none: bool = False

    def __call__(self, value: Any) -> Any:
        """Returns what the first passing check returns; raises ValueError with all their texts."""
        if value is None and self.none:
            return None
        reasons = []
        for check in self.checks:
            try:
                return check(value)
            except ValueError as error:
                reasons.append(str(error))
        raise ValueError(", and ".join(reasons))


def boolean(value: Any) -> bool:
    """Returns `value` unchanged if it is true or false; raises ValueError."""
    if not isinstance(value, bool):
        raise ValueError(f"{value!r} is neither true nor false")
    return value


def text(value: Any) -> str:
    """Returns `value` unchanged if it is a non-empty text without control characters; raises ValueError."""
    if not isinstance(value, str) or not value or not value.isprintable():
        raise ValueError(f"{value!r} is not a printable, non-empty text")
    return value


def layers(value: Any) -> tuple[int, ...]:
    """Returns a list of hidden layer widths (units each, 1 to 8 layers or none) as a tuple; raises ValueError."""
    if not isinstance(value, list | tuple) or len(value) > 8:
        raise ValueError(f"{value!r} is not a list of at most 8 layer widths such as [64,64]")
    return tuple(Integer(1, 65536)(width) for width in value)


def ent_coef(value: Any) -> str | float:
    """Returns "auto" (begins at 1), "auto_<initial value>" or a number >= 0, as SB3 takes it; raises ValueError."""
    if isinstance(value, str):
        start = re.fullmatch(r"auto(?:_(\d+(?:\.\d*)?(?:[eE][+-]?\d+)?))?", value)
        if start is None or (start[1] is not None and not 0 < float(start[1]) < math.inf):
            raise ValueError(f'{value!r} is not "auto", "auto_0.1" (with any initial value > 0) or a number')
        return "auto" if start[1] is None or float(start[1]) == 1 else f"auto_{float(start[1])!r}"
    return Real(0)(value)


def mapping(value: Any) -> dict[str, Any]:
    """Returns a JSON object with string keys as a plain dict; raises ValueError."""
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise ValueError(f'{value!r} is not an object such as {{"gravity": 5.0}}')
    try:
        return dict(json.loads(json.dumps(dict(value), allow_nan=False)))
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"{value!r} holds something that JSON cannot: {error}") from error


def seed_range(text: str) -> tuple[int, ...] | None:
    """Reads a range of seeds `0..19`, both ends included; returns None for another form of text; raises ValueError."""
    span = re.fullmatch(r"(0|[1-9][0-9]*)\.\.(0|[1-9][0-9]*)", text)
    if span is None:
        return None
    if len(text) > _MAX_DIGITS:
        raise ValueError(f"{text} is out of range")
    first, last = SEED(int(span[1])), SEED(int(span[2]))
    if first > last:
        raise ValueError(f"{text!r} runs backwards, write {last}..{first}")
    if last - first >= MAX_SEEDS:
        raise ValueError(f"{text!r} is more than {MAX_SEEDS} seeds")
    return tuple(range(first, last + 1))


def from_json(raw: str) -> Any:
    """Reads one value as strict JSON; what is not JSON is taken as text (`adam-sde`), never as another number form.

    Raises:
        ValueError: the text is empty, or is `NaN`, `Infinity` or an object with a repeated key.
    """
    if not raw.strip():
        raise ValueError("the value is empty")

    def no_constant(name: str) -> float:
        raise ValueError(f"{name} is not a finite number")

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        keys = [key for key, _ in pairs]
        if len(set(keys)) != len(keys):
            raise ValueError("a key stands twice in the object")
        return dict(pairs)

    try:
        return json.loads(raw, parse_constant=no_constant, object_pairs_hook=unique)
    except json.JSONDecodeError as error:
        if raw.lstrip()[0] in "{[\"'":
            raise ValueError(f"{raw!r} is not valid JSON: {error.msg} at character {error.pos + 1}") from error
        return raw
    except RecursionError as error:
        raise ValueError(f"{raw!r} is nested too deeply") from error
