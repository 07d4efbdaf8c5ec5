"""Crops of one field that share few keypoints or none are found by their shift; strangers not."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from skimage import data

from slidebox.challenge import moved, similar
from slidebox.challenge.keypoints import Features
from slidebox.images import open_image


def slide(seed: int, nuclei: int, radius: float, blur: float, side: int = 360) -> np.ndarray:
    """(y, x) float32: round nuclei with chromatin on a dark ground."""
    rng = np.random.default_rng(seed)
    out = np.zeros((side, side), np.float32)
    for _ in range(nuclei):
        centre = tuple(int(v) for v in rng.integers(40, side - 40, 2))
        axes = tuple(max(2, int(v)) for v in rng.normal(radius, radius / 8, 2))
        cv2.ellipse(out, centre, axes, float(rng.uniform(0, 180)), 0, 360, 100.0, -1)
    chromatin = cv2.GaussianBlur(rng.normal(0, 1, out.shape).astype(np.float32), (0, 0), 5)
    out = cv2.GaussianBlur(out * (1 + 3 * chromatin), (0, 0), blur)
    return np.round(out)


def blind(image: np.ndarray) -> Features:
    """Features as if no keypoint had been found."""
    made, none = similar.features(image), np.zeros(0, np.complex64)
    return Features(made.preview, made.evened, made.scale, none, none, made.descriptors[:0])


KINDS = {
    "blurred nuclei": lambda seed: slide(seed, 6, 40, 5),
    "dots": lambda seed: slide(seed, 60, 4, 1.0),
    "a cell": lambda seed: np.roll(data.cell()[100:460, 100:460], 37 * seed, 0).astype(np.float32),
}


@pytest.mark.parametrize("inverted", [False, True], ids=["", "inverted"])
@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_crops_that_overlap_are_found_without_keypoints(kind, inverted):
    image = kind(1)
    one, two = image[:-70, :-90], image[60:, 40:]  # of other sizes: previews of other scales
    a, b = blind(one), blind(-two if inverted else two)
    match = similar.same(a, b, 2 * inverted)
    assert match is not None and match.shifted and match.inverted == inverted
    # The pixel (y, x) of the first crop is (y - 60, x - 40) of the second
    at = match.matrix @ np.array([100 * a.scale, 120 * a.scale, 1])
    assert at / b.scale == pytest.approx([100 - 40, 120 - 60], abs=1.5)


@pytest.mark.parametrize("kind", [KINDS["blurred nuclei"], KINDS["dots"]], ids=list(KINDS)[:2])
def test_other_fields_of_the_same_kind_are_strangers(kind):
    found = [blind(kind(seed)) for seed in range(12)]
    pairs = [(i, j) for j in range(12) for i in range(j)]
    assert not any(similar.same(found[i], found[j], 0) for i, j in pairs)


def test_an_overlap_that_shows_nothing_is_no_evidence():
    image = slide(3, 0, 10, 1)
    image[40:80, 40:80] += 50
    assert similar.same(blind(image[:300, :300]), blind(image[100:, 100:]), 0) is None


def test_a_real_slide_of_large_blurred_nuclei(shared_data):
    (path,) = (shared_data / "vendor/vsi_olympus").rglob("vsi-ets-test-jpg2k.vsi")
    with open_image(path) as file:
        series = file.series[0]
        index = tuple(
            n // 2 if a == "z" else 0 for a, n in zip(series.axes, series.shape, strict=True)
        )
        plane = np.asarray(series.read(index[:-2], 0, series.shape[-2]), np.float32)
    corners = [(0, 0), (0, 768), (384, 0), (384, 768), (768, 768)]
    tiles = [plane[y : y + 384, x : x + 384] for y, x in corners]
    found = [similar.features(tile[:-46, :-61]) for tile in tiles]
    found += [similar.features(tile[46:, 61:]) for tile in tiles]
    matches = similar.find(found, [0] * len(tiles) + [1] * len(tiles))
    assert {(m.a, m.b) for m in matches} == {(k, k + len(tiles)) for k in (0, 2, 3, 4)}


def test_shifts_of_pictures_of_very_other_scale_are_not_sought():
    a, b = blind(np.tile(slide(1, 6, 40, 5), (4, 4))), blind(slide(1, 6, 40, 5)[:128, :128])
    assert a.scale < b.scale / moved.RATIO and moved.shifts(a, b, False) == []
