"""Which environment does an id name? `Id`, or `module:Id` for a module that registers it and that the user named."""

from __future__ import annotations

import importlib
import re
import sys
from pathlib import Path

import gymnasium

from rlbatch.errors import InputError, RefusedError, nearest

USER_ERRORS = (Exception, SystemExit)
"""What a user's module or environment may raise: errors, and its way of ending a program."""

_imported: set[str] = set()


def bare_id(env_id: str) -> str:
    """Returns an id without its module."""
    return env_id.rpartition(":")[2]


def module_of(env_id: str) -> str:
    """Returns the module that `module:Id` names, or "" for any other id."""
    return env_id.rpartition(":")[0] if env_id.count(":") == 1 else ""


def import_module(name: str, where: str = "--import", directory: Path | None = None) -> None:
    """Imports a module that registers environments, with the working directory on the path.

    Only for names that the command line gave: importing runs the module's code.

    Args:
        name: dotted.
        where: the option that named it.
        directory: goes on the path instead of the working directory.

    Raises:
        InputError: the module is not found, or its import fails.
    """
    if not re.fullmatch(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", name, flags=re.ASCII):
        raise InputError(where, f"{name!r} is not the name of a Python module", "write it as in an import")
    here = str(directory or Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        importlib.import_module(name)
    except ImportError as error:
        raise InputError(where, f"module {name!r} cannot be imported: {error}", "run where it can be found") from error
    except USER_ERRORS as error:
        raise InputError(where, f"module {name!r} fails at import: {error!r}") from error
    _imported.add(name)


def registered_id(env_id: str) -> str:
    """Returns the id under which gymnasium knows the environment, without `module:`.

    Raises:
        RefusedError: the id names a module that the command line did not.
        InputError: no such id is registered; the hint names the nearest one.
    """
    module, _, bare = env_id.rpartition(":")
    if ":" in module:
        raise InputError("--env", f"{env_id!r} has more than one ':'", "write module:Id")
    if env_id.startswith(":"):
        raise InputError("--env", f"{env_id!r} names no module", "write module:Id")
    if module and module not in _imported:
        raise RefusedError("env_id", f"{env_id!r} needs the module {module!r}", f"name it: --import {module}")
    if not re.fullmatch(r"[A-Za-z0-9_][\w./-]*", bare, flags=re.ASCII) or ".." in bare:
        raise InputError("--env", f"{bare!r} is not an environment id", "ids look like CartPole-v1")
    if bare not in gymnasium.registry:
        raise InputError("--env", f"{bare!r} is not a registered environment", _id_hint(bare))
    return bare


def newer_version(env_id: str) -> str | None:
    """Returns the newest registered version of the same environment, where that is not `env_id` itself."""
    match = re.fullmatch(r"(.+)-v(\d+)", bare_id(env_id))
    if match is None:
        return None
    versions = [
        int(i.rpartition("-v")[2]) for i in gymnasium.registry if re.fullmatch(re.escape(match[1]) + r"-v\d+", i)
    ]
    return f"{match[1]}-v{max(versions)}" if versions and max(versions) > int(match[2]) else None


def _id_hint(bare: str) -> str:
    stem = re.sub(r"-v\d*$", "", bare)
    versions = sorted(i for i in gymnasium.registry if re.fullmatch(re.escape(stem) + r"-v\d+", i))
    if versions:
        return f"did you mean {versions[-1]}?"
    return nearest(bare, gymnasium.registry) or "rlbatch list envs shows some"
