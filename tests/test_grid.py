"""The grid: what a request becomes, and where each value came from."""

from __future__ import annotations

from typing import Any

import pytest

from rlbatch.config import SETTINGS, RunConfig
from rlbatch.errors import InputError, RefusedError
from rlbatch.grid import PlannedRun, Request, expand


def one(env_id: str = "CartPole-v1", batch: int | None = None, **settings: Any) -> PlannedRun:
    (run,) = expand(Request(env_id, batch_sizes=(batch,) if batch else (), settings=settings))
    return run


def test_all_combinations_are_made_batch_sizes_outermost() -> None:
    runs = expand(Request("CartPole-v1", batch_sizes=(32, 64), seeds=(0, 1, 2)))
    assert [(r.config.batch_size, r.config.seed) for r in runs] == [(b, s) for b in (32, 64) for s in (0, 1, 2)]
    assert len({r.config.run_id for r in runs}) == 6
    assert len({r.config.arm_id for r in runs}) == 2


def test_the_command_line_beats_the_preset_and_the_preset_the_default() -> None:
    run = one(gamma=0.5)
    assert run.config.gamma == 0.5
    assert run.config.exploration_fraction == 0.2
    assert run.config.adam_beta1 == 0.9
    assert run.origins["exploration_fraction"].startswith("preset neutral")
    assert run.origins["adam_beta1"] == "default"
    assert set(run.origins) == {name for name, s in SETTINGS.items() if s.algo in (None, "dqn")}


def test_two_designs_share_the_run_at_the_presets_batch() -> None:
    updates = one(batch=64, match="updates")
    samples = one(batch=64, match="samples")
    assert updates.config.run_id == samples.config.run_id
    assert one(batch=128, match="updates").config.run_id != one(batch=128, match="samples").config.run_id


def test_numbers_that_are_the_same_have_the_same_id() -> None:
    sac = {"match": "samples", "batch": 64}
    plain, scaled = one("Pendulum-v1", **sac), one("Pendulum-v1", lr_rule="adam-sde", **sac)
    assert plain.config.run_id == scaled.config.run_id
    assert one(gradient_steps=-1).config.run_id == one(gradient_steps=1).config.run_id
    assert one(gradient_steps=-1, n_envs=4, train_freq=2).config.gradient_steps == 8
    assert one("Pendulum-v1", ent_coef="auto_1.0").config.run_id == one("Pendulum-v1").config.run_id


def test_n_step_returns_of_dict_observations_are_refused() -> None:
    with pytest.raises(InputError, match="n_steps"):
        one("Probe/Spaced-v0", env_kwargs={"observation": "dict"}, n_steps=3)


SPACED = "Probe/Spaced-v0"
DICT, IMAGE = ({"env_kwargs": {"observation": kind}} for kind in ("dict", "image"))


def test_runs_are_stacked_unless_another_engine_is_asked_for() -> None:
    assert (one().config.engine, one().origins["engine"], one().notes) == ("stacked", "default", [])
    assert one(engine="sb3").config.engine == "sb3"
    assert one(SPACED, env_kwargs={"observation": "discrete"}).config.engine == "stacked"
    assert one("Pendulum-v1", use_sde=False).config.engine == "stacked"


UNSTACKABLE = [
    (SPACED, DICT, "Dict observations cannot be stacked"),
    (SPACED, IMAGE, "image observations cannot be stacked"),
    ("Pendulum-v1", {"use_sde": True}, "gSDE cannot be stacked"),
]


@pytest.mark.parametrize(("env_id", "settings", "reason"), UNSTACKABLE, ids=["dict", "image", "gsde"])
def test_what_cannot_be_stacked_goes_to_sb3_and_says_why(env_id: str, settings: dict[str, Any], reason: str) -> None:
    run = one(env_id, **settings)
    assert (run.config.engine, run.origins["engine"]) == ("sb3", reason)
    assert run.notes[0] == f"engine sb3, because {reason}"
    asked = one(env_id, engine="sb3", **settings)
    assert (asked.config, asked.notes) == (run.config, run.notes[1:])


def test_the_presets_longer_returns_become_one_step_returns_where_there_are_none_and_that_is_said() -> None:
    run = one(SPACED, **DICT)
    reason = "Stable-Baselines3 has no n-step returns for Dict observations"
    assert (run.config.n_steps, run.origins["n_steps"]) == (1, reason)
    assert run.notes[1:] == [f"n_steps 1, because {reason}"]
    assert one(SPACED, **IMAGE).config.n_steps == 3
    assert one(SPACED, **IMAGE).notes[1:] == []


@pytest.mark.parametrize(("env_id", "settings", "reason"), UNSTACKABLE, ids=["dict", "image", "gsde"])
def test_an_engine_that_was_asked_for_is_never_replaced(env_id: str, settings: dict[str, Any], reason: str) -> None:
    with pytest.raises(InputError) as caught:
        one(env_id, engine="stacked", **settings)
    assert (caught.value.where, caught.value.hint) == ("engine", "use --engine sb3")
    assert caught.value.what == f"'stacked' does not fit: {reason}"


