"""Images that show the same are found, whatever was done to them; strangers are not."""

from __future__ import annotations

import os

import cv2
import imagecodecs
import numpy as np
import pytest
from skimage import data

from slidebox.challenge import inplace, keypoints, similar


@pytest.fixture(scope="module")
def pictures() -> list[np.ndarray]:
    """Quarters of real micrographs (scikit-image): they show different things."""
    cell, tissue = data.cell(), data.immunohistochemistry().mean(-1)
    return [
        image[y : y + image.shape[0] // 2, x : x + image.shape[1] // 2].astype(np.float32)
        for image in (cell, tissue)
        for y in (0, image.shape[0] // 2) for x in (0, image.shape[1] // 2)
    ]  # fmt: skip


def unit(a):
    return (a - a.min()) / (a.max() - a.min())


CHANGES = {
    "rotated": lambda a: np.rot90(a),
    "flipped": lambda a: a[:, ::-1],
    "transposed": lambda a: a.T,
    "turned by 30 degrees": lambda a: cv2.warpAffine(
        a, cv2.getRotationMatrix2D((a.shape[1] / 2, a.shape[0] / 2), 30, 1), a.shape[::-1],
        borderMode=cv2.BORDER_REFLECT,
    ),
    "rescaled": lambda a: cv2.resize(a, None, fx=0.6, fy=0.6, interpolation=cv2.INTER_AREA),
    "jpeg": lambda a: imagecodecs.jpeg8_decode(
        imagecodecs.jpeg8_encode((unit(a) * 255).astype(np.uint8), level=40)
    ),
    "gamma": lambda a: unit(a) ** 0.6,
    "inverted": lambda a: 1 - unit(a),
    "overexposed": lambda a: np.clip(unit(a) * 1.5, 0, 1),
    "noisy": lambda a: a + np.random.default_rng(0).normal(0, 0.1 * a.std(), a.shape),
    "cropped": lambda a: a[30:, : int(a.shape[1] * 0.7)],
    "cropped and turned": lambda a: np.rot90(a[20:, 20:])[::-1],
}  # fmt: skip


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_changed_copy_is_found_and_no_stranger(pictures, change):
    copies = [change(p) for p in pictures[4:]]
    found = [similar.features(p) for p in [*pictures, *copies]]
    label = [0] * len(pictures) + [1] * len(copies)
    pairs = {(m.a, m.b) for m in similar.find(found, label)}
    assert pairs == {(4 + k, len(pictures) + k) for k in range(len(copies))}


def test_the_transform_lays_one_over_the_other(pictures):
    image = pictures[5]
    found = [similar.features(p) for p in (image, np.rot90(image)[::-1])]
    (match,) = similar.find(found)
    assert match.mirrored and not match.inverted and match.scale == pytest.approx(1, abs=0.02)
    one, two = (f.preview.astype(float) for f in found)
    moved = cv2.warpAffine(
        two, match.matrix, one.shape[::-1], flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    )
    assert np.corrcoef(one[8:-8, 8:-8].ravel(), moved[8:-8, 8:-8].ravel())[0, 1] > 0.95


def test_without_labels_every_pair_counts_and_order_does_not(pictures):
    images = [pictures[6], pictures[7], np.rot90(pictures[6])]
    forward = {(m.a, m.b) for m in similar.find([similar.features(p) for p in images])}
    backward = {(m.a, m.b) for m in similar.find([similar.features(p) for p in images[::-1]])}
    assert forward == backward == {(0, 2)}


def test_images_without_structure_are_no_duplicates():
    flat = np.full((64, 64), 7, np.uint16)
    tiny = np.arange(100).reshape(10, 10)
    noise = [np.random.default_rng(k).normal(0, 1, (64, 64)) for k in range(4)]
    found = [similar.features(p) for p in (flat, flat, tiny, tiny, *noise)]
    assert not found[0].preview.any()
    assert similar.find(found) == []
    assert similar.find([]) == []


def test_several_processes_find_the_same(pictures, monkeypatch):
    monkeypatch.setattr(similar, "PARALLEL", 0)
    found = [similar.features(p, many=True) for p in [*pictures, *map(np.rot90, pictures)]]
    assert max(found[0].preview.shape) == keypoints.SIDE_OF_MANY
    apart, here = similar.find(found, processes=2), similar.find(found)
    assert [(m.a, m.b) for m in apart] == [(m.a, m.b) for m in here] and here


def test_what_a_process_that_was_ended_had_to_do_is_done_here(pictures, monkeypatch):
    monkeypatch.setattr(similar, "PARALLEL", 0)
    here, real = os.getpid(), inplace.pairs

    def pairs(*given):
        if os.getpid() != here:
            os._exit(9)
        return real(*given)

    monkeypatch.setattr(inplace, "pairs", pairs)
    found = [similar.features(p) for p in (pictures[4], np.rot90(pictures[4]))]
    assert [(m.a, m.b) for m in similar.find(found, processes=2)] == [(0, 1)]


def strips() -> list[np.ndarray]:
    """(210, 24) channels of one device: walls alike, cells in a row that differ."""
    y, x = np.indices((210, 24), np.float32)
    found = []
    for seed in range(6):
        rng = np.random.default_rng(seed)
        strip = 100 + 60 * np.exp(-((np.abs(x - 11.5) - 9) ** 2) / 3)
        at = 6.0
        while at < 200:
            half = float(rng.uniform(7, 13))
            inside = ((y - at - half) / half) ** 4 + ((x - 11.5) / 5.5) ** 4
            strip += float(rng.uniform(40, 60)) * np.exp(-inside)
            at += 2 * half
        found.append(strip + rng.normal(0, 3, strip.shape))
    return found


NARROW = {
    "flipped": lambda a: a[:, ::-1],
    "turned": lambda a: np.rot90(a),
    "jpeg": CHANGES["jpeg"],
    "larger": lambda a: cv2.resize(a, None, fx=1.5, fy=1.5, interpolation=cv2.INTER_CUBIC),
    "shifted": lambda a: a[40:],
}


@pytest.mark.parametrize("change", NARROW.values(), ids=NARROW)
def test_strips_are_found_again_and_not_taken_for_each_other(change):
    whole = strips()
    found = [similar.features(s) for s in [*whole, *map(change, whole)]]
    pairs = {(m.a, m.b) for m in similar.find(found, [0] * 6 + [1] * 6)}
    assert pairs == {(k, 6 + k) for k in range(6)}


def test_dim_cells_beside_a_bright_one_are_found_where_it_is_cut_off(pictures):
    whole = np.zeros((512, 512), np.float32)
    for k, picture in enumerate(pictures[4:]):
        whole[k // 2 * 256 :, k % 2 * 256 :][:256, :256] = picture[:256, :256]
    crop = whole[:, 150:].copy()
    cv2.circle(whole, (75, 256), 60, float(40 * whole.max()), -1)
    (match,) = similar.find([similar.features(whole), similar.features(crop)], [0, 1])
    assert match.scale == pytest.approx(1, abs=0.02)


def test_a_few_spots_on_nothing_are_no_outliers():
    image = np.zeros((300, 300), np.uint16)
    for y, x in ((40, 60), (44, 210), (180, 120), (250, 33)):
        image[y : y + 3, x : x + 3] = 900
    assert keypoints.preview(image).max() == 255
