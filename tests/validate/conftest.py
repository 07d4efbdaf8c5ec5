"""A right submission, and a way to say how it is spoilt."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture
def submission(tmp_path: Path) -> Path:
    import study

    return study.write(tmp_path / "S-TEST1")


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """Record and list only, for checks that open no file."""
    import study

    return study.write(tmp_path / "S-TEST1", data=False)
