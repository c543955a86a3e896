"""Bad input: one line that names the place and the way out, the right exit code, and nothing written."""

from __future__ import annotations

import json
import os
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rlbatch.cli import main
from rlbatch.config import LISTED_BY, SETTINGS
from rlbatch.launch import local, machine

Call = Callable[..., Any]
Tree = Callable[[], dict[str, Any]]

CARTPOLE = ("train", "--env", "CartPole-v1")
PENDULUM = ("train", "--env", "Pendulum-v1")
SPACED = ("train", "--env", "Probe/Spaced-v0", "--env-kwargs")
ESCAPE = "\x1b[31mred"
LONG = "x" * 5000


def given_to(option: str, *cases: tuple[str, str], before: tuple[str, ...] = CARTPOLE) -> list[Any]:
    """Returns cases of one option: what follows it, and what the line must say besides the option's name."""
    return [((*before, option, value), (f"{option}:", said)) for value, said in cases]


def set_to(*cases: tuple[str, str], before: tuple[str, ...] = CARTPOLE) -> list[Any]:
    """Returns cases of --set: `field=value`, and what the line must say besides the field."""
    return [((*before, "--set", word), (word.partition("=")[0], said)) for word, said in cases]


NUMBERS = [
    *given_to(
        "--batch",
        *((word, "not a whole number") for word in ("32.5", "1e3", "", "abc", "1_000", "٣٢", " 32 ", "+32", "0x20")),
        *((word, "not a whole number") for word in ("010", "true", "32,", ",32", "32,,64", "-", "--32", "4²", ESCAPE)),
        *((word, "allowed is 1 to") for word in ("0", "-32", "2147483648", "99999999999999999999", "2^31", "2^99")),
        ("9" * 5000, "out of range"),
        ("32,32", "32 stands twice"),
        ("2^5,32", "32 stands twice"),
        ("2^10..2^5", "write 2^5..2^10"),
        ("32..64", "write 2^5..2^10 or a list"),
        ("2^5..2^200", "write 2^5..2^10 or a list"),
        ("2^5..64", "write 2^5..2^10 or a list"),
        ("2^5..2^40", "allowed is 1 to"),
    ),
    *given_to(
        "--seed",
        *((word, "not a whole number") for word in ("1.0", "", "abc", "1,2", "0..3", "٣", "1_0", "true", "01", LONG)),
        *((word, "allowed is 0 to 4294967295") for word in ("-1", "4294967296", "99999999999999999999999")),
    ),
    *given_to(
        "--seeds",
        *((word, "not a whole number") for word in ("1-", "5-1", "1,,2", "", "abc", "..", "1..", "..3", "1.0", "1,2,")),
        *((word, "allowed is 1 to 10000") for word in ("0", "-1", "10001")),
        *((word, "allowed is 0 to 4294967295") for word in ("1,-1", "0..4294967296", f"0..{'9' * 28}", "1,4294967296")),
        (f"{'9' * 5000}..3", "out of range"),
        ("1,1", "1 stands twice"),
        ("5..1", "write 1..5"),
        ("1..20000", "more than 10000 seeds"),
    ),
    *given_to(
        "--steps",
        *((word, "not a whole number") for word in ("1e6", "50_000", "", "abc", "٣", "50000.0", "10k", " 5000")),
        *((word, "allowed is 1 to") for word in ("0", "-5", "1000000000001", "99999999999999999999")),
    ),
    *given_to(
        "--stack-width",
        *((word, "not a whole number") for word in ("1.0", "", "abc", "1e1", "٣", "08", "auto", ESCAPE)),
        *((word, "allowed is 1 to 256") for word in ("0", "-1", "257", "99999999999999999999")),
    ),
    *given_to(
        "--env-workers",
        *((word, "not a whole number") for word in ("1.0", "", "abc", "٣", "08", "auto", LONG)),
        *((word, "allowed is 0 to 256") for word in ("-1", "257", "99999999999999999999")),
    ),
    *given_to(
        "--checkpoint-every",
        *((word, "not a whole number") for word in ("0.5", "", "abc", "2m", "٣", "08", "inf", "nan", ESCAPE)),
        *((word, "allowed is 1 to 86400") for word in ("0", "-1", "86401", "99999999999999999999")),
    ),
    (
        (*CARTPOLE, "--engine", "sb3", "--checkpoint-every", "5"),
        ("--checkpoint-every", "of no use with the engine sb3"),
    ),
    ((*CARTPOLE, "--steps", "10"), ("--steps", "no update would happen", "raise --steps", "learning_starts")),
    ((*CARTPOLE, "--batch", "4096"), ("--batch", "learning_starts 2048", "--set learning_starts=4096")),
    (
        (*CARTPOLE, "--batch", "2048", "--set", "buffer_size=100"),
        ("--batch", "buffer_size 100", "--set buffer_size=2048"),
    ),
    ((*CARTPOLE, "--batch", "2^0..2^11", "--seeds", "1000"), ("--seeds", "12,000 runs are more than 10,000")),
]

