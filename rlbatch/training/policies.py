"""How does a finished run act? Its saved weights in Stable-Baselines3's classes, to evaluate again or to hand on."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
import torch
from stable_baselines3 import DQN, SAC

from rlbatch.config import RunConfig
from rlbatch.errors import InputError, RefusedError
from rlbatch.results import RunFolder
from rlbatch.training.agents import make_agents
from rlbatch.training.devices import available
from rlbatch.training.envs import EnvironmentFailure
from rlbatch.training.evaluation import Evaluation, Evaluator
from rlbatch.training.instances import Instances
from rlbatch.training.sb3 import build_model
from rlbatch.training.stack_evaluation import StackEvaluator


def load_model(config: RunConfig, weights_file: Path, device: str = "cpu") -> DQN | SAC:
    """Returns the run's model with its saved weights.

    Raises:
        InputError: the file is missing.
        RefusedError: it does not hold this run's networks.
    """
    weights = {name: torch.from_numpy(array) for name, array in _read_weights(weights_file).items()}
    plain = replace(config, lr_schedule="constant", lr_warmup=0.0, buffer_size=config.n_envs)
    model = build_model(plain, device)
    log_ent_coef = weights.pop("log_ent_coef", None)
    try:
        model.policy.load_state_dict(weights)
    except RuntimeError as error:
        raise _misfit(weights_file, error) from error
    if isinstance(model, SAC) and model.log_ent_coef is not None and log_ent_coef is not None:
        model.log_ent_coef.data.copy_(log_ent_coef)
    return model


def evaluate_again(run: RunFolder) -> tuple[Evaluation, dict[str, Any], bool]:
    """Repeats the last evaluation of a run on the device it was trained on, or on the CPU where that is missing.

    Returns:
        The evaluation, the recorded row, and whether the device was the same: another one may give other bits.

    Raises:
        InputError: the run is not finished, lacks evaluations or has no weights.
        RefusedError: its environment needs a module that the command line did not name.
    """
    if run.result() is None:
        raise InputError(str(run.path), "is not finished", "run the same train command again")
    run.check_evaluations()  # else a record that was cut looks as if the environment had changed
    recorded = list(run.rows("eval"))
    if not recorded:
        raise InputError(str(run.metrics_path), "holds no evaluation")
    trained_on = str(run.record().get("device", "cpu"))
    device = trained_on if trained_on in [known["device"] for known in available()] else "cpu"
    played = _play(run, run.config(), len(recorded) - 1, "evaluation", device)
    return played, recorded[-1], device == trained_on


def evaluate_fresh(run: RunFolder, episodes: int) -> Evaluation:
    """Plays greedy episodes on seeds that no evaluation of the run used; raises like `evaluate_again`."""
    return _play(run, replace(run.config(), n_eval_episodes=episodes), 0, "fresh evaluation")


def export(run: RunFolder, target: Path) -> str:
    """Writes the run's model as Stable-Baselines3's .zip; returns the name of the class that loads it.

    Raises:
        InputError: the target exists or cannot be written, or the run has no weights.
    """
    if os.path.lexists(target):
        raise InputError("--to", f"{str(target)!r} exists", "choose another file")
    if not target.parent.is_dir() or not os.access(target.parent, os.W_OK):
        raise InputError("--to", f"{str(target.parent)!r} is not a folder that can be written to")
    absolute, config, weights_file = target.resolve(), run.config(), run.policy_path.resolve()
    with _scratch():
        model = load_model(config, weights_file)
        beside = absolute.with_name(f".{absolute.name}.{os.getpid()}.zip")
        try:
            # chosen again when it is loaded; kept, it would be taken for one of the user's, which ignores n_steps
            model.save(beside, exclude=["replay_buffer_class"])
            beside.replace(absolute)
        finally:
            beside.unlink(missing_ok=True)
    return type(model).__name__


def _play(run: RunFolder, config: RunConfig, number: int, purpose: str, device: str = "cpu") -> Evaluation:
    torch.set_num_threads(1)
    weights_file = run.policy_path.resolve()
    with _scratch():
        if config.engine == "stacked":
            return _play_stacked(config, weights_file, number, purpose, device)
        model = load_model(config, weights_file, device)
        evaluator = Evaluator(config, reuse=False)

        def act(observations: Any) -> Any:
            return model.predict(observations, deterministic=True)[0]

        try:
            return evaluator(number, act, purpose)
        finally:
            evaluator.close()


def _play_stacked(config: RunConfig, weights_file: Path, number: int, purpose: str, device: str) -> Evaluation:
    """Plays with the run's own networks, alone in a stack: on a CPU the same bits as in the stack it trained in."""
    weights = _read_weights(weights_file)
    with torch.inference_mode():
        agents = make_agents([config], device)
        try:
            agents.load(0, weights)
        except ValueError as error:
            raise _misfit(weights_file, error) from error

        def act(observations: Any) -> Any:
            return agents.act_greedily(torch.from_numpy(observations).to(device))

        evaluator = StackEvaluator([config], partial(Instances, config), reuse=False)
        try:
            found = evaluator(number, act, [0], purpose)[0]
        finally:
            evaluator.close()
    if isinstance(found, EnvironmentFailure):
        raise found
    return found


def _read_weights(weights_file: Path) -> dict[str, np.ndarray[Any, Any]]:
    try:
        return dict(safetensors.numpy.load_file(weights_file))
    except OSError as error:
        raise InputError(
            str(weights_file), "there are no saved weights", "only a run that ended ok has them"
        ) from error
    except safetensors.SafetensorError as error:
        raise RefusedError(str(weights_file), f"is damaged: {error}") from error


def _misfit(weights_file: Path, error: Exception) -> RefusedError:
    return RefusedError(str(weights_file), f"does not fit the run's networks: {error}")


@contextlib.contextmanager
def _scratch() -> Iterator[None]:
    """Works in a folder that is thrown away: MuJoCo leaves a log where it runs."""
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        yield
