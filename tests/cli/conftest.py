"""What the tests of the command line share: a call that captures, a tiny run, and what lies in a folder."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import gymnasium
import pytest
from engines import ENGINE

from rlbatch import env_ids, environments
from rlbatch.cli import main

TINY = (
    *("--steps", "300", "--set", "learning_starts=64", "--set", "net_arch=[8]"),
    *("--set", "n_evaluations=2", "--set", "n_eval_episodes=2", "--set", "log_points=5"),
)


class Told(NamedTuple):
    """How a command ended and what it printed."""

    code: int
    out: str
    err: str


Call = Callable[..., Told]


@pytest.fixture
def rlbatch(capfd: pytest.CaptureFixture[str]) -> Call:
    """Runs a command line in this process."""

    def call(*words: str) -> Told:
        capfd.readouterr()
        code = main.run(words)
        return Told(code, *capfd.readouterr())

    return call


@pytest.fixture
def train(rlbatch: Call, in_process: None) -> Call:
    """Trains with a budget of a second, on `ENGINE` where the words name none."""

    def call(*words: str, env: str = "CartPole-v1", batch: str = "32") -> Told:
        engine = () if "--engine" in words else ("--engine", ENGINE)
        return rlbatch("train", "--env", env, "--batch", batch, *TINY, *engine, *words)

    return call


@pytest.fixture(scope="session")
def _trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("trained")


@pytest.fixture
def finished(train: Call, _trained: Path, tmp_path: Path) -> Path:
    """Returns the folder of a finished run of two in ./results; trained once, copied for each test."""
    kept = _trained / "results"
    if not kept.exists():
        assert train("--seeds", "2").code == 0
        shutil.copytree(tmp_path / "results", kept)
    shutil.copytree(kept, tmp_path / "results", dirs_exist_ok=True)
    return min(path.parent for path in Path("results").rglob("result.json"))


@pytest.fixture
def module(tmp_path: Path) -> Iterator[Callable[[str, str], Path]]:
    """Writes a module into the working directory, and forgets it and what it registered at the end."""
    path, loaded, known = list(sys.path), set(sys.modules), set(gymnasium.registry)

    def write(name: str, text: str) -> Path:
        file = tmp_path / f"{name}.py"
        file.write_text(text)
        return file

    yield write
    sys.path[:] = path
    for name in set(sys.modules) - loaded:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[name]
            env_ids._imported.discard(name)
    for env_id in set(gymnasium.registry) - known:
        del gymnasium.registry[env_id]
    environments._describe.cache_clear()


@pytest.fixture
def tree(tmp_path: Path) -> Callable[[], dict[str, bytes | str]]:
    """Tells what lies in the working directory: path -> content, target of a link, or "folder"."""

    def content(path: Path) -> bytes | str:
        if path.is_symlink():
            return f"link to {path.readlink()}"
        return "folder" if path.is_dir() else path.read_bytes()

    return lambda: {str(path.relative_to(tmp_path)): content(path) for path in sorted(tmp_path.rglob("*"))}
