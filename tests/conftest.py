"""What all tests share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real microscopy beside a checkout of the developers; a user has none."""
    if not SHARED.is_dir():
        pytest.skip("the shared test data (../shared/data) is not on this machine")
    return SHARED


def pytest_collection_modifyitems(config, items):
    """Leave slow tests out unless they are asked for: SLIDEBOX_SLOW=1, -m, or named one by one."""
    asked = os.environ.get("SLIDEBOX_SLOW") or config.option.markexpr
    if asked or any("::" in argument for argument in config.args):
        return
    slow = [item for item in items if item.get_closest_marker("slow")]
    config.hook.pytest_deselected(items=slow)
    items[:] = [item for item in items if not item.get_closest_marker("slow")]