SETTING_VALUES = [
    *set_to(
        *((f"learning_rate={v}", "not a number") for v in ("nan", "inf", "abc", "true", "null", "[0.1]", '"0.1"')),
        *((f"learning_rate={v}", "not a number") for v in ("1e-3x", "0x1", "1_0", "1,5", "0.1=3", ESCAPE, LONG)),
        *((f"learning_rate={v}", "allowed is (0, inf)") for v in ("-1", "0", "1e-400", "1e400", "9" * 400)),
        *((f"learning_rate={v}", "not a finite number") for v in ("NaN", "Infinity", "-Infinity")),
        *((f"learning_rate={v}", "empty") for v in ("", " ")),
        *((f"batch_size={v}", "not a whole number") for v in ("4.5", "true", "[32,64]", "1_000", '"64"', "null")),
        ("env_kwargs=" + "[" * 50_000, "nested too deeply"),
        ("batch_size=64.0", "use 64"),
        ("batch_size=0", "allowed is 1 to"),
        *((f"seed={v}", "not a whole number") for v in ("1.0", "true", "[1,2]", "x")),
        ("seed=-1", "allowed is 0 to 4294967295"),
        *((f"gamma={v}", "allowed is [0, 1]") for v in ("1.5", "-0.1")),
        *((f"tau={v}", "allowed is (0, 1]") for v in ("0", "1.1")),
        ("exploration_final_eps=2", "allowed is [0, 1]"),
        ("exploration_fraction=0", "allowed is (0, 1]"),
        ("buffer_size=0", "allowed is 1 to 1000000000"),
        ("buffer_size=1000000000000", "allowed is 1 to 1000000000"),
        ("learning_starts=-1", "allowed is 0 to"),
        ("train_freq=0", "allowed is 1 to"),
        *((f"gradient_steps={v}", "or -1") for v in ("0", "-2")),
        *((f"n_envs={v}", "allowed is 1 to 4096") for v in ("0", "5000")),
        *((f"net_arch={v}", "such as [64,64]") for v in ("64", "64,64", "[1,2,3,4,5,6,7,8,9]")),
        *((f"net_arch={v}", "not a whole number") for v in ("[64.5]", "[[64,64]]", "[true]")),
        ("net_arch=[0]", "allowed is 1 to 65536"),
        *((f"net_arch={v}", "not valid JSON") for v in ("[64", "[]]", "['a']")),
        ("activation_fn=RELU", "did you mean relu?"),
        ("lr_schedule=lin", "did you mean linear?"),
        ("lr_warmup=1", "allowed is [0, 1)"),
        ("adam_beta1=1", "allowed is [0, 1)"),
        ("max_grad_norm=null", "not a number"),
        ("n_steps=0", "allowed is 1 to 1000"),
        ("n_evaluations=0", "allowed is 1 to"),
        ("log_points=5000", "allowed is 1 to 1000"),
        ("replay_ratio=0", "allowed is (0, inf)"),
        ("replay_ratio=0.001", "the nearest that can be had is 0.015625"),
        ("precision=float64", "did you mean float32?"),
        ("env_backend=envpool", "not one of gymnasium"),
        ("total_timesteps=1e3", "use 1000"),
        ("env_kwargs=3", 'such as {"gravity": 5.0}'),
        ('env_kwargs={"a":1,"a":2}', "stands twice"),
        ("bacth_size=3", "did you mean batch_size?"),
        ("learningrate=3", "did you mean learning_rate?"),
        *((f"{name}=3", "is not a setting") for name in ("foo", "lr", "__class__", "build", "ε")),
        *((f"{name}=1", "of sac, not of dqn") for name in ("ent_coef", "target_entropy", "log_std_init")),
        ("use_sde=true", "of sac, not of dqn"),
        *((f"layer_norm={v}", "neither true nor false") for v in ("1", "null", "yes", "True")),
        *((f"{name}=3", "is not a setting") for name in ("stack_width", "env_workers")),
        ("env_id=Pendulum-v1", "use --env"),
        ("algo=sac", "use --algo"),
        *((word, "not field=value") for word in ("foo", "=3", "foo bar=3", "", "3=4", "-=3")),
    ),
    *set_to(
        *((f"{name}=0.5", "of dqn, not of sac") for name in ("exploration_fraction", "max_grad_norm")),
        *((f"ent_coef={v}", '"auto_0.1"') for v in ("auto_0", "foo", "auto_x", "auto_", "auto_inf")),
        ("ent_coef=-1", "allowed is [0, inf)"),
        ("use_sde=1", "neither true nor false"),
        ("target_entropy=foo", "not one of auto, and 'foo' is not a number"),
        ("log_std_init=9", "allowed is [-20, 2]"),
        before=PENDULUM,
    ),
    ((*CARTPOLE, "--set", f"{ESCAPE}=3"), ("--set", "not field=value")),
    ((*CARTPOLE, "--set", f"{LONG}=3"), ("xxx...xxx", "is not a setting")),
]

