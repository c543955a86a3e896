"""Small runs of the stacked engine, and what they tell: to the bit, but for clocks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from rlbatch.config import RunConfig
from rlbatch.rows import Ending, Row
from rlbatch.training import stacked

Reports = list[Row | Ending]
SMALL: dict[str, Any] = {"n_evaluations": 2, "n_eval_episodes": 3, "log_points": 5, "total_timesteps": 300}


def dqn(env_id: str = "CartPole-v1", **values: Any) -> RunConfig:
    known = {"learning_starts": 100, "batch_size": 32, "train_freq": 1, "net_arch": (16,)}
    return RunConfig.build(env_id=env_id, algo="dqn", **{**SMALL, **known, **values})


def sac(env_id: str = "Pendulum-v1", **values: Any) -> RunConfig:
    known = {"learning_starts": 100, "batch_size": 32, "net_arch": (16,)}
    return RunConfig.build(env_id=env_id, algo="sac", **{**SMALL, **known, **values})


def train(configs: Sequence[RunConfig], commit: Callable[[Sequence[int], int], bool] | None = None) -> list[Reports]:
    """Every run's reports. Unless training was to stop, each ends with its one ending."""
    reports: list[Reports] = [[] for _ in configs]
    always: Callable[[Sequence[int], int], bool] = lambda runs, steps: True  # noqa: E731
    stacked.train(configs, lambda run, report: reports[run].append(report), commit or always, device="cpu")
    if commit is None:
        for told in reports:
            assert [isinstance(report, Ending) for report in told] == [False] * (len(told) - 1) + [True]
    return reports


def ending_of(reports: Reports) -> Ending:
    assert isinstance(reports[-1], Ending)
    return reports[-1]


def rows_of(reports: Reports, kind: str) -> list[Row]:
    return [report for report in reports if isinstance(report, Row) and report.kind == kind]


def numbers(reports: Reports) -> dict[str, Any]:
    """All that a run tells, to the bit, but for clocks and costs."""
    found: dict[str, Any] = {}
    for report in reports:
        if isinstance(report, Row):
            values = {tag: value for tag, value in report.values.items() if not tag.startswith("cost/")}
            counts = (report.updates, report.samples, list(report.returns), list(report.lengths), report.cut_episodes)
            found[f"{report.kind} {report.timesteps}"] = repr((values, counts))
        else:
            found["ending"] = (report.outcome, report.reason, report.timesteps, report.updates, report.first_nonfinite)
            found |= {name: array.tobytes() for name, array in (report.policy or {}).items()}
    return found


def differing(one: Reports, other: Reports) -> list[str]:
    """Names of what two runs tell differently."""
    a, b = numbers(one), numbers(other)
    return [name for name in {**a, **b} if a.get(name) != b.get(name)]


RATES = (1e-3, 1e-4, 3e-3)


def mixed_dqn(run: int) -> dict[str, Any]:
    """Constants that differ between the runs of one stack, and settings that differ where those constants agree."""
    return {
        "learning_rate": RATES[run % 3],
        "gamma": 0.9 + 0.003 * run,
        "tau": (1.0, 0.3)[run % 2],
        "target_update_interval": (50, 7)[run // 2 % 2],
        "max_grad_norm": (10.0, 0.05)[run // 12 % 2],
        "exploration_final_eps": (0.05, 0.5)[run // 5 % 2],
    }


def mixed_sac(run: int) -> dict[str, Any]:
    return {
        "learning_rate": RATES[run % 3],
        "gamma": 0.9 + 0.003 * run,
        "tau": (0.005, 0.3)[run % 2],
        "target_entropy": 0.05 * run - 1.0,
        "lr_schedule": ("constant", "linear")[run // 4 % 2],
    }


def small_batches(run: int) -> dict[str, Any]:
    """Batch sizes that are padded to the same 16 rows."""
    return {"batch_size": (16, 8, 3)[run % 3]}


SEVERAL = {"n_steps": 3, "n_envs": 3, "train_freq": 2, "gradient_steps": 3, "total_timesteps": 450}
ODD: dict[str, Any] = {"net_arch": (33, 7), "batch_size": 24}
ODDER: dict[str, Any] = {"net_arch": (33, 7), "batch_size": 16}
