"""Experiment files: which runs they become, where their values come from, and that an error names its line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rlbatch.errors import InputError, RefusedError, RlbatchError
from rlbatch.experiment_file import ExperimentFile, load, plan, relocate, settings_of
from rlbatch.grid import Request, expand
from rlbatch.strict_yaml import parse

HEAD = "name: x\nenvs: [CartPole-v1]\n"


def planned(text: str, head: str = HEAD) -> ExperimentFile:
    return plan(parse(head + text, "f.yaml"))


def values(file: ExperimentFile, *fields: str) -> list[tuple[Any, ...]]:
    return [tuple(getattr(run.config, field) for field in fields) for run in file.planned]


def test_the_runs_are_all_combinations_environments_outermost_and_seeds_innermost() -> None:
    file = planned(
        "learning_rate: [1e-3, 3.0e-4]\nbatch_size: [32, 64]\nseeds: 2\n", "name: x\nenvs: [CartPole-v1, Acrobot-v1]\n"
    )
    assert values(file, "env_id", "learning_rate", "batch_size", "seed") == [
        (env, rate, batch, seed)
        for env in ("CartPole-v1", "Acrobot-v1")
        for rate in (1e-3, 3e-4)
        for batch in (32, 64)
        for seed in (0, 1)
    ]


def test_a_file_and_a_command_line_plan_the_same_run() -> None:
    (run,) = planned("batch_size: 128\nmatch: samples\nlr_rule: sqrt\nseeds: [7]\ngamma: 0.9\n").planned
    settings = {"match": "samples", "lr_rule": "sqrt", "gamma": 0.9}
    (same,) = expand(Request("CartPole-v1", batch_sizes=(128,), seeds=(7,), settings=settings))
    assert run.config == same.config


def test_every_value_says_where_it_comes_from() -> None:
    (run,) = planned("gamma: 0.9\noverrides:\n  CartPole-v1:\n    batch_size: 32\n").planned
    origins = {field: run.origins[field] for field in ("env_id", "gamma", "batch_size", "tau", "adam_eps", "algo")}
    assert origins == {
        "env_id": "f.yaml:2",
        "gamma": "f.yaml:3",
        "batch_size": "f.yaml:6",
        "tau": "preset neutral, dqn",
        "adam_eps": "default",
        "algo": "action space",
    }


def test_a_list_is_an_axis_overrides_beat_it_and_exclude_takes_away() -> None:
    content = {
        "name": "x",
        "envs": ["A", "B"],
        "seeds": ["0..1", 7],
        "gamma": [0.9, 0.99],
        "net_arch": [64, 64],
        "overrides": {"B": {"gamma": 0.5}},
        "exclude": [{"env_id": "A", "seed": "0..1"}, {"gamma": 0.5, "seed": 7}],
        "analysis": {"score": "auc"},
    }
    runs = settings_of(content)
    assert [(run["env_id"], run["seed"], run["gamma"]) for run in runs] == [
        ("A", 7, 0.9),
        ("A", 7, 0.99),
        ("B", 0, 0.5),
        ("B", 1, 0.5),
    ]
    assert all(run["net_arch"] == [64, 64] and "name" not in run for run in runs)


def test_an_override_may_be_an_axis_of_its_environment() -> None:
    file = planned("gamma: [0.9, 0.99]\noverrides: {CartPole-v1: {gamma: [0.5, 0.6, 0.7]}}\n")
    assert values(file, "gamma") == [(0.5,), (0.6,), (0.7,)]


def test_an_axis_of_a_list_typed_setting_is_a_list_of_lists() -> None:
    assert values(planned("net_arch: [[64], [64, 64]]\n"), "net_arch") == [((64,),), ((64, 64),)]
    assert values(planned("net_arch: [64, 32]\n"), "net_arch") == [((64, 32),)]
    assert values(planned("net_arch: []\n"), "net_arch") == [((),)]


@pytest.mark.parametrize(
    ("text", "seeds"),
    [("", [0]), ("seeds: 3", [0, 1, 2]), ("seeds: 4..6", [4, 5, 6]), ("seeds: [5, 0..1]", [5, 0, 1])],
)
def test_seeds_are_a_count_a_range_or_a_list(text: str, seeds: list[int]) -> None:
    assert [run.config.seed for run in planned(text).planned] == seeds


def test_labels_are_axes_and_a_run_of_two_designs_is_one_run_with_both_labels() -> None:
    file = planned("match: [updates, samples]\nbatch_size: [32, 64]\n")
    assert values(file, "match", "batch_size") == [("updates", 32), ("updates", 64), ("samples", 32)]
    assert [[labels["match"] for labels in run.also] for run in file.planned] == [[], ["samples"], []]
    assert file.declared().also.keys() == {file.planned[1].config.run_id}


def test_the_reference_is_the_presets_batch_size_unless_said_otherwise() -> None:
    assert planned("batch_size: [32, 64]\n").analysis == {"reference": {"batch_size": 64}}
    assert planned("batch_size: [32, 128]\n").analysis == {}
    own = "batch_size: [32, 64]\nanalysis: {reference: {batch_size: 32}, why: because}\n"
    assert planned(own).analysis == {"reference": {"batch_size": 32}, "why": "because"}
    same = "analysis: {metric: final, score: final, margin: 0.02, alpha: 0.05}\n"
    assert planned(same).analysis["margin"] == 0.02
    designs = "match: [updates, samples]\nanalysis: {reference: {match: samples}}\n"
    assert planned(designs).analysis == {"reference": {"match": "samples"}}  # known by its second label only


def test_crlf_and_spaces_at_the_end_give_the_same_runs(tmp_path: Path) -> None:
    text = HEAD + "batch_size: [32, 64]\nseeds: 2\n"
    (tmp_path / "unix.yaml").write_text(text)
    (tmp_path / "windows.yaml").write_bytes(text.replace("\n", "  \r\n").encode())
    ids = [[run.config.run_id for run in load(tmp_path / f"{name}.yaml").planned] for name in ("unix", "windows")]
    assert ids[0] == ids[1]


BAD = [
    ("bacth_size: 3", "3:1", "is not a setting", "did you mean batch_size?"),
    ("seed: 3", "3:1", "seed cannot be set there", "did you mean seeds?"),
    ("env: CartPole-v1", "3:1", "is not a setting", "did you mean envs?"),
    ("include: x.yaml", "3:1", "is not a setting", ""),
    ("version: 999", "3:1", "is not a setting", ""),
    ("batch_size: []", "3:1", "so there is no run", ""),
    ("batch_size: [32, 32]", "3:18", "32 stands twice", ""),
    ('batch_size: [32, "64"]', "3:18", "'64' is not a whole number", ""),
    ("batch_size: [32, null]", "3:18", "is not a whole number", ""),
    ("batch_size: 32.0", "3:1", "use 32", ""),
    ("batch_size: true", "3:1", "is not a whole number", ""),
    ("batch_size:\n  - 64\n  - 4096", "5:5", "larger than learning_starts", "learning_starts: 4096"),
    ("learning_rate: nan", "3:1", "is not a number", ""),
    ('learning_rate: "${RATE}"', "3:1", "is not a number", ""),
    ("ent_coef: auto", "3:1", "of sac, not of dqn", ""),
    ("match: sample", "3:1", "is not one of", "did you mean samples?"),
    ("algo: sac", "3:1", "does not take the Discrete actions", ""),
    ("lr_rule: adam-sde", "3:1", "fixed number of samples", "use match: samples"),
    ("preset: zo", "3:1", "is not a preset", "did you mean zoo? allowed: neutral, zoo"),
    ("total_timesteps: 10", "3:1", "no update would happen", "total_timesteps"),
    ("learning_starts: 60000", "2:8", "CartPole-v1: total_timesteps: no update", "learning_starts"),
    ("replay_ratio: 0.5\ntrain_freq: 2", "3:1", "train_freq is given too", ""),
    ("env_kwargs: {render_mode: human}", "3:1", "env_kwargs: render_mode human", ""),
    ("env_kwargs: {foo: 1}", "3:1", "does not accept", ""),
    ("net_arch: [[64], [64]]", "3:18", "stands twice", ""),
    ("net_arch: [64, x]", "3:1", "is not a whole number", ""),
    ("seeds: 0", "3:1", "allowed is 1 to 10000", ""),
    ("seeds: 5..1", "3:1", "write 1..5", ""),
    ("seeds: [0..3, 2]", "3:15", "2 stands twice", ""),
    ("seeds: [0, x]", "3:12", "seeds: 'x' is not a whole number", "a count, a range 0..19, or a list"),
    ("seeds: two", "3:1", "seeds: 'two' is not a whole number", "a count, a range 0..19, or a list"),
    ("seeds: 2\nexclude: [{seed: two}]", "4:12", "seed: 'two' is not a whole number", "a count"),
    ("seeds: []", "3:1", "is empty", ""),
    ("seeds: 10000\nbatch_size: [32, 64]", "1:1", "20,000 runs are more than 10,000", ""),
    ("overrides: {CartPol-v1: {gamma: 0.5}}", "3:13", "is not in envs", "did you mean CartPole-v1?"),
    ("overrides: {CartPole-v1: {gama: 0.5}}", "3:27", "is not a setting", "did you mean gamma?"),
    ("overrides: {CartPole-v1: {seeds: 3}}", "3:27", "cannot be set there", ""),
    ("overrides: {CartPole-v1: 3}", "3:13", "is not a mapping", ""),
    ("overrides: 3", "3:1", "is not a mapping", ""),
    ("exclude: {gamma: 1}", "3:1", "is not a list", ""),
    ("exclude: [3]", "3:11", "is not a mapping", ""),
    ("exclude: [{batch_size: 3}]", "3:12", "is not set in this file", ""),
    ("gamma: [0.1, 0.2]\nexclude: [{gamma: 0.3}]", "4:11", "excludes no run", ""),
    ("gamma: [0.1, 0.2]\nexclude: [{gamma: [0.1, 0.2]}]", "4:1", "leaves no run", ""),
    ("gamma: 0.1\nexclude: [{gamma: x}]", "4:12", "is not a number", ""),
    ("analysis: 3", "3:1", "is not a mapping", ""),
    ("analysis: {metric: area}", "3:12", "is not one of auc", ""),
    ("analysis: {equivalence: 3}", "3:12", "allowed is (0, 1)", ""),
    ("analysis: {delta: 0.03, margin: 0.02}", "3:12", "delta and margin mean the same and differ", "write equivalence"),
    ("analysis: {alpha: 0.01}", "3:12", "alpha: 0.01 is not the level of the tests", "write 0.05"),
    ("analysis: {equivalense: 0.1}", "3:12", "is not a key", "did you mean equivalence?"),
    ("analysis: {reference: {batch_size: 3}}", "3:12", "no run has batch_size: 3", "the runs have 64"),
    ("analysis: {reference: {bacth_size: 3}}", "3:12", "is not a setting", "did you mean batch_size?"),
]


@pytest.mark.parametrize(("text", "where", "said", "hint"), BAD)
def test_an_error_names_line_and_column_and_the_way_out(text: str, where: str, said: str, hint: str) -> None:
    with pytest.raises(InputError) as caught:
        planned(text)
    assert caught.value.where == f"f.yaml:{where}"
    assert said in caught.value.what
    assert hint in caught.value.hint
    assert "--" not in str(caught.value)  # the file's words, not the command line's


@pytest.mark.parametrize(
    ("text", "where", "said"),
    [
        ("envs: [CartPole-v1]", "1:1", "has no name"),
        ("name: x", "1:1", "names no environment"),
        ("name: ../x\nenvs: CartPole-v1", "1:1", "cannot be a folder's name"),
        ("name: 3\nenvs: CartPole-v1", "1:1", "cannot be a folder's name"),
        ("name: x\nenvs: []", "2:1", "is empty"),
        ("name: x\nenvs: [3]", "2:8", "is not an environment id"),
        ("name: x\nenvs: [CartPole-v1, CartPole-v1]", "2:21", "stands twice"),
        ("name: x\nenvs: CartPole-v9", "2:1", "is not a registered environment"),
        ("name: x\nenvs:\n- CartPole-v1\n- Cart Pole", "4:3", "is not an environment id"),
    ],
)
def test_name_and_environments_are_checked(text: str, where: str, said: str) -> None:
    with pytest.raises(InputError, match=said) as caught:
        plan(parse(text, "f.yaml"))
    assert caught.value.where == f"f.yaml:{where}"


def test_a_file_never_causes_an_import() -> None:
    with pytest.raises(RefusedError) as caught:
        planned("", "name: x\nenvs: ['os:CartPole-v1']\n")
    assert (caught.value.where, caught.value.hint) == ("f.yaml:2:8", "name it: --import os")


def test_an_arm_that_is_excluded_may_be_one_that_would_be_refused() -> None:
    assert len(planned("batch_size: [64, 4096]\nexclude: [{batch_size: 4096}]\n").planned) == 1


def test_an_error_about_a_folder_stays_what_it_is() -> None:
    with pytest.raises(RlbatchError) as caught:
        relocate(InputError("--out", "is full"), parse(HEAD, "f.yaml"), {})
    assert str(caught.value) == "--out: is full"