REPEATED = [
    *(
        ((*CARTPOLE, option, value, option, value), (option, "more than once"))
        for option, value in {
            **{
                "--batch": "64",
                "--seed": "1",
                "--seeds": "2",
                "--steps": "5000",
                "--algo": "dqn",
                "--match": "updates",
            },
            **{"--lr-rule": "none", "--preset": "zoo", "--engine": "sb3", "--device": "cpu", "--out": "x"},
            **{
                "--stack-width": "8",
                "--env-workers": "2",
                "--checkpoint-every": "5",
                "--name": "x",
                "--env": "CartPole-v1",
                "--env-kwargs": "{}",
            },
        }.items()
    ),
    ((*CARTPOLE, "--batch=64", "--batch=128"), ("--batch", "more than once")),
    ((*CARTPOLE, "--dry-run", "--dry-run"), ("--dry-run", "more than once")),
    ((*CARTPOLE, "-q", "--quiet"), ("-q", "more than once")),
    ((*CARTPOLE, "--seed", "1", "--seeds", "2"), ("--seed", "--seeds", "--seed 7 is one run")),
    ((*CARTPOLE, "--batch", "64", "--set", "batch_size=128"), ("batch_size is given twice", "--batch")),
    ((*CARTPOLE, "--steps", "5000", "--set", "total_timesteps=6000"), ("total_timesteps is given twice", "--steps")),
    ((*CARTPOLE, "--match", "samples", "--set", "match=updates"), ("match is given twice", "--match")),
    ((*CARTPOLE, "--env-kwargs", "{}", "--set", "env_kwargs={}"), ("env_kwargs is given twice", "--env-kwargs")),
    ((*CARTPOLE, "--seed", "1", "--set", "seed=2"), ("seed is given twice", "--seed")),
    ((*CARTPOLE, "--seeds", "2", "--set", "seed=2"), ("seed is given twice", "--seeds")),
    *(
        ((*CARTPOLE, "--set", f"{name}=64", "--set", f"{name}=65"), (f"{name} is given twice", "--set"))
        for name in ("gamma", "batch_size", "seed")
    ),
    ((*CARTPOLE, "--set", "replay_ratio=2", "--set", "train_freq=1"), ("replay_ratio", "train_freq is given too")),
]

ENVIRONMENTS = [
    *(
        (("train", "--env", env_id), ("--env", said))
        for env_id, said in {
            "": "not an environment id",
            "NoSuchEnv-v0": "rlbatch list envs",
            "CartPole": "did you mean CartPole-v1?",
            "CartPole-v99": "did you mean CartPole-v1?",
            "CartPole-v01": "did you mean CartPole-v1?",
            "cartpole-v1": "did you mean CartPole-v1?",
            "CartPol-v1": "did you mean CartPole-v1?",
            "LunarLander": "did you mean LunarLander-v3?",
            "json:Nothing-v0": "not a registered environment",
            "no_such_module:Env-v0": "module 'no_such_module' cannot be imported",
            "a:b:c": "more than one ':'; write module:Id",
            ":CartPole-v1": "names no module; write module:Id",
            "CartPole-v1:": "not the name of a Python module",
            "1a:X-v0": "not the name of a Python module",
            "../../x-v0": "not an environment id",
            "/etc/passwd": "not an environment id",
            "Cart Pole-v1": "not an environment id",
            "-v1": "not an environment id",
            "CartPole-v1\n": "not an environment id",
            "CartPole-v1 ": "not an environment id",
            "<script>alert(1)</script>-v0": "not an environment id",
            ESCAPE: "not an environment id",
            "a\u202eb-v0": "not an environment id",
            "٣-v0": "not an environment id",
            LONG: "not a registered environment",
            "Blackjack-v1": "has Tuple observations",
        }.items()
    ),
    (("train",), ("--env", "is missing")),
    (("train", "--env"), ("--env", "requires an argument")),
    (("train", "CartPole-v1"), ("--env", "is missing")),
    ((*CARTPOLE, "Pendulum-v1"), ("unexpected", "Pendulum-v1")),
    *(
        ((*CARTPOLE, "--env-kwargs", value), ("--env-kwargs", said))
        for value, said in {
            "3": 'such as {"gravity": 5.0}',
            "[]": 'such as {"gravity": 5.0}',
            "null": 'such as {"gravity": 5.0}',
            "gravity=3": 'such as {"gravity": 5.0}',
            "{": "not valid JSON",
            "": "empty",
            '{"a":NaN}': "not a finite number",
            '{"a":1,"a":2}': "stands twice",
            '{"gravty":1}': "does not accept {'gravty': 1}",
            '{"id":"x"}': "does not accept",
            '{"disable_env_checker":true}': "does not accept",
            '{"max_episode_steps":0}': "cannot be made",
            '{"max_episode_steps":"x"}': "does not accept",
            '{"render_mode":["a"]}': "cannot be made",
            '{"render_mode":"human"}': "leave it out",
        }.items()
    ),
    ((*SPACED, '{"action":"multi"}'), ("--env", "MultiDiscrete actions", "dqn takes Discrete")),
    ((*SPACED, '{"action":"from one"}'), ("--env", "start at 1", "wrap")),
    ((*SPACED, '{"action":"unbounded"}'), ("--env", "no finite bounds", "wrap")),
    ((*SPACED, '{"observation":"tuple"}'), ("--env", "Tuple observations")),
    *(
        ((*CARTPOLE, "--import", name), ("--import", said))
        for name, said in {
            "no_such_module": "cannot be imported",
            "../x": "not the name of a Python module",
            "a b": "not the name of a Python module",
            "": "not the name of a Python module",
            "os;x": "not the name of a Python module",
            "raising": "fails at import: RuntimeError",
            "exiting": "fails at import: SystemExit(7)",
            "unreadable": "fails at import: SyntaxError",
        }.items()
    ),
]

