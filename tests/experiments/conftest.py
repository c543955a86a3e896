"""The scripts beside the kept results are no package: here they become modules."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

RESULTS = Path(__file__).parents[2] / "results"


def load(path: Path, name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def summaries() -> ModuleType:
    kept = list(sys.path)
    sys.path.insert(0, str(RESULTS))
    try:
        return importlib.import_module("summaries")
    finally:
        sys.path[:] = kept


@pytest.fixture(scope="session")
def sb3_parity(summaries: ModuleType) -> ModuleType:
    return _script("sb3_parity")


@pytest.fixture(scope="session")
def neutral_search(summaries: ModuleType) -> ModuleType:
    return _script("neutral_search")


def _script(name: str) -> ModuleType:
    kept = list(sys.path)
    try:
        return load(RESULTS / name / "summarise.py", name)
    finally:
        sys.path[:] = kept


@pytest.fixture(scope="session")
def headline(summaries: ModuleType) -> ModuleType:
    kept = list(sys.path)
    try:
        return load(RESULTS / "readme" / "figure.py", "figure")
    finally:
        sys.path[:] = kept


@pytest.fixture(scope="session")
def keep(summaries: ModuleType) -> ModuleType:
    kept = list(sys.path)
    try:
        return load(RESULTS / "keep.py", "keep")
    finally:
        sys.path[:] = kept
