"""What does TensorBoard's HParams page know of runs? Settings and arm of each, how it ended, and what is compared.

The messages are TensorBoard's own. A run is a session; the seeds of an arm are one session group, which is one row of
the page, with the mean of each metric. One experiment message says which settings vary and which metrics are shown.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.hparams import api_pb2, metadata
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData, SessionEndInfo, SessionStartInfo

from rlbatch.config import RunConfig, identity

ALWAYS = ("batch_size", "learning_rate")
"""Settings that are shown even where all runs have the same value."""
KEPT = ("env_id", "algo", "match", "replay_ratio")
"""Settings that every run tells besides."""
METRICS = {
    "eval/return_mean": "return",
    "efficiency/auc": "area under the curve",
    "efficiency/best": "best return",
    "stability/drawdown": "drawdown",
    "stability/dispersion": "dispersion",
    "batch/replays_per_transition": "replays per transition",
}
"""Tag -> what the column is called; the last value of each run counts, also while it trains."""
_MOST_VALUES = 50
"""Different values of a setting that are offered one by one."""

Settings = dict[str, bool | float | str]


def settings_of(config: RunConfig, origins: Mapping[str, str] | None = None) -> Settings:
    """Returns what a run tells of its settings: the usual ones, and those that neither default nor preset gave.

    `replay_ratio` is in updates per env step. The seed is left out, since a row has several.

    Args:
        config: the run.
        origins: field -> where its value came from, as config.json keeps it.
    """
    own = [name for name, origin in (origins or {}).items() if not origin.startswith(("default", "preset "))]
    values = identity(config) | {"match": config.match}
    values["replay_ratio"] = config.gradient_steps / (config.train_freq * config.n_envs)
    asked = dict.fromkeys((*ALWAYS, *KEPT, *own))
    return {name: _plain(values[name]) for name in asked if name != "seed" and values.get(name) is not None}


def session_start(settings: Settings, group: str, seconds: float) -> Summary:
    """Returns what begins a run.

    Args:
        settings: from `settings_of`.
        group: names the arm.
        seconds: since the epoch.
    """
    info = SessionStartInfo(group_name=group, start_time_secs=seconds)
    for name, value in settings.items():
        kind = "bool" if isinstance(value, bool) else "string" if isinstance(value, str) else "number"
        setattr(info.hparams[name], f"{kind}_value", value)
    return _summary(metadata.SESSION_START_INFO_TAG, HParamsPluginData(session_start_info=info))


def session_end(outcome: str, seconds: float) -> Summary:
    """Returns what ends a run: a success if its outcome is ok, else a failure.

    Args:
        outcome: one of `results.OUTCOMES`.
        seconds: since the epoch.
    """
    status = api_pb2.STATUS_SUCCESS if outcome == "ok" else api_pb2.STATUS_FAILURE
    info = SessionEndInfo(status=status, end_time_secs=seconds)
    return _summary(metadata.SESSION_END_INFO_TAG, HParamsPluginData(session_end_info=info))


def experiment(runs: Iterable[Settings]) -> Summary:
    """Returns what is compared: the settings that vary over runs, with their values, and the metrics."""
    values: dict[str, set[bool | float | str]] = {}
    for settings in runs:
        for name, value in settings.items():
            values.setdefault(name, set()).add(value)
    infos = [_setting_info(name, found) for name, found in values.items() if name in ALWAYS or len(found) > 1]
    metrics = [
        api_pb2.MetricInfo(name=api_pb2.MetricName(tag=tag), display_name=title) for tag, title in METRICS.items()
    ]
    message = api_pb2.Experiment(hparam_infos=infos, metric_infos=metrics)
    return _summary(metadata.EXPERIMENT_TAG, HParamsPluginData(experiment=message))


def _setting_info(name: str, values: set[bool | float | str]) -> api_pb2.HParamInfo:
    kinds = {type(value) for value in values}
    kind = "STRING" if str in kinds else "BOOL" if kinds == {bool} else "FLOAT64"
    info = api_pb2.HParamInfo(name=name, type=api_pb2.DataType.Value(f"DATA_TYPE_{kind}"))
    if len(values) <= _MOST_VALUES:
        info.domain_discrete.extend(sorted(values, key=lambda value: (isinstance(value, str), value)))
    elif kind == "FLOAT64":
        info.domain_interval.min_value, info.domain_interval.max_value = min(values), max(values)
    return info


def _plain(value: Any) -> bool | float | str:
    """Returns a value as the page can show it; the type of a setting never depends on its value."""
    if isinstance(value, dict | list | tuple):
        return json.dumps(value, sort_keys=True)
    return value if isinstance(value, bool | int | float | str) else str(value)


def _summary(tag: str, content: HParamsPluginData) -> Summary:
    value = Summary.Value(tag=tag, metadata=metadata.create_summary_metadata(content), tensor=metadata.NULL_TENSOR)
    return Summary(value=[value])