CHOICES = [
    *given_to(
        "--algo",
        *((word, "allowed: auto, dqn, sac") for word in ("PPO2", "", LONG)),
        ("DQN", "did you mean dqn?"),
        ("sac", "does not take the Discrete actions of CartPole-v1; use dqn"),
    ),
    ((*PENDULUM, "--algo", "dqn"), ("--algo", "does not take the Box actions of Pendulum-v1; use sac")),
    *given_to(
        "--device", *((word, "allowed: auto, cpu, cuda") for word in ("tpu", "cuda:-1", "cuda:x", "CUDA", "", "cuda:²"))
    ),
    *(
        ((*CARTPOLE, option, value), (option, said))
        for option, value, said in (
            ("--match", "sample", "did you mean samples?"),
            ("--match", "", "not one of updates, samples"),
            ("--lr-rule", "sqr", "did you mean sqrt?"),
            ("--lr-rule", "adam-sde", "use --match samples, or sqrt"),
            ("--preset", "zo", "did you mean zoo? allowed: neutral, zoo"),
            ("--preset", "../zoo", "is not a preset"),
            ("--preset", "", "non-empty"),
            ("--engine", "sb2", "did you mean sb3?"),
            ("--engine", "jax", "not one of stacked, sb3"),
            ("--engine", "Stacked", "did you mean stacked?"),
            ("--engine", "", "not one of stacked, sb3"),
        )
    ),
    *(
        ((*words, "--engine", "stacked"), ("--engine: 'stacked' does not fit", said, "use --engine sb3"))
        for words, said in (
            ((*SPACED, '{"observation":"dict"}'), "Dict observations cannot be stacked"),
            ((*SPACED, '{"observation":"image"}'), "image observations cannot be stacked"),
            ((*PENDULUM, "--set", "use_sde=true"), "gSDE cannot be stacked"),
        )
    ),
    *(
        ((*words, "--set", "layer_norm=true"), ("layer_norm: Stable-Baselines3's networks have no layer norm", said))
        for words, said in (
            ((*CARTPOLE, "--engine", "sb3"), "use --engine stacked"),
            ((*CARTPOLE, "--set", "engine=sb3"), "use --engine stacked"),
            ((*PENDULUM, "--set", "use_sde=true"), "leave it out: gSDE cannot be stacked"),
        )
    ),
    ((*PENDULUM, "--set", "use_sde=true", "--set", "engine=stacked"), ("engine: 'stacked' does not fit",)),
    ((*CARTPOLE, "--match", "samples", "--batch", "2053"), ("--batch", "2053", "2048 and 2112")),
    (
        (*CARTPOLE, "--match", "samples", "--set", "train_freq=4", "--set", "gradient_steps=4"),
        ("--match", "burst", "--set replay_ratio=1"),
    ),
    (
        (*CARTPOLE, "--match", "samples", "--lr-rule", "adam-sde", "--batch", "1024"),
        ("--lr-rule", "stay below 10 times lr_reference_batch"),
    ),
]

PATHS = [
    *(
        ((*CARTPOLE, "--out", value), ("--out", said))
        for value, said in {
            "": "not a path",
            "   ": "not a path",
            "a\0b": "not a path",
            ESCAPE: "not a path",
            "/proc/x": "cannot be written to",
            "file": "cannot be used",
            "file/x": "cannot be used",
            "loop": "cannot be used",
            "dangling": "is not a folder",
            "x" * 300: "File name too long",
        }.items()
    ),
    *(
        ((*CARTPOLE, "--name", value), ("--name", "cannot be a folder's name", "letters, digits and . _ + -"))
        for value in (
            *("../../etc/x", ".", "..", "a.", "a ", " ", "", "-x", "a/b", "a\\b", ESCAPE, "x[16, 16]", "x" * 300),
            *("x" * 101, "a\0b", "a\u202eb", "e\u0301", "é", "a\n"),
        )
    ),
    ((*CARTPOLE, "--out", "kept", "--name", "foreign"), ("--name", "not an rlbatch experiment", "another --name")),
    ((*CARTPOLE, "--out", "kept", "--name", "file"), ("--out", "is not a folder")),
    (
        (*CARTPOLE, "--out", "kept", "--name", "torn"),
        (
            "torn/experiment.yaml:",
            ": is not YAML: ",
        ),
    ),
    ((*CARTPOLE, "--out", "kept", "--name", "odd"), ("experiment.yaml", "not a plan")),
]

