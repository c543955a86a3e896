"""rlbatch: how many replay experiences should make up each update batch?

import rlbatch

rlbatch.train("CartPole-v1", batch_size=[32, 256], seeds=8, total_timesteps=20_000)
rlbatch.run("experiments/quickstart.yaml")
frame = rlbatch.load("results/CartPole-v1-dqn")
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rlbatch.frames import load
    from rlbatch.launch.api import run, train

__version__ = version("rlbatch")
__all__ = ["__version__", "load", "run", "train"]

_WHERE = {"train": "rlbatch.launch.api", "run": "rlbatch.launch.api", "load": "rlbatch.frames"}
"""What is loaded when it is first asked for: gymnasium takes a second."""


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_WHERE[name]), name)
