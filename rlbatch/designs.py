"""How do update schedule and optimiser follow from the batch size? The named experimental designs as arithmetic.

`match` says what is held fixed while the batch varies, `lr_rule` how the learning rate follows it. Everything here is
a pure function of numbers; `grid` applies it.
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import NamedTuple

from rlbatch.config import RunConfig
from rlbatch.errors import InputError

MAX_STRETCH = 64
"""`match: samples` multiplies the preset's train_freq at most by this."""

_ROUNDING = 1e-9
"""1 − 0.9 is not 0.1 in floating point."""


class Schedule(NamedTuple):
    """`gradient_steps` updates after every `train_freq` vector steps."""

    train_freq: int
    gradient_steps: int


class Optimizer(NamedTuple):
    """The values a learning-rate rule may change."""

    learning_rate: float
    adam_beta1: float
    adam_beta2: float
    adam_eps: float
    tau: float


def ratio_schedule(replay_ratio: float, n_envs: int) -> Schedule:
    """Turns updates per env step into the schedule with the smallest train_freq that gives it (to one part in 5,000).

    Raises:
        InputError: no train_freq up to 64 vector steps gives this ratio.
    """
    per_vector_step = Fraction(repr(replay_ratio)) * n_envs
    schedule = per_vector_step.limit_denominator(MAX_STRETCH)
    if schedule <= 0 or abs(float(schedule) - float(per_vector_step)) > 2e-4 * float(per_vector_step):
        near = float(max(schedule, Fraction(1, MAX_STRETCH)) / n_envs)
        raise InputError(
            "replay_ratio",
            f"{replay_ratio:g} updates per env step needs a train_freq above {MAX_STRETCH} vector steps",
            f"the nearest that can be had is {near:.6g}",
        )
    return Schedule(schedule.denominator, schedule.numerator)


