"""Reading the words of a command line: batch sizes, seeds, settings, paths."""

from __future__ import annotations

import json
from typing import Any

import click
import pytest
from click.shell_completion import CompletionItem, ShellComplete
from hypothesis import given, settings
from hypothesis import strategies as st

from rlbatch.cli import types
from rlbatch.cli.main import commands
from rlbatch.environments import listed
from rlbatch.values import Integer

SIZES = st.lists(st.integers(1, 2**31 - 1), min_size=1, max_size=6, unique=True)
SEEDS = st.integers(0, 2**32 - 1)
FINITE = st.floats(allow_nan=False, allow_infinity=False)
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | FINITE | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@given(SIZES)
def test_a_list_of_batch_sizes_is_read_in_its_order(sizes: list[int]) -> None:
    assert types.read_batches(",".join(map(str, sizes))) == tuple(sizes)


@given(st.integers(0, 30), st.integers(0, 30))
def test_a_range_of_powers_is_every_power_with_both_ends(a: int, b: int) -> None:
    first, last = sorted((a, b))
    assert types.read_batches(f"2^{first}..2^{last}") == tuple(2**i for i in range(first, last + 1))


def test_lists_powers_and_ranges_can_be_joined() -> None:
    assert types.read_batches("48,2^3,2^5..2^7,1000") == (48, 8, 32, 64, 128, 1000)


@given(st.text(alphabet="0123456789,.^ _-+e٣x", max_size=12) | st.text(max_size=8))
@settings(max_examples=300)
def test_any_word_is_distinct_batch_sizes_in_range_or_refused(word: str) -> None:
    try:
        sizes = types.read_batches(word)
    except ValueError as error:
        assert str(error)
    else:
        assert sizes
        assert len(set(sizes)) == len(sizes)
        assert all(1 <= size < 2**31 for size in sizes)
        assert set(word) <= set("0123456789,.^")


@given(st.integers(1, 10_000))
def test_one_number_of_seeds_is_how_many(count: int) -> None:
    assert types.read_seeds(str(count)) == tuple(range(count))


@given(SEEDS, st.integers(0, 50))
def test_a_range_of_seeds_has_both_ends(first: int, width: int) -> None:
    last = min(first + width, 2**32 - 1)
    assert types.read_seeds(f"{first}..{last}") == tuple(range(first, last + 1))


@given(st.lists(SEEDS, min_size=2, max_size=6, unique=True))
def test_a_list_of_seeds_is_read_in_its_order(seeds: list[int]) -> None:
    assert types.read_seeds(",".join(map(str, seeds))) == tuple(seeds)


@given(SEEDS)
def test_one_seed_is_that_seed(seed: int) -> None:
    assert types.read_seed(str(seed)) == seed


@pytest.mark.parametrize("read", [types.read_batches, types.read_seeds, types.read_seed])
@pytest.mark.parametrize("word", ["1_0", " 1", "1 ", "+1", "01", "١", "1.", "1e1", "0b1", "1\n", "", "1,1", "1,", "x"])
def test_what_python_would_repair_is_refused(read: Any, word: str) -> None:
    with pytest.raises(ValueError, match=r"not a whole number|stands twice"):
        read(word)


@given(st.from_regex(r"[a-z][a-z_]{0,9}", fullmatch=True), JSON_VALUES)
def test_a_setting_is_a_name_and_a_json_value(name: str, value: Any) -> None:
    assert types.read_setting(f"{name}={json.dumps(value)}") == (name, value)


@pytest.mark.parametrize(
    ("word", "setting"),
    [
        ("learning_rate=1e-4", ("learning_rate", 1e-4)),
        ("lr_rule=adam-sde", ("lr_rule", "adam-sde")),
        ("ent_coef=auto_0.1", ("ent_coef", "auto_0.1")),
        ("net_arch=[64,64]", ("net_arch", [64, 64])),
        ("env_kwargs={}", ("env_kwargs", {})),
        ("x=a=b", ("x", "a=b")),
    ],
)
def test_what_is_no_json_is_text_up_to_the_end(word: str, setting: tuple[str, Any]) -> None:
    assert types.read_setting(word) == setting


@given(st.text(max_size=20))
def test_any_word_is_a_setting_or_refused(word: str) -> None:
    try:
        name, _ = types.read_setting(word)
    except ValueError as error:
        assert str(error)
    else:
        assert name.isidentifier()
        assert word.startswith(f"{name}=")


@given(st.dictionaries(st.text(), JSON_VALUES, max_size=3))
def test_an_object_is_read_as_written(content: dict[str, Any]) -> None:
    assert types.read_object(json.dumps(content)) == content


@given(st.text(max_size=20))
def test_a_path_that_is_taken_is_unchanged_and_can_be_shown(word: str) -> None:
    try:
        assert types.read_path(word) == word
        assert word.strip()
        assert word.isprintable()
    except ValueError as error:
        assert str(error)


def test_a_parameter_tells_the_range_it_allows() -> None:
    with pytest.raises(click.BadParameter, match="allowed is 0 to 65535"):
        types.integer(Integer(0, 65535)).convert("70000", None, None)


def test_a_parameter_shows_no_control_character() -> None:
    with pytest.raises(click.BadParameter, match=r"\\x1b"):
        types.Parsed("size", types.read_batches).convert("\x1b[31m", None, None)


@pytest.mark.parametrize(("typed", "completed"), [("Cart", ["CartPole-v1"]), ("", list(listed())), ("cart", [])])
def test_the_shell_completes_listed_environments(typed: str, completed: list[str]) -> None:
    from click.shell_completion import ShellComplete

    items = ShellComplete(commands, {}, "rlbatch", "_RLBATCH_COMPLETE").get_completions(["train", "--env"], typed)
    assert [item.value for item in items] == completed


def test_the_shell_completes_commands_and_options_and_nothing_after_a_typing_error() -> None:
    from click.shell_completion import ShellComplete

    shell = ShellComplete(commands, {}, "rlbatch", "_RLBATCH_COMPLETE")
    assert [item.value for item in shell.get_completions([], "tr")] == ["train"]
    assert [item.value for item in shell.get_completions(["train"], "--see")] == ["--seeds", "--seed"]
    assert shell.get_completions(["trian"], "--se") == []


@pytest.mark.parametrize(
    ("words", "typed", "offered"),
    [
        (["train", "--match"], "s", ["samples"]),
        (["train", "--set"], "learning_r", ["learning_rate="]),
        (["train", "--env"], "Cart", ["CartPole-v1"]),
        (["list"], "", ["envs", "presets", "experiments", "runs"]),
        (["completion"], "z", ["zsh"]),
    ],
)
def test_the_shell_completes_choices_settings_and_ids(words: list[str], typed: str, offered: list[str]) -> None:
    assert [item.value for item in complete(words, typed)] == offered


@pytest.mark.parametrize(
    ("words", "kind"), [(["show"], "dir"), (["train", "--out"], "dir"), (["export", "x", "--to"], "file")]
)
def test_the_shell_completes_paths(words: list[str], kind: str) -> None:
    assert [item.type for item in complete(words, "res")] == [kind]


def complete(words: list[str], typed: str) -> list[CompletionItem]:
    return ShellComplete(commands, {}, "rlbatch", "_RLBATCH_COMPLETE").get_completions(words, typed)
