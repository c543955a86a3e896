"""What happens during a run on Stable-Baselines3? Rows at the grid points, evaluations, and what must end the run."""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import psutil
import torch
from stable_baselines3 import DQN, SAC
from stable_baselines3.common.callbacks import BaseCallback

from rlbatch.config import RunConfig
from rlbatch.rows import TRAIN_TAGS, Ending, Row, grid_points
from rlbatch.training.endings import evidence_of, outcome_of, reason_of
from rlbatch.training.envs import EnvironmentFailure, resets_exactly
from rlbatch.training.evaluation import Evaluator
from rlbatch.training.interval import interval_values
from rlbatch.training.sb3_meter import Meter

Emit = Callable[[Row], None]
Commit = Callable[[int], bool]


class Watch(BaseCallback):
    """Follows a model through `learn`: takes rows at the grid points, evaluates, and stops what must stop.

    A row belongs to the first vector step at or beyond its grid point, after the updates due there. Those run after the
    callback, so a due row is taken when the model is next heard of: at the next step, rollout, or the end.
    """

    def __init__(self, config: RunConfig, model: DQN | SAC, emit: Emit, commit: Commit) -> None:
        super().__init__()
        self.config = config
        self.stopped = False
        self.nonfinite: dict[str, Any] | None = None
        self.meter = Meter(model)
        self._agent = model
        self._emit = emit
        self._commit = commit
        self._started = time.monotonic()
        with _kept_generators():
            self.resume_exact = resets_exactly(config)
        self._evaluator = Evaluator(config, reuse=self.resume_exact)
        self._evaluation_seconds = 0.0
        self._train_points = list(grid_points(config.total_timesteps, config.log_points))
        self._eval_points = list(grid_points(config.total_timesteps, config.n_evaluations))
        self._evaluations = 0
        self._episodes: list[tuple[float, int]] = []
        self._last = (0, 0, self._clock())
        self._process = psutil.Process()

    @property
    def timesteps(self) -> int:
        """Env steps taken."""
        return int(self._agent.num_timesteps)

    def _on_step(self) -> bool:
        self._take_due_rows(self.timesteps - self.config.n_envs)
        if self.nonfinite is not None:
            return False
        self._episodes += [(i["episode"]["r"], i["episode"]["l"]) for i in self.locals["infos"] if "episode" in i]
        if not self._commit(self.timesteps):
            self.stopped = True
            return False
        mid_rollout = self.locals["num_collected_steps"] < self.config.train_freq
        return not (mid_rollout and self.timesteps >= self.config.total_timesteps)

    def _on_rollout_start(self) -> None:
        self._take_due_rows(self.timesteps)

    def _on_training_end(self) -> None:
        if not self.stopped:
            self._take_due_rows(self.timesteps)

    def evaluate(self, timesteps: int) -> None:
        """Evaluates the policy as it is and emits the row of this grid point; raises EnvironmentFailure."""
        started = time.monotonic()
        with _kept_generators():
            evaluation = self._evaluator(self._evaluations, lambda o: self._agent.predict(o, deterministic=True)[0])
        self._evaluations += 1
        self._evaluation_seconds += time.monotonic() - started
        values = evaluation.values()
        self._emit(
            self._row("eval", timesteps, values, evaluation.returns, evaluation.lengths, evaluation.cut_episodes)
        )

    def ending(self, outcome: str = "ok", reason: str = "", evidence: str = "") -> Ending:
        """Returns the run's ending; a value that is not finite makes it `diverged`."""
        if self.nonfinite is not None:
            outcome = "diverged"
            reason = f"{self.nonfinite['where']} not finite at env step {self.nonfinite['timesteps']}"
        return Ending(
            outcome=outcome,
            reason=reason,
            timesteps=self.timesteps,
            updates=self.meter.updates,
            samples=self.meter.updates * self.config.batch_size,
            seconds=time.monotonic() - self._started,
            first_nonfinite=self.nonfinite,
            policy=weights_of(self._agent) if outcome == "ok" else None,
            evidence=evidence,
            resume_exact=self.resume_exact,
        )

    def failed(self, error: Exception) -> Ending:
        """Returns the ending of a run that `learn` left with an error; after weights went bad it is a divergence."""
        self._look_for_nonfinite()
        if self.nonfinite is None and not _finite(self._agent):
            self.nonfinite = {"timesteps": self.timesteps, "where": "parameters"}
        ending = self.ending(outcome_of(error), reason_of(error), evidence_of(error))
        if isinstance(error, EnvironmentFailure) and error.nonfinite and ending.first_nonfinite is None:
            return replace(ending, first_nonfinite={"timesteps": self.timesteps, "where": error.where})
        return ending

    def close(self) -> None:
        """Closes all environments of the run; a broken one may not close either."""
        with contextlib.suppress(Exception):
            self._evaluator.close()
        with contextlib.suppress(Exception):
            self._agent.get_env().close()

    def _look_for_nonfinite(self) -> None:
        if self.nonfinite is None and self.meter.nonfinite is not None:
            self.nonfinite = {"timesteps": self.timesteps, "where": self.meter.nonfinite}

    def _take_due_rows(self, timesteps: int) -> None:
        """Takes the rows whose grid points lie at or below the env steps taken, in order, unless values went bad."""
        self._look_for_nonfinite()
        if self.nonfinite is not None:
            return
        while self._train_points and self._train_points[0] <= timesteps:
            if not _finite(self._agent):
                self.nonfinite = {"timesteps": timesteps, "where": "parameters"}
                return
            self._emit(self._row("train", self._train_points.pop(0), self._train_values(timesteps)))
        while self._eval_points and self._eval_points[0] <= timesteps:
            self.evaluate(self._eval_points.pop(0))

    def _row(self, kind: str, timesteps: int, values: dict[str, float | None], *episodes: Any) -> Row:
        updates = self.meter.updates
        seconds = round(time.monotonic() - self._started, 3)
        return Row(kind, timesteps, updates, updates * self.config.batch_size, seconds, values, *episodes)

    def _train_values(self, timesteps: int) -> dict[str, float | None]:
        """Returns the train tags over the interval since the last train row."""
        steps_before, updates_before, clock_before = self._last
        updates, clock = self.meter.updates, self._clock()
        steps, updated, spent = timesteps - steps_before, updates - updates_before, max(clock - clock_before, 1e-9)
        self._last = (timesteps, updates, clock)
        values: dict[str, float | None] = {tag: self.meter.take(tag) for tag in TRAIN_TAGS[self.config.algo]}
        episodes, self._episodes = self._episodes, []
        on_gpu = self._agent.device.type == "cuda"
        values |= interval_values(episodes, steps, updated, self.config.batch_size, spent)
        return values | {
            "cost/process_memory_mb": self._process.memory_info().rss / 2**20,
            "cost/gpu_memory_mb": torch.cuda.max_memory_allocated(self._agent.device) / 2**20 if on_gpu else None,
        }

    def _clock(self) -> float:
        """Seconds of training, without evaluations and without what measuring takes."""
        return time.monotonic() - self._started - self._evaluation_seconds - self.meter.seconds


def weights_of(model: DQN | SAC) -> dict[str, np.ndarray]:
    """Returns the policy's state dict as arrays, and SAC's log_ent_coef (1,) where it is learned."""
    weights = {name: tensor.detach().cpu().numpy() for name, tensor in model.policy.state_dict().items()}
    if isinstance(model, SAC) and model.log_ent_coef is not None:
        weights["log_ent_coef"] = model.log_ent_coef.detach().cpu().numpy()
    return weights


def _finite(model: DQN | SAC) -> bool:
    """Tells whether all weights are finite."""
    return all(bool(torch.isfinite(p).all()) for p in model.policy.parameters())


@contextlib.contextmanager
def _kept_generators() -> Iterator[None]:
    """Gives the global generators back as they were: an evaluation must not move them."""
    python, numpy_, torch_ = random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002 - SB3 draws from it
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy_)  # noqa: NPY002
        torch.set_rng_state(torch_)
