"""What did the words of `rlbatch train` ask for? Options become a request; what is given twice is refused."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

from rlbatch.config import check_name
from rlbatch.env_ids import module_of
from rlbatch.errors import InputError
from rlbatch.grid import Request

_CONFIG_OPTIONS = {
    "total_timesteps": "--steps",
    "match": "--match",
    "lr_rule": "--lr-rule",
    "preset": "--preset",
    "engine": "--engine",
    "env_kwargs": "--env-kwargs",
}
"""Field of `RunConfig` -> the option that sets it; every other field is set by --set."""


@contextlib.contextmanager
def told_by_option(request: Request) -> Iterator[None]:
    """Lets an error about a setting name the option that the user gave it by; --set names the field itself."""
    try:
        yield
    except InputError as error:
        option = request.origins.get(error.where, "--set")
        error.where = error.where if option == "--set" else option
        raise


def modules_of(given: Mapping[str, Any]) -> dict[str, str]:
    """Returns the modules that the command line names, each with the option: --import, or --env with module:Id."""
    module = module_of(given["env_id"])
    return dict.fromkeys(given["modules"], "--import") | ({module: "--env"} if module else {})


def request_of(given: Mapping[str, Any]) -> Request:
    """Turns the options into a request; refuses a field that is given twice."""
    if given["seed"] is not None and given["seeds"] is not None:
        raise InputError("--seed", "and --seeds are both given", "--seed 7 is one run, --seeds 7 are seven")
    settings = {field: given[field] for field in _CONFIG_OPTIONS if given[field] is not None}
    origins = {field: _CONFIG_OPTIONS[field] for field in settings}
    batch_sizes = given["batch_sizes"] or ()
    seeds = given["seeds"] or ((given["seed"],) if given["seed"] is not None else ())
    taken = {"batch_size": "--batch"} if batch_sizes else {}
    taken |= {"seed": "--seed" if given["seed"] is not None else "--seeds"} if seeds else {}
    for field, value in given["settings"]:
        check_name(field)
        if field in ("env_id", "algo"):
            raise InputError("--set", f"{field} has an option of its own", f"use --{field.removesuffix('_id')}")
        before = (
            "--set" if field in settings and field not in _CONFIG_OPTIONS else origins.get(field) or taken.get(field)
        )
        if before:
            raise InputError("--set", f"{field} is given twice", f"by {before} and by --set")
        if field == "batch_size":
            batch_sizes = (value,)
            taken[field] = "--set"
        elif field == "seed":
            seeds = (value,)
            taken[field] = "--set"
        else:
            settings[field] = value
            origins[field] = "--set"
    return Request(given["env_id"], given["algo"], batch_sizes, seeds, settings, origins | taken)
