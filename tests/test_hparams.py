"""HParams: what TensorBoard's own backend makes of the messages."""

from __future__ import annotations

import time
from typing import Any

import pytest
from boards import config_of
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.hparams import api_pb2, metadata

from rlbatch import hparams

START = metadata.parse_session_start_info_plugin_data
END = metadata.parse_session_end_info_plugin_data
EXPERIMENT = metadata.parse_experiment_plugin_data


def content(summary: Summary) -> bytes:
    (value,) = summary.value
    assert value.metadata.plugin_data.plugin_name == "hparams"
    return value.metadata.plugin_data.content


def told(settings: hparams.Settings) -> dict[str, Any]:
    info = START(content(hparams.session_start(settings, "arm", 5.0)))
    assert (info.group_name, info.start_time_secs) == ("arm", 5.0)
    return {name: getattr(value, value.WhichOneof("kind")) for name, value in info.hparams.items()}


def test_a_run_tells_what_is_compared_and_not_its_seed() -> None:
    config = config_of(batch_size=32, learning_rate=1e-3, seed=7, train_freq=4, gradient_steps=2)
    assert told(hparams.settings_of(config)) == {
        "batch_size": 32,
        "learning_rate": 1e-3,
        "env_id": "CartPole-v1",
        "algo": "dqn",
        "match": "updates",
        "replay_ratio": 0.5,
    }


def test_settings_that_somebody_named_are_told_too_and_defaults_are_not() -> None:
    origins = {
        "gamma": "--set",
        "net_arch": "file.yaml:3",
        "layer_norm": "--set",
        "seed": "--seeds",
        "tau": "default",
        "buffer_size": "preset neutral, dqn",
        "replay_ratio": "--set",
    }
    config = config_of(gamma=0.9, net_arch=[8, 4], layer_norm=True, seed=1)
    more = {name: value for name, value in told(hparams.settings_of(config, origins)).items()}
    assert (more["gamma"], more["net_arch"], more["layer_norm"]) == (0.9, "[8, 4]", True)
    assert not {"seed", "tau", "buffer_size"} & set(more)
    assert more["replay_ratio"] == 1.0


def test_a_setting_without_a_value_is_left_out() -> None:
    config = config_of(algo="sac", env_id="Pendulum-v1")
    assert "max_grad_norm" not in hparams.settings_of(config, {"max_grad_norm": "--set"})


@pytest.mark.parametrize(
    ("outcome", "status"), [("ok", "STATUS_SUCCESS"), ("diverged", "STATUS_FAILURE"), ("hung", "STATUS_FAILURE")]
)
def test_only_ok_is_a_success(outcome: str, status: str) -> None:
    end = END(content(hparams.session_end(outcome, time.time())))
    assert api_pb2.Status.Name(end.status) == status


def test_the_experiment_lists_what_varies_and_the_metrics() -> None:
    runs = [hparams.settings_of(config_of(batch_size=b, learning_rate=1e-3)) for b in (64, 32, 64)]
    found = EXPERIMENT(content(hparams.experiment([*runs, {"env_id": "Acrobot-v1", "batch_size": 128}])))
    domains = {info.name: list(info.domain_discrete) for info in found.hparam_infos}
    assert domains == {"batch_size": [32, 64, 128], "learning_rate": [1e-3], "env_id": ["Acrobot-v1", "CartPole-v1"]}
    assert [info.type for info in found.hparam_infos] == [3, 3, 1]
    assert {info.name.tag for info in found.metric_infos} == set(hparams.METRICS)


def test_many_values_of_a_setting_are_an_interval() -> None:
    found = EXPERIMENT(content(hparams.experiment([{"learning_rate": n / 1000} for n in range(1, 101)])))
    (info,) = found.hparam_infos
    assert (info.domain_interval.min_value, info.domain_interval.max_value) == (0.001, 0.1)


def test_values_of_several_types_are_text() -> None:
    found = EXPERIMENT(content(hparams.experiment([{"ent_coef": "auto"}, {"ent_coef": 0.1}])))
    assert found.hparam_infos[0].type == api_pb2.DATA_TYPE_STRING


def test_every_metric_is_a_tag_of_every_run() -> None:
    from rlbatch.rows import EVAL_TAGS, LIVE_TAGS, TRAIN_TAGS

    for tags in TRAIN_TAGS.values():
        assert set(hparams.METRICS) <= {*tags, *EVAL_TAGS, *LIVE_TAGS}
