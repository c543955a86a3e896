"""Where score scales begin: listed environments have a value, others what random play brought."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rlbatch.errors import InputError
from rlbatch.references import is_listed, low_of, read_references
from rlbatch.results import write_json


def entry(env_id: str, mean: float, **kwargs: Any) -> dict[str, Any]:
    return {"env_id": env_id, "env_kwargs": kwargs, "random_mean": mean, "random_se": 0.1, "random_n": 100}


def test_a_listed_environment_has_its_listed_value_whatever_was_measured() -> None:
    assert low_of("CartPole-v1", {}, [entry("CartPole-v1", -7.0)]) == 22.184
    assert low_of("module:CartPole-v1", {}, []) == 22.184


def test_another_environment_has_what_was_measured_of_it_with_the_same_arguments() -> None:
    measured = [entry("mine:Line-v0", -40.0), entry("mine:Line-v0", -50.0, size=3), entry("CartPole-v1", 9.0, a=1)]
    assert low_of("mine:Line-v0", {}, measured) == -40.0
    assert low_of("mine:Line-v0", {"size": 3}, measured) == -50.0
    assert low_of("mine:Line-v0", {"size": 4}, measured) is None
    assert low_of("CartPole-v0", {}, measured) is None
    assert low_of("CartPole-v1", {"a": 1}, measured) == 9.0


def test_arguments_make_it_another_environment_than_the_listed_one() -> None:
    assert is_listed("CartPole-v1", {})
    assert not is_listed("CartPole-v1", {"sutton_barto_reward": True})
    assert not is_listed("CartPole-v0", {})


def test_a_single_episode_has_no_standard_error_and_a_mean_must_be_a_number(tmp_path: Path) -> None:
    path = tmp_path / "references.json"
    assert read_references(path) == []
    write_json(path, {"schema": 1, "entries": [entry("A-v0", 1.0) | {"random_se": None}]})
    assert low_of("A-v0", {}, read_references(path)) == 1.0
    write_json(path, {"schema": 1, "entries": [entry("A-v0", 1.0) | {"random_mean": None}]})
    with pytest.raises(InputError, match=r"entry 0: random_mean is None, not a number; take it out"):
        read_references(path)