COMMANDS = [
    ((*CARTPOLE, "--bacth", "3"), ("--bacth", "did you mean --batch?")),
    ((*CARTPOLE, "--batc", "3"), ("--batc", "did you mean --batch?")),
    ((*CARTPOLE, "--learning-rate", "3"), ("--learning-rate", "--set learning_rate=VALUE")),
    ((*CARTPOLE, "--lr", "3"), ("--lr", "--set FIELD=VALUE")),
    ((*CARTPOLE, "-x"), ("-x", "see --help")),
    ((*CARTPOLE, "--dry-run=1"), ("--dry-run", "does not take a value")),
    ((*CARTPOLE, "--batch"), ("--batch", "requires an argument")),
    (("trian",), ("'trian'", "did you mean train?")),
    (("TRAIN",), ("'TRAIN'", "did you mean train?")),
    (("train\n",), ("did you mean train?",)),
    *(((word,), ("is not a command", "see rlbatch --help")) for word in ("foo", "", ESCAPE, LONG, "@file")),
    (("--foo",), ("--foo", "is not an option", "see --help")),
    (("status", "nosuch"), ("nosuch", "holds no experiment", "rlbatch train")),
    (("status",), ("results", "holds no experiment")),
    (("status", "kept/foreign"), ("kept/foreign", "holds no experiment")),
    *(
        ((command, "kept/torn"), ("torn/experiment.yaml:", ": is not YAML: ", "restore the file, or move the folder"))
        for command in ("status", "compare", "recommend")
    ),
    (("status", "kept/odd"), ("experiment.yaml", "not a plan")),
    (("status", "file"), ("file", "holds no experiment")),
    (("status", "a\0b"), ("a\\x00b", "holds no experiment")),
    (("status", "a", "b"), ("unexpected", "b")),
    (("status", "--foo"), ("--foo", "see --help")),
    (("show",), ("RUN|FILE: is missing",)),
    *((("show", word), ("not a run folder", "rlbatch list runs")) for word in ("", "nosuch", "kept", "loop", ESCAPE)),
    *(
        ((command, "x" * 300), ("xxx", "File name too long"))
        for command in ("show", "evaluate", "status", "tensorboard")
    ),
    (("show", LONG), ("xxx", "File name too long")),
    (("list",), ("envs|presets|experiments|runs: is missing",)),
    (("list", "foo"), ("'foo'", "allowed: envs, presets, experiments, runs")),
    (("list", "env"), ("'env'", "did you mean envs?")),
    (("list", "envs", "x"), ("folder", "'x'", "leave it out")),
    (("list", "presets", "x"), ("folder", "'x'", "leave it out")),
    *((("list", "runs", word), ("is not a folder", "rlbatch train")) for word in ("nosuch", "file", "a\0b")),
    (("list", "runs", "x" * 300), ("xxx", "File name too long")),
    (("evaluate",), ("RUN: is missing",)),
    (("evaluate", "nosuch"), ("nosuch", "not a run folder", "rlbatch list runs")),
    *((("evaluate", "nosuch", "--episodes", n), ("--episodes", "allowed is 1 to")) for n in ("0", "-1", "100001")),
    (("evaluate", "nosuch", "--episodes", "x"), ("--episodes", "not a whole number")),
    (("evaluate", "nosuch", "--import", "no_such_module"), ("--import", "cannot be imported")),
    (("export",), ("RUN: is missing",)),
    (("export", "nosuch"), ("--to", "is missing")),
    (("export", "nosuch", "--to", "x.zip"), ("nosuch", "not a run folder")),
    *((("export", "nosuch", "--to", word), ("--to", "not a path")) for word in ("", "a\0b", ESCAPE)),
    (("export", "nosuch", "--to", "x" * 300), ("--to", "File name too long")),
    (("tensorboard", "nosuch"), ("nosuch", "is not a folder", "rlbatch train")),
    (("tensorboard", "kept"), ("kept", "holds no curves yet")),
    *((("tensorboard", "curves", "--port", n), ("--port", "allowed is 0 to 65535")) for n in ("70000", "-1")),
    (("tensorboard", "curves", "--port", "http"), ("--port", "not a whole number")),
    *(
        (("tensorboard", "curves", "--host", h), ("--host", "127.0.0.1"))
        for h in ("example.org", "", "127.0.0", ESCAPE)
    ),
    *(((command,), ("DIR: is missing; see --help",)) for command in ("compare", "recommend", "report")),
    (("completion",), ("bash|zsh|fish: is missing",)),
    *((("completion", word), ("not a shell", "allowed: bash, zsh, fish")) for word in ("tcsh", "BASH", "")),
    (("completion", "bash", "zsh"), ("unexpected", "zsh")),
    (("doctor", "x"), ("unexpected", "x")),
]