def test_layer_normalisation_needs_the_stacked_engine() -> None:
    assert one(layer_norm=True).config.layer_norm
    for settings, hint in (({"engine": "sb3"}, "use --engine stacked"), (DICT, "leave it out: Dict observations")):
        with pytest.raises(InputError, match="no layer normalisation") as caught:
            one(SPACED, layer_norm=True, **settings)
        assert caught.value.where == "layer_norm"
        assert caught.value.hint.startswith(hint)


def test_match_samples_changes_the_schedule_and_says_so() -> None:
    run = one(batch=256, match="samples")
    assert (run.config.train_freq, run.config.gradient_steps) == (4, 1)
    assert run.origins["train_freq"] == "match: samples"


def test_match_samples_starts_from_the_schedule_that_was_set() -> None:
    run = one(batch=128, match="samples", gradient_steps=2)
    assert (run.config.train_freq, run.config.gradient_steps) == (1, 1)


def test_a_rule_scales_the_rate_from_the_reference_batch() -> None:
    base = one(batch=64, lr_rule="sqrt").config.learning_rate
    assert one(batch=256, lr_rule="sqrt").config.learning_rate == pytest.approx(2 * base)
    assert one(batch=256, lr_rule="linear").config.learning_rate == pytest.approx(4 * base)
    assert one(batch=256, lr_rule="linear", lr_reference_batch=256).config.learning_rate == base
    assert one(batch=256, lr_rule="linear", learning_rate=1e-3).config.learning_rate == pytest.approx(4e-3)
    assert "lr_rule sqrt from 0.001" in one(batch=256, lr_rule="sqrt").origins["learning_rate"]


def test_a_label_alone_does_not_make_another_run() -> None:
    assert one(batch=64, lr_rule="sqrt").config.run_id == one(batch=64).config.run_id


def test_adam_sde_moves_the_target_of_sac_but_not_of_dqn() -> None:
    sac = one("Pendulum-v1", 128, lr_rule="adam-sde", match="samples").config
    assert sac.tau == pytest.approx(1 - 0.995**2)
    assert (sac.adam_beta1, sac.adam_eps) == pytest.approx((0.8, 1e-8 / 2**0.5))
    assert one(batch=128, lr_rule="adam-sde", match="samples").config.tau == 0.005


def test_replay_ratio_is_short_for_the_schedule() -> None:
    run = one(replay_ratio=0.25)
    assert (run.config.train_freq, run.config.gradient_steps) == (4, 1)
    assert run.config.run_id == one(train_freq=4, gradient_steps=1).config.run_id
    with pytest.raises(InputError, match="train_freq is given too"):
        one(replay_ratio=0.25, train_freq=4)


@pytest.mark.parametrize(
    ("batch", "settings", "said"),
    [
        (4096, {}, "learning_starts=4096"),
        (256, {"buffer_size": 100}, "buffer_size=256"),
        (64, {"total_timesteps": 2000}, "no update would happen"),
        (64, {"lr_rule": "adam-sde"}, "--match samples"),
        (8192, {"match": "samples", "learning_starts": 9000}, "nearest that can: 4096"),
        (64, {"preset": "zoo", "match": "samples"}, "burst"),
        (64, {"ent_coef": "auto"}, "of sac, not of dqn"),
        (64, {"learning_ratte": 1}, "did you mean learning_rate"),
        (64, {"n_eval_episodes": 0}, "1 to"),
    ],
)
def test_bad_requests_are_refused_before_anything_runs(batch: int, settings: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError) as caught:
        one(batch=batch, **settings)
    assert said in str(caught.value)


def test_one_bad_arm_refuses_the_whole_request() -> None:
    with pytest.raises(InputError):
        expand(Request("CartPole-v1", batch_sizes=(64, 4096)))


def test_a_zoo_warm_up_below_the_batch_is_noted() -> None:
    run = one("LunarLander-v3", preset="zoo")
    assert run.notes[0].startswith("warm-up smaller than the batch")
    with pytest.raises(InputError, match="learning_starts"):
        one("LunarLander-v3", preset="zoo", learning_starts=10)


def test_an_unlisted_environment_gets_the_fallback() -> None:
    run = one("Probe/Probe-v0", total_timesteps=3000)
    assert run.config.learning_starts == 600
    assert run.origins["learning_starts"] == "preset neutral, fallback"


def test_a_request_for_too_many_runs_is_refused() -> None:
    with pytest.raises(InputError, match="more than 10,000"):
        expand(Request("CartPole-v1", batch_sizes=tuple(range(1, 102)), seeds=tuple(range(100))))


def test_an_unnamed_module_is_refused() -> None:
    with pytest.raises(RefusedError):
        expand(Request("os:CartPole-v1"))


def test_configs_are_built_the_same_way_every_time() -> None:
    assert one(batch=32).config == one(batch=32).config
    assert isinstance(one().config, RunConfig)
