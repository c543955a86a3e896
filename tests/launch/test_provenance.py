"""Provenance: versions and command, without what must not be passed on."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from rlbatch.launch import provenance as module
from rlbatch.launch.provenance import git_commit, provenance, versions, without_secrets


@pytest.mark.parametrize(
    ("word", "kept"),
    [
        ("--token=abc", "--token=***"),
        ("--wandb-api-key=abc", "--wandb-api-key=***"),
        ("http://me:secret@host/x", "http://***@host/x"),
        ("--env", "--env"),
        ("--set=gamma=0.9", "--set=gamma=0.9"),
    ],
)
def test_secrets_are_blanked(word: str, kept: str) -> None:
    assert without_secrets([word]) == [kept]


def test_versions_name_what_can_change_a_number() -> None:
    found = versions()
    assert {"python", "rlbatch", "torch", "stable_baselines3", "gymnasium", "numpy"} <= found.keys()
    assert found["torch"]


def test_the_commit_of_the_working_directory_is_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(Path.cwd().parent))
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    git_commit.cache_clear()
    assert git_commit() is None
    identity = ["-c", "user.name=x", "-c", "user.email=x@y"]
    subprocess.run(["git", "init", "-q", "."], check=True)
    Path("a").write_text("1")
    subprocess.run(["git", "add", "a"], check=True)
    subprocess.run(["git", *identity, "commit", "-qm", "a"], check=True)
    git_commit.cache_clear()
    clean = git_commit()
    assert clean is not None
    assert len(clean) == 40
    Path("a").write_text("2")
    git_commit.cache_clear()
    assert git_commit() == f"{clean}+changes"
    monkeypatch.setenv("PATH", "")
    git_commit.cache_clear()
    assert git_commit() is None
    git_commit.cache_clear()


def test_the_record_is_json() -> None:
    assert json.loads(json.dumps(provenance(["rlbatch"])))["argv"] == ["rlbatch"]
    assert module.PACKAGES
