"""Help: every command and option explains itself, and asking costs no import of torch or gymnasium."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import click
import pytest

from rlbatch import __version__
from rlbatch.cli.main import COMMANDS, commands

Call = Callable[..., Any]

HEAVY = ("torch", "gymnasium", "stable_baselines3", "numpy", "scipy", "tensorboard", "safetensors", "yaml")


def command_named(name: str) -> click.Command:
    command = commands.get_command(click.Context(commands), name)
    assert command is not None
    return command


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_every_command_explains_itself(name: str, flag: str, rlbatch: Call) -> None:
    code, out, err = rlbatch(name, flag)
    assert (code, err) == (0, "")
    assert out.startswith(f"Usage: rlbatch {name} ")
    text = " ".join(out.split())
    for option in command_named(name).params:
        if isinstance(option, click.Option):
            assert option.opts[-1] in text
    assert max(map(len, out.splitlines())) <= 110


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_has_a_text_and_a_heading(name: str) -> None:
    for option in command_named(name).params:
        if isinstance(option, click.Option):
            assert option.help, option.opts
            assert getattr(option, "group", "Other") != "Other", option.opts


def test_train_sorts_its_options_under_headings(rlbatch: Call) -> None:
    out = rlbatch("train", "--help").out
    headings = ("\nEnvironment:\n", "\nExperiment:\n", "\nResources:\n", "\nOutput:\n")
    places = [out.index(heading) for heading in headings]
    assert places == sorted(places)
    assert places[1] < out.index("--batch SIZES") < places[2]
    assert "rlbatch train --env CartPole-v1 --batch 256\n" in out


def test_the_help_of_the_program_names_every_command(rlbatch: Call) -> None:
    code, out, err = rlbatch("--help")
    assert (code, err) == (0, "")
    for name, text in COMMANDS.items():
        assert f"  {name} " in out
        assert text in " ".join(out.split())


def test_no_argument_is_help_and_exit_2(rlbatch: Call) -> None:
    code, out, err = rlbatch()
    assert (code, out) == (2, "")
    assert err.rstrip("\n") == rlbatch("--help").out.rstrip("\n")


def test_the_version_is_the_packages(rlbatch: Call) -> None:
    assert rlbatch("--version") == (0, f"rlbatch {__version__}\n", "")


def test_help_and_typing_errors_load_neither_torch_nor_gymnasium() -> None:
    code = f"""
import json, sys
from rlbatch.cli.main import run
codes = [run(words) for words in (["--help"], ["train", "--help"], ["trian"], ["train", "--batch", "0"])]
print(json.dumps([codes, [name for name in {HEAVY!r} if name in sys.modules]]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert json.loads(done.stdout.splitlines()[-1]) == [[0, 0, 2, 2], []]
