"""Which runs did the user ask for? Turns settings into resolved `RunConfig`s and says where each value came from.

Precedence: command line > file > preset > default. On the result the design (`match`) sets the update schedule and the
rule (`lr_rule`) the optimiser, for each batch size.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from gymnasium import spaces

from rlbatch import presets
from rlbatch.config import LABEL, SETTINGS, RunConfig, check_name, check_value
from rlbatch.designs import Optimizer, Schedule, ratio_schedule, samples_schedule, scale_optimizer, warnings_of
from rlbatch.env_ids import bare_id
from rlbatch.environments import choose_algo, describe, vector_observations
from rlbatch.errors import InputError

MAX_RUNS = 10_000


@dataclass(frozen=True)
class Request:
    """What a command line asked for, before presets and designs; `experiment_file` has what a file asks for.

    Attributes:
        env_id: gymnasium id or module:Id.
        algo: dqn, sac or auto.
        batch_sizes: transitions; empty for the preset's.
        seeds: one run each; empty for seed 0 alone.
        settings: field of `RunConfig` -> value, as given.
        origins: field -> where it was given ("--steps", "--set").
    """

    env_id: str
    algo: str = "auto"
    batch_sizes: tuple[int, ...] = ()
    seeds: tuple[int, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    origins: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class PlannedRun:
    """A resolved run, where each value came from, and what is to be recorded with it.

    Attributes:
        config: the run.
        origins: field -> where its value came from; every field has one.
        preset_source: where the preset's values come from.
        notes: warnings recorded in the run.
        also: the labels under which the run was asked for once more: two designs share the run at the preset's batch.
    """

    config: RunConfig
    origins: dict[str, str]
    preset_source: str
    notes: list[str]
    also: tuple[dict[str, Any], ...] = ()

    @property
    def labels(self) -> dict[str, Any]:
        """What is kept beside the run's identity: by which design, rule and preset it was asked for."""
        return {name: getattr(self.config, name) for name, s in SETTINGS.items() if s.role == LABEL}


def expand(request: Request) -> list[PlannedRun]:
    """Returns all combinations of the request's batch sizes and seeds, batch sizes outermost.

    Raises:
        InputError: the environment, a setting or a combination is refused; one bad arm refuses the whole request.
        RefusedError: the environment needs a module that nobody named.
    """
    asked = max(len(request.batch_sizes), 1) * max(len(request.seeds), 1)
    if asked > MAX_RUNS:
        raise InputError("--seeds", f"{asked:,} runs are more than {MAX_RUNS:,}")
    axes = {"batch_size": request.batch_sizes, "seed": request.seeds}
    axes = {name: values for name, values in axes.items() if values}
    for name, values in [*((name, (value,)) for name, value in request.settings.items()), *axes.items()]:
        check_name(name)
        for value in values:
            check_value(name, value)
    where = {"env_id": "--env", "algo": "--algo", "batch_size": "--batch", "seed": "--seeds"} | dict(request.origins)
    points = (dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values()))
    return [resolve(request.env_id, {**request.settings, **point}, where, request.algo) for point in points]


def resolve(env_id: str, settings: Mapping[str, Any], where: Mapping[str, str], algo: str = "auto") -> PlannedRun:
    """Returns one run: default < preset < `settings`, then the design's schedule and the rule's optimiser.

    Args:
        env_id: gymnasium id or module:Id.
        settings: field of `RunConfig` -> value, as given.
        where: field -> where it was given, env_id and algo included.
        algo: dqn, sac or auto.

    Raises:
        InputError: the environment, a setting or their combination is refused.
        RefusedError: the environment needs a module that nobody named.
    """
    environment = describe(env_id, settings.get("env_kwargs", {}))
    chosen = choose_algo(environment, algo)
    for name in settings:
        check_name(name, chosen)
    given = {name: check_value(name, value) for name, value in settings.items()}
    preset = presets.load(given.get("preset", "neutral"), chosen, bare_id(env_id), given.get("total_timesteps"))
    values = {name: s.default_for(chosen) for name, s in SETTINGS.items() if s.algo in (None, chosen)}
    origins = dict.fromkeys(values, "default")
    preset_batch = preset.values.get("batch_size", values["batch_size"])
    _lay(values, origins, preset.values, preset.origins)
    _lay(values, origins, {"lr_reference_batch": preset_batch}, {"lr_reference_batch": "the preset's batch size"})
    named = {"env_id": env_id, "algo": chosen}
    _lay(values, origins, named, {**where, "algo": where.get("algo", "") if algo != "auto" else "action space"})
    _lay(values, origins, given, where)
    _apply_schedule(values, origins, given, preset_batch)
    _apply_rule(values, origins, chosen)
    notes = _choose_engine(values, origins, given, environment.observation_space)
    notes += _choose_n_steps(values, origins, given, environment.observation_space)
    config = RunConfig.build(**values)
    unchanged = config.preset == "zoo" and "learning_starts" not in given
    notes += warnings_of(config, warm_up_from_zoo=unchanged)
    return PlannedRun(config, origins, preset.source, notes)


