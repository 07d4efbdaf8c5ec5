"""What all tests share."""

from __future__ import annotations

from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real microscopy beside a checkout of the developers; a user has none."""
    if not SHARED.is_dir():
        pytest.skip("the shared test data (../shared/data) is not on this machine")
    return SHARED
