"""How does a run train on Stable-Baselines3? Its own DQN and SAC, unmodified: the reference engine.

The run follows `learn` step for step and ends at total_timesteps exactly: where a rollout would overshoot the budget,
it is cut there, and the updates that would follow it are not done. Initialisation, exploration, replay sampling and
policy noise draw from the global generators that Stable-Baselines3 seeds with the run's seed.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial
from typing import Any

from stable_baselines3 import DQN, SAC
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv
from torch import nn

from rlbatch.config import RunConfig
from rlbatch.environments import image_observations
from rlbatch.errors import InputError, TemporaryError
from rlbatch.rows import Commit, Emit
from rlbatch.training.endings import never_started
from rlbatch.training.envs import make_env
from rlbatch.training.sb3_watch import Watch
from rlbatch.training.schedules import learning_rate

_ACTIVATIONS = {"relu": nn.ReLU, "tanh": nn.Tanh, "elu": nn.ELU, "gelu": nn.GELU, "silu": nn.SiLU}
_SHARED = (
    "learning_starts",
    "batch_size",
    "tau",
    "gamma",
    "train_freq",
    "gradient_steps",
    "n_steps",
    "target_update_interval",
    "seed",
)
_OWN = {
    "dqn": ("max_grad_norm", "exploration_fraction", "exploration_initial_eps", "exploration_final_eps"),
    "sac": ("ent_coef", "target_entropy", "use_sde"),
}
"""Settings that go to Stable-Baselines3's constructors under their own names."""


def train(configs: Sequence[RunConfig], emit: Emit, commit: Commit, *, device: str) -> None:
    """Trains runs one after the other.

    Args:
        configs: the runs.
        emit: called as emit(run, report) with every row of run number `run`, and last with its ending.
        commit: called as commit(runs, timesteps), with the one run in training, when it begins and between vector
            steps; False asks to stop there, without an ending.
        device: torch's name of the device.
    """
    for run, config in enumerate(configs):
        if not commit((run,), 0):
            return
        started = time.monotonic()
        watch: Watch | None = None
        try:
            model = build_model(config, device)
            watch = Watch(config, model, partial(emit, run), partial(commit, (run,)))
            watch.evaluate(0)
            model.learn(config.total_timesteps, callback=watch, log_interval=None)
            if watch.stopped:
                return
            ending = watch.ending()
        except TemporaryError:  # the record cannot be written: not the run's doing
            raise
        except Exception as error:  # noqa: BLE001 - whatever ends a run is its outcome, and the next run goes on
            ending = watch.failed(error) if watch is not None else never_started(error, time.monotonic() - started)
        finally:
            if watch is not None:
                watch.close()
        emit(run, ending)


def build_model(config: RunConfig, device: str, envs: DummyVecEnv | None = None) -> DQN | SAC:
    """Returns Stable-Baselines3's model of a run, seeded with its seed; without `envs` it makes guarded ones.

    Raises:
        InputError: the run's networks have layer normalisation, which Stable-Baselines3's do not.
    """
    if config.layer_norm:
        raise InputError("layer_norm", "Stable-Baselines3's networks have no layer normalisation")
    if envs is None:
        envs = DummyVecEnv([lambda i=i: Monitor(make_env(config, checked=i == 0)) for i in range(config.n_envs)])  # type: ignore[misc]
    policy_kwargs: dict[str, Any] = {
        "net_arch": list(config.net_arch),
        "activation_fn": _ACTIVATIONS[config.activation_fn],
        "optimizer_kwargs": {"betas": (config.adam_beta1, config.adam_beta2), "eps": config.adam_eps},
    }
    if config.algo == "sac":
        policy_kwargs["log_std_init"] = config.log_std_init
    constant = config.lr_schedule == "constant" and config.lr_warmup == 0
    kind = {"dqn": DQN, "sac": SAC}[config.algo]
    model: DQN | SAC = kind(
        policy=_policy_name(envs),
        env=envs,
        learning_rate=config.learning_rate if constant else lambda left: learning_rate(config, 1.0 - left),
        buffer_size=_capacity(config),
        policy_kwargs=policy_kwargs,
        device=device,
        **{name: getattr(config, name) for name in (*_SHARED, *_OWN[config.algo])},
    )
    if (
        isinstance(model, SAC) and model.ent_coef_optimizer is not None
    ):  # Stable-Baselines3 gives it no optimizer_kwargs
        model.ent_coef_optimizer.param_groups[0].update(policy_kwargs["optimizer_kwargs"])
    return model


def _capacity(config: RunConfig) -> int:
    """Returns the replay capacity: buffer_size, or what the run can fill where that is less."""
    needed = -(-config.total_timesteps // config.n_envs) * config.n_envs
    return min(config.buffer_size, needed)


def _policy_name(envs: DummyVecEnv) -> str:
    space = envs.observation_space
    if hasattr(space, "spaces"):
        return "MultiInputPolicy"
    return "CnnPolicy" if image_observations(space) else "MlpPolicy"
