"""Presets: complete, resolvable and refusing nothing that they bring themselves."""

from __future__ import annotations

from typing import Any

import pytest

from rlbatch import presets
from rlbatch.environments import listed
from rlbatch.errors import InputError
from rlbatch.grid import Request, expand

ZOO_LACKS = {"Reacher-v5", "Pusher-v5", "InvertedPendulum-v5", "InvertedDoublePendulum-v5"}


@pytest.mark.parametrize("env_id", list(listed()))
def test_neutral_lists_every_listed_environment(env_id: str) -> None:
    preset = presets.load("neutral", listed()[env_id].algo, env_id)
    assert preset.listed
    assert preset.source
    assert {"batch_size", "learning_rate", "total_timesteps", "net_arch"} <= preset.values.keys()


@pytest.mark.parametrize("env_id", list(listed()))
@pytest.mark.parametrize("name", presets.NAMES)
def test_every_preset_resolves_to_a_run(name: str, env_id: str) -> None:
    (run,) = expand(Request(env_id, settings={"preset": name}))
    assert run.preset_source
    assert run.config.preset == name
    assert set(run.origins) >= {"learning_rate", "batch_size"}


def test_neutral_is_what_the_design_says() -> None:
    for env_id, facts in listed().items():
        values = presets.load("neutral", facts.algo, env_id).values
        kept = {k: values[k] for k in ("batch_size", "train_freq", "gradient_steps", "learning_starts")}
        assert kept == {"batch_size": 64, "train_freq": 1, "gradient_steps": 1, "learning_starts": 2048}, env_id


def test_the_zoo_has_what_rl_zoo_has() -> None:
    zoo = presets.document("zoo")
    assert set(zoo["dqn"]["environments"]) | set(zoo["sac"]["environments"]) == set(listed()) - ZOO_LACKS
    cartpole = presets.load("zoo", "dqn", "CartPole-v1").values
    expected: dict[str, Any] = {
        "learning_rate": 2.3e-3,
        "batch_size": 64,
        "buffer_size": 100_000,
        "learning_starts": 1000,
        "target_update_interval": 10,
        "train_freq": 256,
        "gradient_steps": 128,
        "exploration_fraction": 0.16,
        "exploration_final_eps": 0.04,
        "net_arch": (256, 256),
    }
    assert {k: cartpole[k] for k in expected} == expected


@pytest.mark.parametrize("algo", ["dqn", "sac"])
@pytest.mark.parametrize(("steps", "warm_up"), [(3000, 600), (1000, 200), (50_000, 2048), (9, 1)])
def test_the_fallback_leaves_a_short_run_time_to_learn(algo: str, steps: int, warm_up: int) -> None:
    assert presets.load("neutral", algo, "Mine-v0", steps).values["learning_starts"] == warm_up


def test_an_unknown_preset_names_the_nearest() -> None:
    with pytest.raises(InputError, match=r"did you mean neutral\?"):
        presets.load("neutrall", "dqn", "CartPole-v1")
