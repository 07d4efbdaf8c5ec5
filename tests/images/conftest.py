"""What the tests of images share: independent readers and small files in odd shapes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import zarr


@pytest.fixture
def vendor(shared_data) -> Path:
    return shared_data / "vendor"


@pytest.fixture
def read_level():
    """Reads a level with zarr-python, which shares no code with Slidebox's writer."""

    def read(folder: Path, level: str = "0") -> np.ndarray:
        return zarr.open_group(folder, mode="r")[level][...]

    return read