def merged(runs: Iterable[PlannedRun]) -> list[PlannedRun]:
    """Returns each run once, in the order of first mention, with the labels of the later ones."""
    known: dict[str, PlannedRun] = {}
    for run in runs:
        first = known.setdefault(run.config.run_id, run)
        if first is not run and run.labels not in (first.labels, *first.also):
            known[run.config.run_id] = replace(first, also=(*first.also, run.labels))
    return list(known.values())


def _apply_schedule(
    values: dict[str, Any], origins: dict[str, str], given: Mapping[str, Any], preset_batch: int
) -> None:
    """Resolves replay_ratio and match: samples into train_freq and gradient_steps."""
    if values["replay_ratio"] is not None:
        clash = [name for name in ("train_freq", "gradient_steps") if name in given]
        if clash:
            raise InputError(
                "replay_ratio", f"is short for train_freq and gradient_steps, and {clash[0]} is given too", "give one"
            )
        schedule = ratio_schedule(values["replay_ratio"], values["n_envs"])
        _lay(values, origins, schedule._asdict(), dict.fromkeys(Schedule._fields, "from replay_ratio"))
    if values["match"] == "samples":
        schedule = samples_schedule(
            Schedule(values["train_freq"], values["gradient_steps"]),
            preset_batch,
            values["batch_size"],
            values["n_envs"],
        )
        if values["batch_size"] != preset_batch:
            _lay(values, origins, schedule._asdict(), dict.fromkeys(Schedule._fields, "match: samples"))


def _apply_rule(values: dict[str, Any], origins: dict[str, str], algo: str) -> None:
    """Scales the optimiser for the batch size by the learning-rate rule."""
    rule, factor = values["lr_rule"], values["batch_size"] / values["lr_reference_batch"]
    before = Optimizer(*(values[name] for name in Optimizer._fields))
    after = scale_optimizer(rule, before, factor, match=values["match"], target_per_update=algo == "sac")
    changed = {n: v for n, v in after._asdict().items() if v != values[n]}
    where = {name: f"lr_rule {rule} from {values[name]:g} ({origins[name]})" for name in changed}
    _lay(values, origins, changed, where)


def _choose_engine(
    values: dict[str, Any], origins: dict[str, str], given: Mapping[str, Any], observations: spaces.Space[Any]
) -> list[str]:
    """Takes the sb3 engine for what cannot be stacked, unless an engine was asked for; returns a note if it did."""
    notes = []
    reason = _why_not_stacked(values, observations)
    if reason and values["engine"] == "stacked":
        if "engine" in given:
            raise InputError("engine", f"'stacked' does not fit: {reason}", "use --engine sb3")
        _lay(values, origins, {"engine": "sb3"}, {"engine": reason})
        notes = [f"engine sb3, because {reason}"]
    if values["layer_norm"] and values["engine"] == "sb3":
        hint = f"leave it out: {reason}" if reason else "use --engine stacked"
        raise InputError("layer_norm", "Stable-Baselines3's networks have no layer normalisation", hint)
    return notes


def _choose_n_steps(
    values: dict[str, Any], origins: dict[str, str], given: Mapping[str, Any], observations: spaces.Space[Any]
) -> list[str]:
    """Takes one-step returns where there are no longer ones, unless they were asked for; returns a note if it did."""
    if values["n_steps"] == 1 or not isinstance(observations, spaces.Dict):
        return []
    reason = "Stable-Baselines3 has no n-step returns for Dict observations"
    if "n_steps" in given:
        raise InputError("n_steps", reason, "leave n_steps at 1")
    _lay(values, origins, {"n_steps": 1}, {"n_steps": reason})
    return [f"n_steps 1, because {reason}"]


def _why_not_stacked(values: Mapping[str, Any], observations: spaces.Space[Any]) -> str:
    """Returns what keeps runs from training as one program, or the empty string."""
    if not vector_observations(observations):
        kind = "Dict" if isinstance(observations, spaces.Dict) else "image"
        return f"{kind} observations cannot be stacked"
    return "gSDE cannot be stacked" if values.get("use_sde") else ""


def _lay(values: dict[str, Any], origins: dict[str, str], new: Mapping[str, Any], where: Mapping[str, str]) -> None:
    """Lays one layer of settings over those below it."""
    values.update(new)
    origins.update({name: where.get(name, "default") for name in new})