GOOD_FILE = "name: x\nenvs: [CartPole-v1]\nbatch_size: [32, 64]\nseeds: 2\n"
FILES = {
    "empty": "# nothing\n",
    "listed": "- 1\n",
    "torn": "name: x\nenvs: [",
    "twice": f"{GOOD_FILE}seeds: 3\n",
    "alias": "name: &a x\nenvs: *a\n",
    "tag": "name: !!python/object/apply:os.system [id]\n",
    "octal": GOOD_FILE.replace("seeds: 2", "seeds: 010"),
    "unknown": GOOD_FILE.replace("batch_size", "bacth_size"),
    "large": GOOD_FILE.replace("64]", "4096]"),
    "many": GOOD_FILE.replace("seeds: 2", "seeds: 6000"),
    "escape": 'name: "a\\e[31m"\nenvs: [CartPole-v1]\n"\\e[31m": 1\n',
    "foreign": GOOD_FILE,
    "memory": f"{GOOD_FILE}buffer_size: 1000000000\ntotal_timesteps: 1000000000\n",
    "good": GOOD_FILE,
}
"""Name of an experiment file -> what it says."""


def file_cases(command: str) -> list[Any]:
    """Returns what is said of bad experiment files by a command that reads them."""
    said = {
        "empty": "is empty",
        "listed": "1:1: is not a mapping",
        "torn": "is not YAML",
        "twice": "5:1: 'seeds' stands twice, before in line 4",
        "alias": "1:7: holds an anchor",
        "tag": "1:7: holds the tag",
        "octal": "4:8: '010' is a number to some readers",
        "unknown": "3:1: bacth_size is not a setting; did you mean batch_size?",
        "large": "3:18: batch_size: 4096 is larger than learning_starts",
        "many": "1:1: 12,000 runs are more than 10,000",
        "escape": "1:1: name: 'a\\x1b[31m' cannot be a folder's name",
    }
    return [((command, f"{name}.yaml"), (f"{name}.yaml:", text)) for name, text in said.items()]


FILE_COMMANDS = [
    *file_cases("run"),
    *file_cases("show"),
    (("run",), ("FILE: is missing",)),
    *((("run", word), ("FILE", "not a path")) for word in ("", "a\0b", ESCAPE)),
    (("run", "nosuch"), ("'nosuch'", "neither an experiment file nor the name of one", "rlbatch list experiments")),
    (("run", "nosuch.yaml"), ("'nosuch.yaml'", "neither an experiment file")),
    (("show", "nosuch.yaml"), ("'nosuch.yaml'", "neither an experiment file")),
    (("run", "kept"), ("'kept'", "is a folder")),
    (("run", "file"), ("file:1:1", "is not a mapping")),
    (("run", "x" * 300), ("FILE", "File name too long")),
    (("run", "/dev/zero"), ("/dev/zero", "is not a file")),
    (("run", "good.yaml", "more.yaml"), ("unexpected", "more.yaml")),
    (("run", "good.yaml", "--batch", "3"), ("--batch", "is not an option")),
    *((("run", "good.yaml", "--limit", n), ("--limit", "allowed is 1 to 10000")) for n in ("0", "-1", "10001")),
    *(
        (("run", "good.yaml", "--only", word), ("--only", text))
        for word, text in {
            "batch_size": "is not field=value",
            "batch_size=128": "the runs have 32, 64",
            "seed=9": "the runs have 0, 1",
            "seed=3..1": "write 1..3",
            "lr_rule=sqrt": "no run has lr_rule=sqrt",
        }.items()
    ),
    (("run", "good.yaml", "--only", "bacth_size=3"), ("bacth_size", "did you mean batch_size?")),
    (("run", "good.yaml", "--only", "foo=3"), ("foo", f"{LISTED_BY} lists them all")),
    (("run", "good.yaml", "--only", "batch_size=3.5"), ("batch_size", "is not a whole number")),
    (("run", "good.yaml", "--only", "seed=0", "--only", "seed=1"), ("--only", "seed is given twice", "seed=[a,b]")),
    (("run", "good.yaml", "--import", "no_such_module"), ("--import", "cannot be imported")),
    (("run", "good.yaml", "--name", "../x"), ("--name", "cannot be a folder's name")),
    (("run", "good.yaml", "--out", "file"), ("--out", "cannot be used")),
    (("run", "good.yaml", "--device", "tpu"), ("--device", "is not a device")),
    (("run", "foreign.yaml", "--out", "kept", "--name", "foreign"), ("--name", "not an rlbatch experiment")),
    (("run", "memory.yaml"), ("memory.yaml:5:1", "buffer_size: replays of", "buffer_size: N")),
]

