"""With what was a run made? Versions, command and code state, recorded with each run and never compared."""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import platform
import re
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

PACKAGES = (
    "rlbatch",
    "torch",
    "stable_baselines3",
    "gymnasium",
    "numpy",
    "scipy",
    "tensorboard",
    "safetensors",
    "mujoco",
    "box2d",
)


def provenance(argv: Sequence[str], modules: Sequence[str] = ()) -> dict[str, Any]:
    """Returns what config.json keeps of how a run was made; `modules` are those of the user's, already imported."""
    return {
        "argv": list(argv),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": versions(),
        "modules": {name: file_hash(name) for name in modules},
        "platform": platform.platform(),
        "git_commit": git_commit(),
    }


def file_hash(module: str) -> str | None:
    """Returns 16 hex digits of the SHA-256 of an imported module's file, or None for one without a file."""
    path = getattr(sys.modules.get(module), "__file__", None)
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()[:16] if path else None


@functools.cache
def versions() -> dict[str, str | None]:
    """Returns the installed version of Python and of each package that can change a number, None where it is absent."""
    found: dict[str, str | None] = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = None
    return found


@functools.cache
def git_commit() -> str | None:
    """Returns the commit of the working directory, with "+changes" where files differ from it, or None outside git."""
    git = ["git", "-c", "core.fsmonitor=", "-c", "core.hooksPath=/dev/null"]
    try:
        head = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, timeout=5, check=True)
        dirty = subprocess.run(
            [*git, "status", "--porcelain", "-uno"], capture_output=True, text=True, timeout=5, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return head.stdout.strip() + ("+changes" if dirty.stdout.strip() else "")


def without_secrets(argv: Sequence[str]) -> list[str]:
    """Returns a command line that can be recorded: no value of a secret option, no credentials inside a URL."""
    return [_without_secret(word) for word in argv]


def _without_secret(word: str) -> str:
    """Blanks the value of an option whose name speaks of a secret, and credentials inside a URL."""
    word = re.sub(r"(?i)^(--?[\w-]*(?:token|password|secret|key)[\w-]*=).+", r"\1***", word)
    return re.sub(r"(\w+://)[^/@\s]+@", r"\1***@", word)
