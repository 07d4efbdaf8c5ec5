"""What of a stack is looked at: a slice, a thinner stack or a projection of it is found again."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import tifffile

from slidebox.challenge import leakage, similar


@pytest.fixture(scope="module")
def volume() -> np.ndarray:
    """(z, y, x) of blobs that reach over some planes."""
    rng = np.random.default_rng(8)
    noise = rng.normal(0, 1, (60, 96, 96)).astype(np.float32)
    flat = np.stack([cv2.GaussianBlur(plane, (0, 0), 3) for plane in noise])
    deep = np.stack([cv2.GaussianBlur(flat[:, k], (0, 0), 0.1, sigmaY=6) for k in range(96)], 1)
    return ((deep - deep.min()) / np.ptp(deep) * 4000).astype(np.uint16)


def written(path, stack):
    axes = "ZYX"[-stack.ndim :]
    tifffile.imwrite(path, stack, ome=True, metadata={"axes": axes}, photometric="minisblack")
    return path


def test_depths_are_spread_and_their_brightest_follows(tmp_path, volume):
    found = list(leakage.planes(written(tmp_path / "v.ome.tif", volume), 6))
    assert len(found) == 7
    np.testing.assert_array_equal(found[0], volume[0])
    np.testing.assert_array_equal(found[5], volume[-1])
    np.testing.assert_array_equal(found[6], volume.max(0))


PARTS = {
    "one slice": lambda v: v[29],
    "slices between": lambda v: v[21:40:2],
    "brightest": lambda v: v.max(0),
    "smaller": lambda v: v[20:40, 10:, :80],
}


@pytest.mark.parametrize("part", PARTS.values(), ids=PARTS)
def test_a_part_of_a_stack_is_found(tmp_path, volume, part):
    whole = list(leakage.planes(written(tmp_path / "v.ome.tif", volume), 20))
    other = list(leakage.planes(written(tmp_path / "p.ome.tif", part(volume)), 20))
    found = [similar.features(p, many=True) for p in (*whole, *other)]
    assert similar.find(found, [0] * len(whole) + [1] * len(other))
