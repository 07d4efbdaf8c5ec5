"""The demo's inbox, taken in by the real workflow: once to look at, or copied to be changed."""

from __future__ import annotations

import shutil

import pytest
from archive_user import Archive, configure

from slidebox.demo import inbox


@pytest.fixture
def archive(tmp_path) -> Archive:
    return configure(tmp_path / "archive")


@pytest.fixture(scope="session")
def demo(tmp_path_factory) -> Archive:
    """The demo's inbox, taken in once for all tests that only look."""
    made = configure(tmp_path_factory.mktemp("demo") / "archive")
    inbox.make(made.folder / "inbox")
    made.snakemake()
    return made


@pytest.fixture
def demo_copy(demo, tmp_path) -> Archive:
    """The demo's archive to be changed: a copy with the same file times."""
    shutil.copytree(demo.folder, tmp_path / "archive", symlinks=True)
    return Archive(tmp_path / "archive")
