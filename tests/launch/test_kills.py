"""Killed in any way at any moment and started again, an experiment ends with the same bits as one left in peace."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest
from launch.kills import WAYS, differences, torment, train

from rlbatch.results import find_runs

STEPS = 2500
SEED = 20


@pytest.mark.timeout(900)
@pytest.mark.usefixtures("in_process")
def test_what_was_killed_ends_as_if_it_had_not_been(tmp_path: Path) -> None:
    began = time.monotonic()
    train(tmp_path / "calm", STEPS)
    took = time.monotonic() - began  # all blows come before a fast machine is done
    moments = {"early_s": min(3.0, 2 * took), "late_s": min(0.3, took / 10)}
    rng = random.Random(SEED)  # noqa: S311 - moments
    dealt = torment(tmp_path / "tormented", STEPS, rng.sample(WAYS, len(WAYS)), rng, **moments, ends_here=True)
    assert differences(tmp_path / "calm", tmp_path / "tormented") == []
    assert sum(dealt.values()) >= 3
    assert max((run.result() or {})["attempts"] for run in find_runs(tmp_path / "tormented")) > 1
