"""What can go wrong for a user, and with which exit code the command then ends."""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Iterable


class RlbatchError(Exception):
    """A failure that is told in one line: where it is, what is wrong there, what to do about it.

    Attributes:
        where: the option, field, file or folder at fault.
        what: what is wrong with it, including the value.
        hint: what is allowed, the nearest valid value, or what to do next; may be empty.
    """

    exit_code = 1

    def __init__(self, where: str, what: str, hint: str = "") -> None:
        super().__init__(where, what, hint)
        self.where = where
        self.what = what
        self.hint = hint

    def __str__(self) -> str:
        line = f"{self.where}: {self.what}" if self.where else self.what
        return printable(f"{line}; {self.hint}" if self.hint else line)


class InputError(RlbatchError):
    """Bad input: nothing was written."""

    exit_code = 2


class BusyError(RlbatchError):
    """Another live command works on the same folder."""

    exit_code = 4


class RefusedError(RlbatchError):
    """Refused for safety: a newer schema, a tampered folder, an import nobody named, a public address."""

    exit_code = 5


class TemporaryError(RlbatchError):
    """The cause may pass (disk full): running the same command again continues."""

    exit_code = 75


_MEANT = {
    "batch": "batch_size",
    "lr": "learning_rate",
    "rate": "learning_rate",
    "steps": "total_timesteps",
    "timesteps": "total_timesteps",
    "area": "auc",
    "env": "env_id",
}
"""What people write -> the name of it here."""


def nearest(name: str, known: Iterable[str]) -> str:
    """Returns the known name that `name` means or is closest to, as a hint ("did you mean X?"); else the empty string.

    A name that is known itself is none to propose.
    """
    known = [one for one in known if one != name]
    if (meant := _MEANT.get(name.lower())) in known:
        return f"did you mean {meant}?"
    folded = {k.lower(): k for k in known}
    close = difflib.get_close_matches(name.lower(), folded, n=1, cutoff=0.65)
    return f"did you mean {folded[close[0]]}?" if close else ""


def printable(text: str) -> str:
    """Returns `text` on one line with control and direction-changing characters escaped, safe for a terminal."""
    unsafe = ("Cc", "Cf", "Co", "Cs", "Zl", "Zp")
    return "".join(
        ch.encode("unicode_escape").decode("ascii") if unicodedata.category(ch) in unsafe else ch for ch in text
    )
