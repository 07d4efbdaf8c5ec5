"""What all tests share."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import s3_server as s3

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real microscopy beside a checkout of the developers; a user has none."""
    if not SHARED.is_dir():
        pytest.skip("the shared test data (../shared/data) is not on this machine")
    return SHARED


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[s3.S3Server]:
    """A real S3 server with ``endpoint``, ``key``, ``secret``; tests that use it are slow."""
    if other := os.environ.get("SLIDEBOX_TEST_S3"):
        yield s3.named(other)
        return
    with contextlib.ExitStack() as stack:
        try:
            server = stack.enter_context(s3.serving(tmp_path_factory.mktemp("s3")))
        except s3.CannotServe as reason:
            pytest.skip(str(reason))
        yield server


def pytest_collection_modifyitems(config, items):
    """Leave slow tests out unless they are asked for: SLIDEBOX_SLOW=1, -m, or named one by one.

    Files with slow tests come first: a core isn't left alone with the longest at the end.
    """
    long = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in long)
    asked = os.environ.get("SLIDEBOX_SLOW") or config.option.markexpr
    if asked or any("::" in argument for argument in config.args):
        return
    slow = [item for item in items if item.get_closest_marker("slow")]
    config.hook.pytest_deselected(items=slow)
    items[:] = [item for item in items if not item.get_closest_marker("slow")]
