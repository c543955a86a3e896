"""Errors: one line, with what was probably meant."""

from __future__ import annotations

import pytest

from rlbatch.config import SETTINGS
from rlbatch.errors import InputError, nearest, printable


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("batch", "batch_size"),
        ("lr", "learning_rate"),
        ("steps", "total_timesteps"),
        ("Batch_Size", "batch_size"),
        ("learnin_rate", "learning_rate"),
    ],
)
def test_what_people_write_is_understood(written: str, meant: str) -> None:
    assert nearest(written, SETTINGS) == f"did you mean {meant}?"


def test_nothing_is_proposed_where_nothing_is_near_or_nothing_else() -> None:
    assert nearest("wholly_other", SETTINGS) == ""
    assert nearest("afile", ["afile"]) == ""
    assert nearest("batch", ["match"]) == "did you mean match?"


def test_an_error_is_one_line_that_a_terminal_can_be_given() -> None:
    error = InputError("--batch", "'3\n\x1b[2J' is no number", "write 32")
    assert str(error) == r"--batch: '3\n\x1b[2J' is no number; write 32"
    assert printable("\u202etxt.exe") == r"\u202etxt.exe"