def samples_schedule(schedule: Schedule, preset_batch: int, batch_size: int, n_envs: int = 1) -> Schedule:
    """Keeps the samples per env step that `schedule` consumes at `preset_batch`, at another batch size.

    With f = train_freq and g = gradient_steps of the schedule and B0 = preset_batch: f stays where g·B0/B is whole,
    else f is multiplied by the smallest whole number that makes it so.

    Raises:
        InputError: the schedule is a burst, or f would have to grow more than 64-fold.
    """
    updates = schedule.gradient_steps if schedule.gradient_steps > 0 else schedule.train_freq * n_envs
    if schedule.train_freq > 1 and schedule.gradient_steps != 1:
        ratio = updates / (schedule.train_freq * n_envs)
        raise InputError(
            "match",
            f"samples needs an even schedule, not bursts of {updates} updates every {schedule.train_freq} steps",
            f"--set replay_ratio={ratio:g} spreads them evenly",
        )
    stretch = _stretch(updates * preset_batch, batch_size)
    if stretch > MAX_STRETCH:
        near = _nearest_batches(updates * preset_batch, batch_size)
        raise InputError(
            "batch_size",
            f"{batch_size} cannot keep {updates * preset_batch} samples per {schedule.train_freq} steps "
            f"within {MAX_STRETCH} times that interval",
            f"nearest that can: {' and '.join(map(str, near))}",
        )
    return Schedule(schedule.train_freq * stretch, updates * preset_batch * stretch // batch_size)


def rate_factor(rule: str, factor: float) -> float:
    """Returns by what a rule multiplies the learning rate for a batch that is `factor` times the reference batch."""
    return {"none": 1.0, "linear": factor, "sqrt": math.sqrt(factor), "adam-sde": math.sqrt(factor)}[rule]


def scale_optimizer(
    rule: str, optimizer: Optimizer, factor: float, *, match: str, target_per_update: bool
) -> Optimizer:
    """Applies a learning-rate rule for a batch that is `factor` times the batch at which `optimizer` holds.

    Args:
        rule: none; linear (Goyal et al. 2017, rate × k); sqrt (Krizhevsky 2014, rate × √k); adam-sde (Malladi et al.
            2022: rate × √k, 1−β → k(1−β), ε/√k; with Busbridge et al. 2023: τ → 1−(1−τ)^k).
        optimizer: the values at the reference batch.
        factor: k = batch_size / lr_reference_batch.
        match: the design; adam-sde is derived for a fixed number of samples.
        target_per_update: whether the target moves at every update (SAC) or by env steps (DQN: τ stays).

    Raises:
        InputError: adam-sde with match: updates, or with k(1−β1) >= 1.
    """
    if rule == "none":
        return optimizer
    if rule in ("linear", "sqrt"):
        return optimizer._replace(learning_rate=optimizer.learning_rate * rate_factor(rule, factor))
    return _adam_sde(optimizer, factor, match, target_per_update)


def count_updates(config: RunConfig, timesteps: int | None = None) -> int:
    """Returns the updates done when `timesteps` env steps have been taken (default: at the end of the run).

    Stable-Baselines3's clock: after every train_freq vector steps a phase of updates, if more env steps than
    learning_starts have been taken by then. A run ends at total_timesteps, so a phase that would come later is not
    done.
    """
    asked = config.total_timesteps if timesteps is None else timesteps
    vector_steps = math.ceil(asked / config.n_envs)
    steps_per_phase = config.train_freq * config.n_envs
    phases = vector_steps // config.train_freq - config.learning_starts // steps_per_phase
    return max(phases, 0) * config.gradient_steps


def replay_ratio(config: RunConfig) -> float:
    """Returns updates per env step while learning."""
    return config.gradient_steps / (config.train_freq * config.n_envs)


def warnings_of(config: RunConfig, *, warm_up_from_zoo: bool = False) -> list[str]:
    """Refuses a run whose batch size and buffer do not go together; returns what is to be recorded with the run.

    Args:
        config: the resolved run.
        warm_up_from_zoo: learning_starts comes unchanged from a zoo preset, where a small warm-up is only recorded.

    Raises:
        InputError: names the field to change.
    """
    warm_up, size = config.learning_starts, config.batch_size
    notes = []
    if size > config.buffer_size:
        raise InputError(
            "batch_size", f"{size} is larger than buffer_size {config.buffer_size}", f"--set buffer_size={size}"
        )
    if config.buffer_size < config.n_envs:
        raise InputError("buffer_size", f"{config.buffer_size} is smaller than n_envs {config.n_envs}")
    if size > warm_up:
        if not warm_up_from_zoo:
            raise InputError(
                "batch_size",
                f"{size} is larger than learning_starts {warm_up}, so the first batches would repeat transitions",
                f"--set learning_starts={size}",
            )
        notes.append(
            f"warm-up smaller than the batch: the first batches of {size} repeat some of {warm_up} transitions"
        )
    if count_updates(config) == 0:
        raise InputError(
            "total_timesteps",
            f"no update would happen in {config.total_timesteps} env steps: learning_starts is {warm_up}, "
            f"train_freq {config.train_freq}",
            "raise --steps, or lower --set learning_starts=N (at least the batch size)",
        )
    return notes


def _adam_sde(optimizer: Optimizer, factor: float, match: str, target_per_update: bool) -> Optimizer:
    """Scales every constant of Adam, and the target where it moves per update; raises as `scale_optimizer` says."""
    if match == "updates":
        raise InputError("lr_rule", "adam-sde is derived for a fixed number of samples", "use --match samples, or sqrt")
    largest = 1 / (1 - optimizer.adam_beta1)
    if factor >= largest * (1 - _ROUNDING):
        raise InputError(
            "lr_rule",
            f"adam-sde at {factor:g} times the reference batch leaves no first moment (k(1-beta1) >= 1)",
            f"stay below {largest:g} times lr_reference_batch",
        )
    if factor >= (1 - _ROUNDING) / (1 - optimizer.adam_beta2):
        raise InputError("lr_rule", f"adam-sde at {factor:g} times the reference batch leaves no second moment")
    if factor == 1:
        return optimizer  # to the bit: 1 - (1 - tau) is not tau
    return Optimizer(
        learning_rate=optimizer.learning_rate * rate_factor("adam-sde", factor),
        adam_beta1=1 - factor * (1 - optimizer.adam_beta1),
        adam_beta2=1 - factor * (1 - optimizer.adam_beta2),
        adam_eps=optimizer.adam_eps / math.sqrt(factor),
        tau=1 - (1 - optimizer.tau) ** factor if target_per_update else optimizer.tau,
    )


def _stretch(samples: int, batch_size: int) -> int:
    return batch_size // math.gcd(batch_size, samples)


def _nearest_batches(samples: int, batch_size: int) -> list[int]:
    """Returns the closest batch sizes below and above that a stretch of at most 64 can serve."""
    largest = MAX_STRETCH * samples
    below = range(min(batch_size - 1, largest), 0, -1)
    above = range(batch_size + 1, largest + 1)
    found = (next((b for b in side if _stretch(samples, b) <= MAX_STRETCH), None) for side in (below, above))
    return [b for b in found if b is not None]
