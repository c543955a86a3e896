"""The shipped experiments: each parses, is as large as its head says, holds to the rules, and its arms train."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from rlbatch.analysis.arms import tasks_of
from rlbatch.analysis.collect import LABELS, Run
from rlbatch.config import RunConfig, as_dict, from_dict
from rlbatch.environments import installed, listed
from rlbatch.experiment_file import ExperimentFile, load
from rlbatch.paths import run_path
from rlbatch.power import power_of
from rlbatch.rows import Ending, Row
from rlbatch.training import stacked

EXPERIMENTS = Path(__file__).parents[2] / "experiments"
NAMES = sorted(path.stem for path in EXPERIMENTS.glob("*.yaml"))
DECLARED_BY_HAND = {"sb3_parity", "neutral_search", "neutral_search_dqn", "neutral_search_n_step"}
FIRST_LOOK = {"quickstart"}
SEEDS = {
    **{"CartPole-v1": 40, "MountainCar-v0": 40, "LunarLander-v3": 30, "LunarLanderContinuous-v3": 30},
    **{"HalfCheetah-v5": 25, "Acrobot-v1": 10, "Pendulum-v1": 10},
}
"""Fewest seeds of an arm in an experiment meant for conclusions."""
ASKED_FOR = {
    *("quickstart", "cartpole_dqn", "acrobot_dqn", "mountaincar_dqn", "lunarlander_dqn", "pendulum_sac"),
    *("lunarlander_sac", "halfcheetah_sac", "cross_environment", "batch_by_learning_rate", "updates_or_samples"),
    *("learning_rate_rules", "n_step_by_batch", "replay_ratio_by_batch", "width_by_batch", "sb3_parity"),
}

needs_all = pytest.mark.skipif(
    not (installed("box2d") and installed("mujoco")), reason="not every environment is installed"
)


@cache
def file(name: str) -> ExperimentFile:
    return load(EXPERIMENTS / f"{name}.yaml")


def configs(name: str) -> list[RunConfig]:
    return [run.config for run in file(name).planned]


def test_every_question_has_its_file_and_its_line_in_the_readme() -> None:
    assert set(NAMES) == ASKED_FOR | DECLARED_BY_HAND
    readme = (EXPERIMENTS / "README.md").read_text(encoding="utf-8")
    for name in NAMES:
        question = (EXPERIMENTS / f"{name}.yaml").read_text(encoding="utf-8").splitlines()[0].removeprefix("# ")
        assert question.endswith("?")
        assert f"| [{name}.yaml]({name}.yaml) | {question} |" in readme


@needs_all
@pytest.mark.parametrize("name", NAMES)
def test_the_head_says_size_and_command(name: str) -> None:
    document = file(name).document
    runs = configs(name)
    assert file(name).name == name
    assert f"# Size: {len(runs):,} runs" in document.text
    assert f"rlbatch run {name}" in document.text
    if name not in DECLARED_BY_HAND:
        steps = sum(config.total_timesteps for config in runs)
        assert f" in {len({config.arm_id for config in runs})} arms of " in document.text
        assert f"; {steps:,} env steps." in document.text


@needs_all
@pytest.mark.parametrize("name", sorted(set(NAMES) - DECLARED_BY_HAND - FIRST_LOOK))
def test_what_is_meant_for_conclusions_has_rates_and_seeds_enough(name: str) -> None:
    arms: dict[tuple[str, str], set[int]] = {}
    rates: dict[tuple[Any, ...], set[float]] = {}
    for config in configs(name):
        arms.setdefault((config.env_id, config.arm_id), set()).add(config.seed)
        rates.setdefault((config.env_id, config.batch_size), set()).add(config.learning_rate)
        assert 8 <= config.batch_size <= 1024
    assert min(len(values) for values in rates.values()) >= 3
    for (env_id, _), seeds in arms.items():
        assert len(seeds) >= SEEDS[env_id]
        power = power_of(env_id, len(seeds))
        assert power is not None
        assert power.difference < 0.1  # of the reference range
    assert file(name).analysis["reference"] == {"batch_size": 64}


@needs_all
def test_updates_or_samples_has_both_designs_that_share_the_runs_at_the_presets_batch() -> None:
    planned = file("updates_or_samples").planned
    assert {run.config.match for run in planned} == {"updates", "samples"}
    assert len({run.config.batch_size for run in planned}) >= 5
    assert {run.config.n_evaluations for run in planned} == {40}
    assert {run.config.batch_size for run in planned if run.also} == {64}


def shapes() -> dict[tuple[Any, ...], RunConfig]:
    """Returns one arm, that with the smallest batch, for each family, algorithm and static shape."""
    found: dict[tuple[Any, ...], RunConfig] = {}
    for name in NAMES:
        text = (EXPERIMENTS / f"{name}.yaml").read_text(encoding="utf-8")
        if not all(installed(listed()[env_id].family) for env_id in re.findall(r"\b[A-Z]\w+-v\d\b", text)):
            continue
        for config in sorted(configs(name), key=lambda config: config.batch_size):
            shape = (config.net_arch, config.n_steps, config.train_freq, config.gradient_steps)
            found.setdefault((listed()[config.env_id].family, config.algo, *shape), config)
    return found


def test_an_arm_of_every_kind_trains_for_100_updates() -> None:
    kinds = shapes()
    assert len(kinds) > 10
    for kind, config in kinds.items():
        steps = 64 + 100 * config.train_freq // config.gradient_steps
        short = {"total_timesteps": steps, "learning_starts": 60, "buffer_size": 256, "log_points": 1}
        short |= {"n_evaluations": 1, "n_eval_episodes": 1, "engine": "stacked"}
        ending = train(from_dict(as_dict(config) | short))
        assert ending.outcome == "ok", (kind, ending.reason)
        assert ending.updates >= 100, kind


def train(config: RunConfig) -> Ending:
    reports: list[Row | Ending] = []
    stacked.train([config], lambda run, report: reports.append(report), lambda runs, steps: True, device="cpu")
    assert isinstance(reports[-1], Ending)
    return reports[-1]


@pytest.mark.parametrize("name", NAMES)
def test_nothing_but_design_and_rule_varies_with_the_batch_size(name: str) -> None:
    """Else no run of it could ever give a verdict."""
    runs = []
    for planned in load(EXPERIMENTS / f"{name}.yaml").planned:
        labels = ({name: getattr(planned.config, name) for name in LABELS}, *planned.also)
        runs.append(Run(Path(), str(run_path(planned.config)), "ok", config=planned.config, labels=labels))
    for task in tasks_of(runs):
        assert {one.confounds for one in task.slices} == {()}
