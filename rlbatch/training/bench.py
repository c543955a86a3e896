"""How fast does a stack train here, beside Stable-Baselines3? Short stretches of both in turn, and what takes the time.

The intervals between rows and between evaluations are longer than a stretch, so stretches hold neither: what they cost
is measured apart and added at the rates of the run. With v_train env steps per second of training and v_eval of
evaluation, an env step costs 1 / v_train + ρ / v_eval seconds with evaluation, where
ρ = (n_evaluations + 1) · n_eval_episodes · L / total_timesteps and L is the environment's step limit: the longest that
evaluating can take. Without a limit it is the mean length of an episode in the stack's evaluations. The same on both
sides.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass, replace
from statistics import median
from typing import NamedTuple

import torch

from rlbatch.config import RunConfig
from rlbatch.environments import describe
from rlbatch.training.bench_sides import Reference, Stacked, Stretch, Write
from rlbatch.training.endings import outcome_of
from rlbatch.training.flop import flop_per_update, peak_flops

Record = Callable[[Sequence[RunConfig]], AbstractContextManager[Write]]
"""Opens the records of a stack's runs."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is measured.

    Attributes:
        configs: one run for each batch size; the others of a stack differ in seed.
        widths: runs of a stack.
        devices: torch's names of them.
        seconds: how long each side trains in each case, all repeats together; it evaluates for half as long.
        repeats: stretches of each side.
        env_workers: processes that step the environments of a stack; 0 for none.
        modules: what these processes must import.
    """

    configs: Sequence[RunConfig]
    widths: Sequence[int]
    devices: Sequence[str]
    seconds: float
    repeats: int
    env_workers: int = 0
    modules: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True)
class Case:
    """What was measured of one stack. Its speeds are those of all its runs together, rows included.

    Attributes:
        device: torch's name of it.
        batch_size: transitions per update of one run.
        width: runs of the stack.
        env_steps_per_s: median over the repeats.
        updates_per_s: at this speed.
        sb3_env_steps_per_s: of one run on Stable-Baselines3, which writes no rows; median over the repeats.
        times_sb3: median of the repeats' ratios.
        times_sb3_range: the smallest and the largest of them.
        times_sb3_with_evaluation: as `times_sb3`, for the seconds that an env step costs with evaluation.
        times_sb3_with_evaluation_range: the smallest and the largest of these ratios.
        eval_env_steps_per_s: of evaluation, its rows included.
        sb3_eval_env_steps_per_s: of Stable-Baselines3's `evaluate_policy` on one environment.
        eval_length: L, in env steps.
        eval_steps_per_env_step: ρ.
        microseconds: by activity, per env step of one run; `evaluation` per env step of evaluation. On a GPU from a
            stretch that waits for the device after each activity, so they add up to more than a step takes.
        flop_per_update: see `flop.flop_per_update`.
        peak_gflops: see `flop.peak_flops`.
        peak_share: of the peak that the matrix products reach during updates.
        env_steps: of the measured stretches of the stack, all runs together.
        updates: of the same.
        sb3_env_steps: of the measured stretches of Stable-Baselines3.
        sb3_updates: of the same.
    """

    device: str
    batch_size: int
    width: int
    env_steps_per_s: float
    updates_per_s: float
    sb3_env_steps_per_s: float
    times_sb3: float
    times_sb3_range: tuple[float, float]
    times_sb3_with_evaluation: float
    times_sb3_with_evaluation_range: tuple[float, float]
    eval_env_steps_per_s: float
    sb3_eval_env_steps_per_s: float
    eval_length: float
    eval_steps_per_env_step: float
    microseconds: Mapping[str, float]
    flop_per_update: int
    peak_gflops: float
    peak_share: float
    env_steps: int
    updates: int
    sb3_env_steps: int
    sb3_updates: int


@dataclass(frozen=True, kw_only=True)
class TooWide:
    """A stack that does not fit into the memory of its device."""

    device: str
    batch_size: int
    width: int


def measure(plan: Plan, record: Record) -> Iterator[Case | TooWide]:
    """Yields each case as soon as it is measured, on one thread: every device, every batch size, every width.

    Raises:
        InputError: a run ends while it is measured.
    """
    torch.set_num_threads(1)
    for device in plan.devices:
        peak = peak_flops(device)
        for config in plan.configs:
            with closing(Reference(config, device)) as reference:
                for width in plan.widths:
                    runs = [replace(config, seed=seed) for seed in range(width)]
                    yield _case(plan, runs, reference, peak, record)


def _case(plan: Plan, runs: Sequence[RunConfig], reference: Reference, peak: float, record: Record) -> Case | TooWide:
    """Returns what one stack does beside the reference, or that it does not fit."""
    try:
        found = _both_sides(plan, runs, reference, record)
    except (MemoryError, RuntimeError) as error:
        if outcome_of(error) != "out_of_memory":
            raise
        return TooWide(device=reference.device, batch_size=runs[0].batch_size, width=len(runs))
    return _compared(runs, reference.device, found, peak)


class _Found(NamedTuple):
    """What was measured of a stack and of the reference.

    Attributes:
        theirs: a stretch of the reference for each repeat.
        ours: a stretch of the stack for each of them.
        rows_s: median seconds that a train row of every run takes.
        told: the stretches that tell how long each activity takes.
        eval_theirs: evaluation by the reference.
        eval_ours: evaluation by the stack.
        eval_length: L, in env steps.
    """

    theirs: Sequence[Stretch]
    ours: Sequence[Stretch]
    rows_s: float
    told: Sequence[Stretch]
    eval_theirs: Stretch
    eval_ours: Stretch
    eval_length: float


def _both_sides(plan: Plan, runs: Sequence[RunConfig], reference: Reference, record: Record) -> _Found:
    """Measures one stack and the reference in turn."""
    device, span = reference.device, plan.seconds / plan.repeats
    with record(runs) as write, closing(Stacked(runs, write, device, plan.env_workers, plan.modules)) as stack:
        stack.warm_up()
        turns = [(reference.train(span), stack.train(span), stack.write_rows()) for _ in range(plan.repeats)]
        theirs, ours = [one for one, _, _ in turns], [one for _, one, _ in turns]
        told = [stack.train(span, waits=True)] if device != "cpu" else ours
        evaluations = reference.evaluate(plan.seconds / 2), stack.evaluate(plan.seconds / 2)
        length = _limit(runs[0]) or evaluations[1].env_steps / stack.eval_episodes
    return _Found(theirs, ours, median(seconds for *_, seconds in turns), told, *evaluations, length)


def _compared(runs: Sequence[RunConfig], device: str, found: _Found, peak: float) -> Case:
    """Works out the speeds and ratios of what was measured."""
    config, told, eval_theirs, eval_ours = runs[0], _sum(found.told), found.eval_theirs, found.eval_ours
    row = found.rows_s * config.log_points / config.total_timesteps / len(runs)
    rho = (config.n_evaluations + 1) * config.n_eval_episodes * found.eval_length / config.total_timesteps
    theirs, ours = [one.cost for one in found.theirs], [one.cost + row for one in found.ours]
    plain, whole = _ratios(theirs, ours), _ratios(theirs, ours, rho * eval_theirs.cost, rho * eval_ours.cost)
    total, sb3_total = _sum(found.ours), _sum(found.theirs)
    microseconds = {name: 1e6 * spent / told.env_steps for name, spent in told.spent.items()}
    microseconds |= {"logging": microseconds["logging"] + 1e6 * row, "evaluation": 1e6 * eval_ours.cost}
    flop = flop_per_update(config)
    return Case(
        device=device,
        batch_size=config.batch_size,
        width=len(runs),
        env_steps_per_s=_short(1 / median(ours)),
        updates_per_s=_short(total.updates / total.env_steps / median(ours)),
        sb3_env_steps_per_s=_short(1 / median(theirs)),
        times_sb3=_short(median(plain)),
        times_sb3_range=(_short(min(plain)), _short(max(plain))),
        times_sb3_with_evaluation=_short(median(whole)),
        times_sb3_with_evaluation_range=(_short(min(whole)), _short(max(whole))),
        eval_env_steps_per_s=_short(1 / eval_ours.cost),
        sb3_eval_env_steps_per_s=_short(1 / eval_theirs.cost),
        eval_length=_short(found.eval_length),
        eval_steps_per_env_step=_short(rho),
        microseconds={name: _short(value) for name, value in microseconds.items()},
        flop_per_update=flop,
        peak_gflops=_short(peak / 1e9),
        peak_share=_short(flop * told.updates / told.spent["update"] / peak),
        env_steps=total.env_steps,
        updates=total.updates,
        sb3_env_steps=sb3_total.env_steps,
        sb3_updates=sb3_total.updates,
    )


def _limit(config: RunConfig) -> int | None:
    return describe(config.env_id, config.env_kwargs).max_episode_steps


def _ratios(theirs: Sequence[float], ours: Sequence[float], more: float = 0.0, ours_more: float = 0.0) -> list[float]:
    return [(one + more) / (other + ours_more) for one, other in zip(theirs, ours, strict=True)]


def _sum(parts: Sequence[Stretch]) -> Stretch:
    spent = {name: sum(part.spent[name] for part in parts) for name in parts[0].spent}
    return Stretch(sum(p.env_steps for p in parts), sum(p.updates for p in parts), sum(p.seconds for p in parts), spent)


def _short(value: float) -> float:
    """Returns a measured number without the digits that are noise."""
    return float(f"{value:.4g}")
