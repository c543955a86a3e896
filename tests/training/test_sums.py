"""Sums of what updates measure: each run's own, whatever stands in padding or beside it."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pytest
import torch

from rlbatch.config import RunConfig
from rlbatch.training.stacking import batch_rows
from rlbatch.training.sums import Sums


def config(**values: Any) -> RunConfig:
    return RunConfig.build(env_id="Probe/Probe-v0", algo="dqn", **values)


class Measured(NamedTuple):
    per_row: torch.Tensor
    per_run: torch.Tensor


def tags_of(measured: Measured) -> dict[str, torch.Tensor]:
    return {"rows": measured.per_row, "squares": measured.per_row**2, "runs": measured.per_run}


def sums_of(*batch_sizes: int, dtype: torch.dtype = torch.float32) -> Sums[Measured]:
    configs = [config(batch_size=size) for size in batch_sizes]
    room = Measured(torch.zeros(len(configs), batch_rows(configs), dtype=dtype), torch.zeros(len(configs), dtype=dtype))
    return Sums(configs, room, tags_of)


@pytest.mark.parametrize("updates", [1, 7, 10, 34])
def test_sums_are_means_over_updates_and_each_runs_own_rows(updates: int) -> None:
    sums = sums_of(5, 32, 20, dtype=torch.float64)
    rooms = {part: sums.room(slice(*part)) for part in ((0, 2), (2, 3))}
    rng = np.random.default_rng(0)
    per_row, per_run = rng.normal(size=(updates, 3, 32)), rng.normal(size=(updates, 3))
    for update in range(updates):
        for part, room in rooms.items():
            room[sums.place].per_row.copy_(torch.from_numpy(per_row[update, slice(*part)]))
            room[sums.place].per_run.copy_(torch.from_numpy(per_run[update, slice(*part)]))
        sums.count([0.1 * update, 0.1 * update + 2.0])
        if update == 4:
            assert sums.peek(["runs"])["runs"] == pytest.approx(per_run[:5].mean(axis=0), rel=1e-12)
    means = sums.take()
    for tag, values in (("rows", per_row), ("squares", per_row**2)):
        expected = [values[:, run, :size].mean() for run, size in enumerate((5, 32, 20))]
        assert means[tag] == pytest.approx(expected, rel=1e-12)
    assert means["runs"] == pytest.approx(per_run.mean(axis=0), rel=1e-12)
    rate = 0.1 * (updates - 1) / 2
    assert means["update/learning_rate"] == pytest.approx([rate, rate, rate + 2.0])


def measure(sums: Sums[Measured], room: Measured, per_row: Any, per_run: Any = 0.0, rate: float = 0.5) -> None:
    room.per_row.copy_(torch.as_tensor(per_row))
    room.per_run.copy_(torch.as_tensor(per_run))
    sums.count([rate])


def test_sums_start_anew_when_taken_and_are_empty_without_an_update() -> None:
    sums = sums_of(16, 16)
    room = sums.room(slice(0, 2))
    assert sums.take() == {}
    assert sums.peek(["runs"]) == {}
    measure(sums, room[sums.place], 0.0, [1.0, 2.0])
    assert sums.take()["runs"].tolist() == [1.0, 2.0]
    assert sums.take() == {}
    assert sums.peek(["runs"]) == {}
    measure(sums, room[sums.place], 0.0, [10.0, 20.0], rate=0.25)
    means = sums.take()
    assert means["runs"].tolist() == [10.0, 20.0]
    assert means["update/learning_rate"].tolist() == [0.25, 0.25]


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_what_is_measured_on_padding_never_counts(bad: float) -> None:
    sums = sums_of(20, 20)
    room = sums.room(slice(0, 2))
    values = torch.ones(2, 32)
    values[:, 20:] = bad
    measure(sums, room[sums.place], values)
    assert sums.take()["rows"].tolist() == [1.0, 1.0]
    values[1, 19] = bad
    measure(sums, room[sums.place], values)
    means = sums.take()["rows"]
    assert means[0] == 1.0
    assert not np.isfinite(means[1])


def test_a_runs_sums_are_the_same_bits_alone_and_in_company() -> None:
    rng = np.random.default_rng(0)
    per_row, per_run = rng.normal(size=(37, 5, 32)), rng.normal(size=(37, 5))

    def means(runs: slice) -> dict[str, Any]:
        own = range(*runs.indices(5))
        sums = sums_of(*[20] * len(own))
        room = sums.room(slice(0, len(own)))
        for update in range(37):
            measure(sums, room[sums.place], per_row[update, runs], per_run[update, runs])
        return sums.take()

    together = means(slice(None))
    for run in range(5):
        for tag, alone in means(slice(run, run + 1)).items():
            assert alone[0] == together[tag][run], tag
