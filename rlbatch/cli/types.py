"""How are the words of a command line read? Strictly: ASCII digits only, no silent repair, ranges spelled out."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable
from typing import Any

import click
from click.shell_completion import CompletionItem

from rlbatch.errors import printable
from rlbatch.values import MAX_SEEDS, SEED, Integer, from_json, mapping, seed_range

_BATCH = Integer(1)
_MAX_DIGITS = 100


class Parsed(click.ParamType[Any]):
    """A parameter read by a function that raises ValueError.

    Args:
        name: the kind, shown in help.
        read: turns the word into the value.
        completes: what the shell offers: "dir" or "file", or a function that returns the possible words.
    """

    def __init__(
        self, name: str, read: Callable[[str], Any], completes: str | Callable[[], Iterable[str]] = lambda: ()
    ) -> None:
        self.name = name
        self._read = read
        self._completes = completes

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Reads the word; fails as click does."""
        if not isinstance(value, str):
            return value
        try:
            return self._read(value)
        except ValueError as error:
            self.fail(printable(str(error)), param, ctx)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Returns what the word may become."""
        if isinstance(self._completes, str):
            return [CompletionItem(incomplete, type=self._completes)]
        return [CompletionItem(name) for name in self._completes() if name.startswith(incomplete)]


def word(*choices: str) -> Parsed:
    """Returns a parameter type for any text, of which the shell offers the known choices."""
    return Parsed("|".join(choices), str, lambda: choices)


class EnvironmentId(click.ParamType[str]):
    """An environment id; the shell completes the listed ones."""

    name = "id"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Returns the listed ids that begin with what is typed."""
        from rlbatch.environments import listed

        return [CompletionItem(env_id) for env_id in listed() if env_id.startswith(incomplete)]


def integer(check: Integer) -> Parsed:
    """Returns a parameter type for whole numbers in the range of `check`."""
    return Parsed("n", lambda word: check(_digits(word)))


def read_batches(word: str) -> tuple[int, ...]:
    """Reads batch sizes: `256`, `32,64,128`, `2^5..2^10` (every power of two), or such joined by commas."""
    sizes: list[int] = []
    for part in word.split(","):
        powers = re.fullmatch(r"2\^([0-9]{1,2})\.\.2\^([0-9]{1,2})", part)
        power = re.fullmatch(r"2\^([0-9]{1,2})", part)
        if powers is not None:
            first, last = int(powers[1]), int(powers[2])
            if first > last:
                raise ValueError(f"{part!r} runs backwards, write 2^{last}..2^{first}")
            sizes += [2**exponent for exponent in range(first, last + 1)]
        elif power is not None:
            sizes.append(2 ** int(power[1]))
        elif ".." in part:
            raise ValueError(f"{part!r} is not a range of batch sizes, write 2^5..2^10 or a list")
        else:
            sizes.append(_digits(part))
    return _distinct([_BATCH(size) for size in sizes])


def read_seeds(word: str) -> tuple[int, ...]:
    """Reads seeds: `5` is how many (0 to 4), `0..4` a range with both ends, `1,5,9` a list."""
    if "," in word:
        return _distinct([SEED(_digits(part)) for part in word.split(",")])
    span = seed_range(word)
    if span is not None:
        return span
    return tuple(range(Integer(1, MAX_SEEDS)(_digits(word))))


def read_seed(word: str) -> int:
    """Reads one seed."""
    return SEED(_digits(word))


def read_setting(word: str) -> tuple[str, Any]:
    """Reads `field=value`, the value as JSON or, where it is not JSON, as text."""
    name, equals, value = word.partition("=")
    if not equals or not name.isidentifier():
        raise ValueError(f"{word!r} is not field=value, for example learning_rate=0.001")
    try:
        return name, from_json(value)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error


def read_number(word: str) -> float:
    """Reads a finite number."""
    value = from_json(word)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"{word!r} is not a number")
    return float(value)


def read_fraction(word: str) -> float:
    """Reads a number between 0 and 1, both left out."""
    value = read_number(word)
    if not 0 < value < 1:
        raise ValueError(f"{word} is not between 0 and 1")
    return value


def read_object(word: str) -> dict[str, Any]:
    """Reads a JSON object."""
    return mapping(from_json(word))


def setting_names() -> list[str]:
    """Returns how a shell may begin a --set."""
    from rlbatch.config import SETTINGS

    return [f"{name}=" for name in SETTINGS]


def read_path(word: str) -> str:
    """Reads a path: any text but the empty one and one with a NUL or control character."""
    if not word.strip() or not word.isprintable():
        raise ValueError(f"{word!r} is not a path")
    return word


def _digits(word: str) -> int:
    if not re.fullmatch(r"-?(0|[1-9][0-9]*)", word):
        raise ValueError(f"{word!r} is not a whole number written in digits")
    if len(word) > _MAX_DIGITS:
        raise ValueError(f"{word} is out of range")
    return int(word)


def _distinct(values: list[int]) -> tuple[int, ...]:
    repeated = sorted({value for value in values if values.count(value) > 1})
    if repeated:
        raise ValueError(f"{repeated[0]} stands twice")
    return tuple(values)
