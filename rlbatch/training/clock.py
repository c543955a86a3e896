"""When does what happen in a run? Stable-Baselines3's clocks as arithmetic on vector steps.

A vector step is one step in each of a run's environments. Steps are counted from 1; "after step v" means that v steps
have been taken.
"""

from __future__ import annotations

import math

from rlbatch.config import RunConfig
from rlbatch.designs import count_updates


class Clock:
    """The clocks of a run. Runs of a stack share all but the target's and epsilon's.

    Attributes:
        vector_steps: of the whole run; the last one may go beyond total_timesteps.
        positions: vector steps that the replay holds.
    """

    def __init__(self, config: RunConfig) -> None:
        self._config = config
        self._envs = config.n_envs
        self.vector_steps = math.ceil(config.total_timesteps / self._envs)
        self.positions = min(max(config.buffer_size // self._envs, 1), self.vector_steps)
        schedule = (config.exploration_initial_eps, config.exploration_final_eps, config.exploration_fraction)
        self._epsilon = tuple(float(value) if value is not None else 0.0 for value in schedule)
        phase = config.train_freq * self._envs
        self._first_phase = config.train_freq * (config.learning_starts // phase + 1)

    def progress(self, step: int) -> float:
        """Returns the share of the budget that is spent after a step, at most 1."""
        return min(step * self._envs / self._config.total_timesteps, 1.0)

    def warms_up(self, step: int) -> bool:
        """Tells whether the actions of a step are random because of learning_starts."""
        return (step - 1) * self._envs < self._config.learning_starts

    def updates_after(self, step: int) -> int:
        """Returns how many updates are due directly after a step: gradient_steps or none."""
        due = step >= self._first_phase and step % self._config.train_freq == 0
        return self._config.gradient_steps if due else 0

    def updates_done(self, step: int) -> int:
        """Returns the updates of all phases up to the one after a step."""
        return count_updates(self._config, step * self._envs)

    def step_of_update(self, update: int) -> int:
        """Returns the step after which update number `update`, from 0, is due."""
        return self._first_phase + update // self._config.gradient_steps * self._config.train_freq

    def stored(self, step: int) -> int:
        """Returns how many positions of the replay are filled after a step."""
        return min(step, self.positions)

    def copies_target_after(self, step: int) -> bool:
        """Tells whether a DQN's target network is updated after a step, before the updates that are due there."""
        return step % max(self._config.target_update_interval // self._envs, 1) == 0

    def epsilon_after(self, step: int) -> float:
        """Returns the exploration rate that holds after a step (Stable-Baselines3's LinearSchedule).

        Before the first step it is 0: a run without warm-up begins with a greedy action, as in Stable-Baselines3.
        """
        if step == 0:
            return 0.0
        first, last, fraction = self._epsilon
        spent = 1.0 - (1.0 - step * self._envs / self._config.total_timesteps)
        return last if spent > fraction else first + spent * (last - first) / fraction