REFUSED = [
    *(
        (("tensorboard", "curves", "--host", host), ("--host", host, "open to others", "ssh -L"))
        for host in ("0.0.0.0", "::", "192.168.1.1", "8.8.8.8")  # noqa: S104 - refused, that is the point
    ),
    (("tensorboard", "--host", "0.0.0.0"), ("--host", "open to others")),  # noqa: S104
    ((*CARTPOLE, "--out", "kept", "--name", "newer"), ("experiment.yaml", "schema")),
    (("status", "kept/newer"), ("experiment.yaml", "schema")),
]


def named(cases: list[Any]) -> list[Any]:
    """Gives each case an id that a terminal can take."""
    return [pytest.param(words, said, id=ascii(" ".join(words))[:70]) for words, said in cases]


@pytest.fixture
def surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Puts obstacles into the working directory; training is an accident here."""
    newer, torn, odd = (tmp_path / "kept" / name for name in ("newer", "torn", "odd"))
    for folder in (tmp_path / "curves", tmp_path / "kept" / "foreign", newer, torn, odd):
        folder.mkdir(parents=True)
    for file in ("file", "kept/file", "kept/foreign/thesis.tex", "curves/events.out.tfevents.1"):
        (tmp_path / file).write_text("precious")
    (newer / "experiment.yaml").write_text("schema: 999\n")
    (torn / "experiment.yaml").write_text("schema: 1\nplans: [\n  {\n\t}")
    (odd / "experiment.yaml").write_text("schema: 1\nplans:\n- 3\n")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "dangling").symlink_to("/nonexistent/x")
    for name, text in FILES.items():
        (tmp_path / f"{name}.yaml").write_text(text)
    for name, text in (("raising", "raise RuntimeError('a\\nb')"), ("exiting", "raise SystemExit(7)")):
        (tmp_path / f"{name}.py").write_text(text)
    (tmp_path / "unreadable.py").write_text("def (")
    monkeypatch.setattr("sys.dont_write_bytecode", True)

    def no_training(*_: Any) -> None:
        raise AssertionError("bad input was trained")

    class Memory:
        available = 8 * 10**9

    monkeypatch.setattr(local, "train", no_training)
    monkeypatch.setattr(machine.psutil, "virtual_memory", Memory)


def check_line(err: str, said: tuple[str, ...]) -> None:
    line = err.removesuffix("\n")
    assert line.startswith("rlbatch: error: "), err
    assert not any(unicodedata.category(ch) in ("Cc", "Cf", "Cs", "Zl", "Zp") for ch in line)  # one line, safe to show
    assert len(line) <= 300
    assert "Traceback" not in line
    for fragment in said:
        assert fragment in line


@pytest.mark.usefixtures("surroundings", "module")
@pytest.mark.parametrize(
    ("words", "said"),
    named([*NUMBERS, *SETTING_VALUES, *REPEATED, *ENVIRONMENTS, *CHOICES, *PATHS, *COMMANDS, *FILE_COMMANDS]),
)
def test_bad_input_is_one_line_exit_2_and_nothing_written(
    words: tuple[str, ...], said: tuple[str, ...], rlbatch: Call, tree: Tree
) -> None:
    before = tree()
    code, out, err = rlbatch(*words)
    check_line(err, said)
    assert (code, out) == (2, "")
    assert tree() == before


@pytest.mark.usefixtures("surroundings")
@pytest.mark.parametrize(("words", "said"), named(REFUSED))
def test_what_is_refused_for_safety_is_one_line_exit_5_and_nothing_written(
    words: tuple[str, ...], said: tuple[str, ...], rlbatch: Call, tree: Tree
) -> None:
    before = tree()
    code, out, err = rlbatch(*words)
    check_line(err, said)
    assert (code, out) == (5, "")
    assert tree() == before


@pytest.mark.usefixtures("surroundings", "module")
@pytest.mark.parametrize(
    ("words", "where", "what", "hint", "exit_code"),
    [
        ((*CARTPOLE, "--batch", "0"), "--batch", "0 is out of range, allowed is 1 to 2147483647", "", 2),
        ((*CARTPOLE, "--bacth", "64"), "--bacth", "is not an option", "did you mean --batch?", 2),
        ((*CARTPOLE, "--set", "gama=1"), "gama", "is not a setting", "did you mean gamma?", 2),
        (("train", "--env", "CartPole"), "--env", "'CartPole' is not a reg", "did you mean CartPole-v1?", 2),
        ((*CARTPOLE, "--name", ESCAPE), "--name", "cannot be a folder's name", "letters, digits", 2),
        (("train",), "--env", "is missing", "see --help", 2),
        (("trian",), "", "'trian' is not a command", "did you mean train?", 2),
        (("status", "nosuch"), "nosuch", "holds no experiment", "rlbatch train makes one", 2),
        (("status", "kept/newer"), "kept/newer/experiment.yaml", "schema 1", "", 5),
        (("show", "nosuch"), "nosuch", "is not a run folder", "rlbatch list runs", 2),
        (("list", "foo"), "list", "'foo' cannot be listed", "allowed: envs, presets, experiments, runs", 2),
        (("evaluate", "nosuch", "--episodes", "0"), "--episodes", "0 is out of range", "", 2),
    ],
)
def test_with_json_an_error_is_one_object_on_stderr(
    words: tuple[str, ...], where: str, what: str, hint: str, exit_code: int, rlbatch: Call, tree: Tree
) -> None:
    before = tree()
    code, out, err = rlbatch(*words, "--json")
    told = json.loads(err)
    assert set(told) == {"schema", "where", "what", "hint", "exit_code"}
    assert told["schema"] == "rlbatch.error/1"
    assert told["where"] == where
    assert what in told["what"]
    assert hint in told["hint"]
    assert bool(hint) == bool(told["hint"])
    assert told["exit_code"] == code == exit_code
    assert out == ""
    assert tree() == before
    assert err.removesuffix("\n").isprintable()


@pytest.mark.parametrize("device", ["cuda", "cuda:0", "cuda:9"])
def test_a_device_that_is_not_there_is_never_replaced_by_the_cpu(
    device: str, rlbatch: Call, tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "probe_devices", lambda: {"devices": [{"device": "cpu"}]})
    code, out, err = rlbatch(*CARTPOLE, "--device", device)
    check_line(err, ("--device", f"{device} is not available here; available: cpu"))
    assert (code, out, tree()) == (2, "", {})


def test_a_replay_that_does_not_fit_names_the_gigabytes(
    rlbatch: Call, tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Memory:
        available = 10**9

    monkeypatch.setattr(machine.psutil, "virtual_memory", Memory)
    code, out, err = rlbatch(*CARTPOLE, "--set", "buffer_size=100000000", "--steps", "100000000")
    check_line(err, ("buffer_size", "100,000,000 transitions", "6.1 GB, 1.0 GB are free", "--set buffer_size=N"))
    assert (code, out, tree()) == (2, "", {})


def test_a_bad_variable_is_named_as_the_variable(rlbatch: Call, tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RLBATCH_OUT", "a\x1b[31m")
    code, out, err = rlbatch(*CARTPOLE)
    check_line(err, ("RLBATCH_OUT: ", "is not a path"))
    assert (code, out, tree()) == (2, "", {})


def test_a_folder_that_cannot_be_written_to_is_refused(
    rlbatch: Call, tree: Tree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "locked").mkdir()
    real = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: real(path, mode) and "locked" not in str(path))
    before = tree()
    code, out, err = rlbatch(*CARTPOLE, "--out", "locked/deeper")
    check_line(err, ("--out", "'locked' cannot be written to"))
    assert (code, out, tree()) == (2, "", before)


def test_a_folder_that_cannot_be_made_after_all_is_bad_input(
    rlbatch: Call, tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(Path, "mkdir", fail)
    code, _, err = rlbatch(*CARTPOLE)
    check_line(err, ("--out", "'results/CartPole-v1-dqn' cannot be made: Operation not permitted"))
    assert (code, tree()) == (2, {})


def test_a_line_that_is_too_long_keeps_its_ends(rlbatch: Call) -> None:
    err = rlbatch(*CARTPOLE, "--set", f"learning_rate=begin{'x' * 1000}end").err
    check_line(err, ("learning_rate: 'beginxxx", "xxx...xxx", "xxxend' is not a number"))
    assert len(err) > 290


def test_a_bug_is_told_with_its_traceback_and_exit_1(rlbatch: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr("rlbatch.launch.task.expand", broken)
    code, out, err = rlbatch(*CARTPOLE)
    assert (code, out) == (1, "")
    assert err.startswith("Traceback")
    assert err.splitlines()[-1].startswith("rlbatch: error: internal error: ZeroDivisionError('a bug'); please report")


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)


@settings(
    max_examples=200,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    env=st.sampled_from(["CartPole-v1", "Pendulum-v1"]),
    field=st.sampled_from(sorted(SETTINGS)),
    value=st.one_of(JSON_VALUES.map(json.dumps), st.text(max_size=8)),
    batch=st.one_of(st.none(), st.integers(-1, 10_000).map(str), st.text(max_size=6)),
)
def test_no_value_of_any_setting_is_a_traceback(
    env: str, field: str, value: str, batch: str | None, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    words = ["train", "--env", env, "--dry-run", "-q", "--set", f"{field}={value}"]
    code = main.run(words if batch is None else [*words, f"--batch={batch}"])
    out, err = capsys.readouterr()
    assert code in (0, 2), (words, err)
    assert out == ""
    if code:
        check_line(err, ())
    assert not list(tmp_path.iterdir())
