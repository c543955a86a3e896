"""Killed in any way at any moment and started again, an experiment ends with the same bits as one left in peace."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest
from launch.kills import differences, torment, train

STEPS = 2400


@pytest.mark.parametrize("ways", [["driver", "SIGTERM"], ["group", "SIGINT"]], ids="-".join)
def test_what_was_killed_ends_as_if_it_had_not_been(ways: list[str], tmp_path: Path) -> None:
    seed = int(time.time())
    print(f"seed {seed}")
    train(tmp_path / "calm", STEPS)
    dealt = torment(tmp_path / "tormented", STEPS, ways, random.Random(seed))  # noqa: S311 - moments
    assert differences(tmp_path / "calm", tmp_path / "tormented") == []
    assert sum(dealt.values()) == 2
