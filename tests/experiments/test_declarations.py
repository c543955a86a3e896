"""The experiment files: what they declare is accepted, pinned, and what the commands in their heads train."""

from __future__ import annotations

import subprocess
from collections import Counter
from pathlib import Path
from types import ModuleType
from typing import Any

import click
import pytest
import yaml

from rlbatch.cli import main
from rlbatch.cli.request import request_of
from rlbatch.experiment_file import load, settings_of
from rlbatch.grid import PlannedRun, Request, expand

EXPERIMENTS = Path(__file__).parents[2] / "experiments"
NAMES = {"sb3_parity": 360, "neutral_search": 360, "neutral_search_dqn": 240, "neutral_search_n_step": 240}
"""Experiment -> how many runs its file declares, confirmations aside."""
CONFIRMED = {"sb3_parity": 0, "neutral_search": 60, "neutral_search_dqn": 40, "neutral_search_n_step": 40}
RATES = {"dqn_rate": "0.0003", "sac_rate": "0.001"}
"""Chosen rates, made up."""


def text_of(name: str) -> str:
    return (EXPERIMENTS / f"{name}.yaml").read_text(encoding="utf-8")


def commands_of(name: str) -> list[list[str]]:
    """Returns the words of every rlbatch command that a shell makes of the code in a file's head."""
    _, _, head = text_of(name).partition("\n# Commands.")
    code = [line[4:] for line in head.splitlines() if line.startswith("#   ")]
    shell = 'rlbatch() { printf "%s\\n" "$@" "--end"; }\n' + "\n".join(code)
    done = subprocess.run(["bash", "-euc", shell], env=RATES, capture_output=True, text=True, check=True)
    return [part.strip("\n").split("\n") for part in done.stdout.split("--end\n")[:-1]]


def planned_by(words: list[str]) -> list[PlannedRun]:
    command = main.commands.get_command(click.Context(main.commands), words[0])
    assert command is not None
    with command.make_context(words[0], words[1:]) as context:
        return expand(request_of(context.params))


def resolved(settings: dict[str, Any]) -> PlannedRun:
    given = {field: value for field, value in settings.items() if field not in ("env_id", "batch_size", "seed")}
    request = Request(
        settings["env_id"], batch_sizes=(settings["batch_size"],), seeds=(settings["seed"],), settings=given
    )
    (run,) = expand(request)
    return run


def declared(name: str, summaries: ModuleType, neutral_search: ModuleType) -> list[dict[str, Any]]:
    """Returns the runs that a file's commands should train: those of the search end with the confirmation."""
    document = summaries.declaration(name)
    if name == "sb3_parity":
        return list(settings_of(document))
    rates = {"CartPole-v1": RATES["dqn_rate"], "Acrobot-v1": RATES["dqn_rate"], "Pendulum-v1": RATES["sac_rate"]}
    parts = neutral_search.declared_parts(document)
    return parts["search"] + [r for r in parts["confirm"] if r["learning_rate"] == float(rates[r["env_id"]])]


@pytest.mark.parametrize("name", NAMES)
def test_a_file_names_itself_and_parses(name: str) -> None:
    document = yaml.safe_load(text_of(name))
    assert document["name"] == name
    assert document["analysis"]["score"] == "auc"


@pytest.mark.parametrize("name", NAMES)
def test_the_commands_in_the_head_train_exactly_the_declared_runs(
    name: str, summaries: ModuleType, neutral_search: ModuleType
) -> None:
    trained = Counter(run.config.run_id for words in commands_of(name) for run in planned_by(words))
    settings = declared(name, summaries, neutral_search)
    assert trained == Counter(resolved(run).config.run_id for run in settings)
    assert max(trained.values()) == 1
    assert f"Size: {NAMES[name]} runs" in text_of(name)
    assert len(settings) == NAMES[name] + CONFIRMED[name]


@pytest.mark.parametrize("name", NAMES)
def test_run_trains_what_the_commands_train(name: str) -> None:
    by_hand = [run for words in commands_of(name) if "neutral_confirm" not in words[-1] for run in planned_by(words)]
    file = load(EXPERIMENTS / f"{name}.yaml")
    assert file.name == name
    assert {run.config.run_id for run in file.planned} == {run.config.run_id for run in by_hand}
    assert len(file.planned) == NAMES[name]


@pytest.mark.parametrize("name", NAMES)
def test_no_value_comes_from_the_preset_so_that_its_later_change_changes_nothing(
    name: str, summaries: ModuleType, neutral_search: ModuleType
) -> None:
    planned = [run for words in commands_of(name) for run in planned_by(words)]
    planned += [resolved(settings) for settings in declared(name, summaries, neutral_search)]
    origins = {(field, origin) for run in planned for field, origin in run.origins.items()}
    assert ("batch_size", "--batch") in origins
    assert [field for field, origin in origins if origin.startswith("preset ")] == []


def test_the_engines_share_no_seed_also_in_the_repeat(sb3_parity: ModuleType, summaries: ModuleType) -> None:
    document = summaries.declaration("sb3_parity")
    seeds: dict[str, set[int]] = {}
    for part, runs in sb3_parity.declared_parts(document).items():
        for engine, count in {"sb3": 20, "stacked": 100}.items():
            seeds[part + engine] = {run["seed"] for run in runs if run["engine"] == engine}
            assert len(seeds[part + engine]) == count
            assert {run["env_id"] for run in runs if run["engine"] == engine} == set(document["envs"])
    assert len(set().union(*seeds.values())) == 240
    assert [min(s) for s in seeds.values()] == [0, 1000, 100, 200]


def test_a_folder_holds_one_environment_and_one_engine() -> None:
    for name in NAMES:
        folders: dict[str, set[tuple[str, str]]] = {}
        for words in commands_of(name):
            options = dict(zip(words[1::2], words[2::2], strict=True))
            folders.setdefault(options["--name"], set()).add((options["--env"], options["--engine"]))
        assert all(len(kinds) == 1 for kinds in folders.values())
        assert len(folders) == (6 if name in ("sb3_parity", "neutral_search") else 4)
