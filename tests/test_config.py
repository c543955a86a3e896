"""RunConfig: typed, checked, and identified by what changes its numbers."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from typing import Any

import pytest

from rlbatch import config as config_module
from rlbatch.config import SETTINGS, RunConfig, Setting, as_dict, from_dict, identity
from rlbatch.errors import InputError
from rlbatch.values import Integer


def dqn(**values: Any) -> RunConfig:
    return RunConfig.build(env_id="CartPole-v1", algo="dqn", **values)


def test_the_id_is_the_hash_of_the_canonical_identity() -> None:
    config = dqn(seed=3)
    canonical = json.dumps(identity(config), sort_keys=True, separators=(",", ":"))
    assert config.run_id == hashlib.sha256(canonical.encode()).hexdigest()[:16]
    arm = {k: v for k, v in identity(config).items() if k != "seed"}
    assert (
        config.arm_id
        == hashlib.sha256(json.dumps(arm, sort_keys=True, separators=(",", ":")).encode()).hexdigest()[:16]
    )


def test_the_id_of_a_known_config_never_changes() -> None:
    """The first two are those of default runs before the stacked engine: what sb3 trained then is found again.

    The default engine has changed since, and with it the numbers of a default run: it has another id.
    """
    assert dqn(engine="sb3").run_id == "01f8614f0cdc14f6"
    assert RunConfig.build(env_id="Pendulum-v1", algo="sac", engine="sb3").run_id == "2bbbd0b433611430"
    assert dqn().run_id == "3c0fe7ad79cea44f"
    assert RunConfig.build(env_id="Pendulum-v1", algo="sac").run_id == "582267ada58913f7"


def test_layer_normalisation_changes_the_id_and_its_absence_does_not() -> None:
    assert "layer_norm" not in identity(dqn(layer_norm=False))
    assert dqn(layer_norm=False).run_id == dqn().run_id
    assert dqn(layer_norm=True).run_id != dqn().run_id
    assert dqn(layer_norm=True).arm_id != dqn().arm_id


@pytest.mark.parametrize("name", [n for n, s in SETTINGS.items() if s.role != "identity"])
def test_labels_and_outside_fields_do_not_change_the_id(name: str) -> None:
    other = {
        "match": "samples",
        "lr_rule": "sqrt",
        "lr_reference_batch": 7,
        "replay_ratio": 2.0,
        "preset": "zoo",
        "log_points": 9,
    }
    assert dqn(**{name: other[name]}).run_id == dqn().run_id


@pytest.mark.parametrize("algo", ["dqn", "sac"])
def test_every_identity_field_changes_the_id(algo: str) -> None:
    base = RunConfig.build(env_id="X-v0", algo=algo)
    others = {
        "env_id": "Y-v0",
        "env_kwargs": {"a": 1},
        "lr_schedule": "linear",
        "ent_coef": 0.1,
        "target_entropy": -2.0,
        "use_sde": True,
        "net_arch": (7,),
        "activation_fn": "tanh",
    }
    fixed = {"algo", "env_backend", "engine", "precision"}
    for name in identity(base).keys() - fixed:
        value = getattr(base, name)
        other = others[name] if name in others else value + 1 if isinstance(value, int) else value * 0.5 + 0.01
        assert dataclasses.replace(base, **{name: other}).run_id != base.run_id, name
    assert fixed < identity(base).keys()


def test_seeds_share_the_arm_and_nothing_else() -> None:
    assert dqn(seed=1).arm_id == dqn(seed=2).arm_id
    assert dqn(seed=1).run_id != dqn(seed=2).run_id
    assert dqn(batch_size=32).arm_id != dqn(batch_size=64).arm_id


def test_a_whole_number_is_the_same_float() -> None:
    assert dqn(tau=1).run_id == dqn(tau=1.0).run_id


def test_fields_of_the_other_algorithm_are_none_and_outside_the_identity() -> None:
    assert dqn().ent_coef is None
    assert "ent_coef" not in identity(dqn())
    assert RunConfig.build(env_id="P", algo="sac").max_grad_norm is None


def test_a_field_added_later_is_left_out_while_it_holds_the_old_behaviour(monkeypatch: pytest.MonkeyPatch) -> None:
    added = Setting(Integer(1), 1, "", "", absent=1)
    monkeypatch.setitem(config_module.SETTINGS, "n_steps", added)
    assert "n_steps" not in identity(dqn())
    assert identity(dqn(n_steps=3))["n_steps"] == 3


@pytest.mark.parametrize(
    ("values", "field", "hint"),
    [
        ({"bacth_size": 3}, "bacth_size", "did you mean batch_size?"),
        ({"batch_size": 32.0}, "batch_size", "use 32"),
        ({"batch_size": "64"}, "batch_size", "not a whole number"),
        ({"gamma": 1.5}, "gamma", "[0, 1]"),
        ({"tau": 0}, "tau", "(0, 1]"),
        ({"train_freq": 0}, "train_freq", "1 to"),
        ({"gradient_steps": 0}, "gradient_steps", "or -1"),
        ({"exploration_final_eps": 2}, "exploration_final_eps", "[0, 1]"),
        ({"activation_fn": "rellu"}, "activation_fn", "did you mean relu?"),
        ({"ent_coef": "auto"}, "ent_coef", "of sac, not of dqn"),
        ({"seed": 2**32}, "seed", "out of range"),
    ],
)
def test_a_wrong_field_names_itself_and_what_is_allowed(values: dict[str, Any], field: str, hint: str) -> None:
    with pytest.raises(InputError) as caught:
        dqn(**values)
    assert caught.value.where == field
    assert hint in str(caught.value)


def test_a_config_survives_json() -> None:
    config = dqn(env_kwargs={"gravity": 5}, net_arch=[32])
    assert from_dict(json.loads(json.dumps(as_dict(config)))) == config


def test_every_setting_is_documented() -> None:
    for name, setting in SETTINGS.items():
        assert setting.help, name
    assert set(SETTINGS) == {f.name for f in dataclasses.fields(RunConfig)}


def test_sb3_defaults_are_those_of_stable_baselines3() -> None:
    import inspect

    from stable_baselines3 import DQN, SAC

    for algo, model in (("dqn", DQN), ("sac", SAC)):
        config = RunConfig.build(env_id="X-v0", algo=algo)
        theirs = {n: p.default for n, p in inspect.signature(model.__init__).parameters.items()}
        shared = theirs.keys() & SETTINGS.keys() - {"seed"}
        assert len(shared) >= 10
        for name in shared:
            assert getattr(config, name) == theirs[name], name
