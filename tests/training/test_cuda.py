"""On a GPU: both engines train there, and say what memory they took. Skipped where there is none."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from rlbatch.config import RunConfig
from rlbatch.errors import InputError
from rlbatch.rows import Ending, Row
from rlbatch.training import sb3, stacked
from rlbatch.training.calibration import measure_cost
from rlbatch.training.devices import available, resolve

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
SMALL: dict[str, Any] = {"total_timesteps": 300, "learning_starts": 100, "batch_size": 32, "net_arch": (16,)}


@pytest.mark.cuda
@needs_gpu
@pytest.mark.parametrize(("env_id", "algo"), [("CartPole-v1", "dqn"), ("Pendulum-v1", "sac")])
def test_a_gpu_trains_and_its_memory_is_recorded(env_id: str, algo: str) -> None:
    config = RunConfig.build(env_id=env_id, algo=algo, n_evaluations=2, n_eval_episodes=2, log_points=3, **SMALL)
    reports: list[Row | Ending] = []
    sb3.train([config], lambda run, report: reports.append(report), lambda run, steps: True, device="cuda:0")
    ending, last = reports[-1], [r for r in reports if isinstance(r, Row) and r.kind == "train"][-1]
    assert isinstance(ending, Ending)
    assert (ending.outcome, ending.updates) == ("ok", 200)
    assert (last.values["cost/gpu_memory_mb"] or 0.0) > 0


@pytest.mark.cuda
@needs_gpu
@pytest.mark.parametrize(("env_id", "algo"), [("CartPole-v1", "dqn"), ("Pendulum-v1", "sac")])
@pytest.mark.parametrize("sizes", [(32, 32, 32), (24, 32, 56)], ids=["one batch size", "padded"])
def test_a_stack_on_a_gpu_learns_what_it_learns_on_the_cpu(env_id: str, algo: str, sizes: tuple[int, ...]) -> None:
    """The draws are the same; the arithmetic is not, to the bit, so a short run is compared closely."""
    settings = SMALL | {"total_timesteps": 110, "train_freq": 1}
    configs = [
        RunConfig.build(
            env_id=env_id, algo=algo, n_evaluations=1, n_eval_episodes=2, **settings | {"seed": i, "batch_size": size}
        )
        for i, size in enumerate(sizes)
    ]
    endings: dict[str, dict[int, Ending]] = {"cpu": {}, "cuda:0": {}}
    for device, found in endings.items():

        def emit(run: int, report: Row | Ending, found: dict[int, Ending] = found) -> None:
            if isinstance(report, Ending):
                found[run] = report

        stacked.train(configs, emit, lambda runs, steps: True, device=device)
    for run in range(len(configs)):
        on_cpu, on_gpu = endings["cpu"][run], endings["cuda:0"][run]
        assert (on_gpu.outcome, on_gpu.updates) == ("ok", 10)
        assert on_cpu.policy is not None
        assert on_gpu.policy is not None
        for name, array in on_cpu.policy.items():
            torch.testing.assert_close(
                torch.from_numpy(on_gpu.policy[name]), torch.from_numpy(array), rtol=0, atol=1e-4
            )


def test_the_cpu_is_always_there_and_auto_takes_it_for_vectors() -> None:
    assert available()[0]["device"] == "cpu"
    assert resolve("auto", images=False) == "cpu"
    assert resolve("cpu", images=True) == "cpu"


def test_a_missing_gpu_is_an_error_and_not_the_cpu() -> None:
    with pytest.raises(InputError, match="--device"):
        resolve("cuda:63", images=False)


def test_a_gpu_is_taken_for_images_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    devices = [{"device": "cpu"}, {"device": "cuda:0"}, {"device": "cuda:1"}]
    monkeypatch.setattr("rlbatch.training.devices.available", lambda: devices)
    assert resolve("auto", images=True) == "cuda:0"
    assert resolve("auto", images=False) == "cpu"
    assert (resolve("cuda", images=False), resolve("cuda:1", images=False)) == ("cuda:0", "cuda:1")


@pytest.mark.cuda
@needs_gpu
def test_both_costs_of_a_run_are_measured_on_a_gpu() -> None:
    config = RunConfig.build(env_id="CartPole-v1", algo="dqn", batch_size=32, total_timesteps=10_000)
    told = measure_cost(config, "cuda:0", 0.2)
    assert 0 < told["t_env"] < 1
    assert 0 < told["t_update"] < 1
