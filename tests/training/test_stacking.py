"""Stacking: every run updates once, with its own constants, on rows that are its own."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch

from rlbatch.config import RunConfig
from rlbatch.training.optimizer import constants_of
from rlbatch.training.stacking import batch_mask, batch_rows, column, order, slices


def config(**values: Any) -> RunConfig:
    return RunConfig.build(env_id="Probe/Probe-v0", algo="dqn", **values)


def mixed(count: int = 40, **values: Any) -> list[RunConfig]:
    """Runs with few distinct constants, in no order."""
    rng = np.random.default_rng(0)
    return [
        config(
            seed=run,
            learning_rate=float(rng.choice([1e-3, 1e-4])),
            tau=float(rng.choice([0.5, 1.0])),
            adam_eps=float(rng.choice([1e-8, 1e-5])),
            batch_size=int(rng.choice([16, 32])),
            gamma=float(rng.choice([0.9, 0.99])),
            **values,
        )
        for run in range(count)
    ]


def sorted_runs(configs: list[RunConfig]) -> list[RunConfig]:
    return [configs[place] for place in order(configs)]


def test_order_puts_the_same_constants_side_by_side_and_keeps_the_order_among_equals() -> None:
    configs = mixed()
    places = order(configs)
    assert sorted(places) == list(range(40))
    groups = [(constants_of(configs[place]), configs[place].batch_size) for place in places]
    changes = sum(a != b for a, b in itertools.pairwise(groups))
    assert changes == len(set(groups)) - 1
    assert len(set(groups)) > 8
    for group in set(groups):
        alike = [place for place, one in zip(places, groups, strict=True) if one == group]
        assert alike == sorted(alike)
    assert order([config(seed=s) for s in (5, 3, 9)]) == [0, 1, 2]


@pytest.mark.parametrize("device", ["cpu", "cuda:0"])
@pytest.mark.parametrize("net_arch", [(64, 64), (1024,), (4096,)])
def test_slices_cover_every_run_once_and_never_mix_constants(device: str, net_arch: tuple[int, ...]) -> None:
    configs = sorted_runs(mixed(50, net_arch=net_arch))
    found = slices(configs, device)
    assert [run for part in found for run in range(part.start, part.stop)] == list(range(50))
    for part in found:
        assert part.stop > part.start
        assert len({constants_of(one) for one in configs[part]}) == 1


def test_a_slice_on_a_cpu_fits_its_cache_and_on_a_gpu_is_a_whole_group() -> None:
    configs = [config(seed=run, net_arch=(256, 64), batch_size=128) for run in range(50)]
    on_cpu = slices(configs, "cpu")
    widths = [part.stop - part.start for part in on_cpu]
    assert max(widths) * 128 * 256 <= 1 << 18 < (max(widths) + 2) * 128 * 256  # 50 runs in 7 slices, 7 or 8 each
    assert max(widths) - min(widths) <= 1
    assert slices(configs, "cuda:0") == [slice(0, 50)]
    assert slices(sorted_runs(mixed()), "cuda:0") != slices(configs[:40], "cuda:0")


def test_a_run_too_large_for_the_cache_is_a_slice_of_its_own() -> None:
    configs = [config(seed=run, net_arch=(4096, 8), batch_size=64) for run in range(3)]
    assert slices(configs, "cpu") == [slice(0, 1), slice(1, 2), slice(2, 3)]


def test_the_mask_is_each_runs_own_batch() -> None:
    configs = [config(batch_size=size) for size in (5, 32, 20)]
    assert batch_rows(configs) == 32
    mask = batch_mask(configs, "cpu")
    assert mask is not None
    assert mask.dtype == torch.bool
    assert mask.sum(dim=1).tolist() == [5, 32, 20]
    assert mask[0].tolist() == [True] * 5 + [False] * 27
    assert batch_mask([config(batch_size=32)] * 2, "cpu") is None
    padded = batch_mask([config(batch_size=24)] * 2, "cpu")
    assert padded is not None
    assert padded.sum(dim=1).tolist() == [24, 24]


def test_rows_of_a_batch_depend_on_the_activation() -> None:
    assert batch_rows([config(batch_size=48)]) == 48
    assert batch_rows([config(batch_size=48, activation_fn="elu")]) == 64
    assert batch_rows([config(batch_size=1)]) == 16


def test_a_column_has_the_kind_of_another_tensor() -> None:
    for dtype in (torch.float32, torch.float64):
        found = column([0.1, 2.0], torch.zeros(1, dtype=dtype))
        assert (found.shape, found.dtype) == ((2, 1), dtype)
        assert torch.equal(found, torch.tensor([[0.1], [2.0]], dtype=dtype))
