"""Neighbouring planes and moments, which share few keypoints, are found where they lie."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from slidebox.challenge import inplace, similar
from slidebox.challenge.keypoints import Features, preview


def smooth(rng, size, sigma):
    return cv2.GaussianBlur(rng.normal(0, 1, size).astype(np.float32), (0, 0), sigma)


def scenes(count: int, size=(100, 140)) -> list[np.ndarray]:
    rng = np.random.default_rng(3)
    return [smooth(rng, size, 3) / 0.1 for _ in range(count)]


def kept(images) -> list[Features]:
    """Features as if no keypoint had been found."""
    none = np.zeros(0, np.complex64)
    return [
        Features(shown, shown, 1.0, none, none, np.zeros((0, 128), np.uint8))
        for shown in map(preview, images)
    ]


@pytest.mark.parametrize("quarters", range(4))
@pytest.mark.parametrize("mirrored", [False, True], ids=["", "mirrored"])
@pytest.mark.parametrize("sign", [1, -1], ids=["", "inverted"])
def test_each_pose_is_found_and_undone(quarters, mirrored, sign):
    images = scenes(12)
    found = kept([*images, *(sign * inplace.turn(i, quarters, mirrored) for i in images)])
    pairs = inplace.pairs(found, np.repeat([0, 1], 12))
    assert [(p.a, p.b) for p in pairs] == [(k, 12 + k) for k in range(12)]
    match = pairs[0]
    assert match.inverted == (sign < 0)
    one, two = (found[k].preview.astype(np.float32) for k in (match.a, match.b))
    moved = cv2.warpAffine(
        two, inplace.matrix(match, one, two), one.shape[::-1],
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
    )  # fmt: skip
    assert sign * np.corrcoef(one[5:-5, 5:-5].ravel(), moved[5:-5, 5:-5].ravel())[0, 1] > 0.99


def test_a_plane_further_is_found_though_grain_and_ground_are_others():
    rng = np.random.default_rng(4)
    here = scenes(20, (128, 128))
    ground = 6 * smooth(rng, (128, 128), 30) / 0.01  # the same for all: the lamp's
    planes = [0.9 * i + 0.4 * smooth(rng, i.shape, 3) / 0.1 for i in here]
    grainy = [i + ground + rng.normal(0, 1, i.shape) for i in (*here, *planes)]
    matches = similar.find(kept(grainy), [0] * 20 + [1] * 20)
    assert [(m.a, m.b) for m in matches] == [(k, 20 + k) for k in range(20)]
    assert not any(m.inliers for m in matches)


def test_one_cell_in_the_middle_is_no_evidence():
    y, x = np.indices((96, 96), np.float32)
    rng = np.random.default_rng(5)
    cells = []
    for _ in range(24):
        cy, cx, a, b = 48 + rng.normal(0, 3), 48 + rng.normal(0, 3), *rng.uniform(14, 22, 2)
        inside = ((y - cy) / a) ** 2 + ((x - cx) / b) ** 2
        cells.append(100 / (1 + np.exp(6 * (inside - 1))) + rng.normal(0, 2, y.shape))
    assert len(inplace.pairs(kept(cells))) <= 0.01 * 24 * 23 / 2


def test_the_cameras_stripes_are_no_evidence():
    rng = np.random.default_rng(6)
    stripes = smooth(rng, (128, 128), 2).mean(0) * 300 + (np.arange(128)[:, None] > 64) * 8
    empty = [stripes + rng.normal(0, 3, (128, 128)) for _ in range(12)]
    assert inplace.pairs(kept(empty)) == []


@pytest.mark.parametrize("at", [0, 60, 119])
def test_one_frame_of_a_long_time_lapse_in_another_split(at):
    rng = np.random.default_rng(7)
    (field,) = scenes(1, (64, 64))
    frames = [field + rng.normal(0, 0.1, field.shape) for _ in range(120)]
    label = np.zeros(120, int)
    label[at] = 1
    assert len(inplace.pairs(kept(frames), label)) > 20
