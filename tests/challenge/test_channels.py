"""Leakage among strips: channels of a mother machine, real and made up."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile

from slidebox.challenge import channels, similar, strips

REAL = Path(__file__).parents[3] / "shared/data/tracking/delta_ecoli_mothermachine/ctc"


def channel(number: int, moment: int, flaws: float = 25) -> np.ndarray:
    """(210, 24): walls with flaws that stay, and other cells at each moment."""
    y, x = np.indices((210, 24), np.float32)
    stays = np.random.default_rng(number)
    strip = 100 + 60 * np.exp(-((np.abs(x - 11.5) - 9) ** 2) / 3)
    flaw = cv2.GaussianBlur(stays.normal(0, 1, strip.shape).astype(np.float32), (0, 0), 1.5)
    strip += flaws * flaw / flaw.std()
    moves = np.random.default_rng([number, moment])
    at = 6.0
    while at < 200:
        half = float(moves.uniform(7, 13))
        cell = ((y - at - half) / half) ** 4 + ((x - 11.5) / 5.5) ** 4
        strip = np.where(cell < 1, 160 - 50 * cell, strip)
        at += 2 * half
    return strip + moves.normal(0, 3, strip.shape)


def matches(one: list[np.ndarray], two: list[np.ndarray]) -> list[similar.Match]:
    found = [similar.features(x) for x in [*one, *two]]
    return similar.find(found, [0] * len(one) + [1] * len(two))


def pairs(one: list[np.ndarray], two: list[np.ndarray]) -> set[tuple[int, int]]:
    return {(m.a, m.b - len(one)) for m in matches(one, two)}


def saturated(strip: np.ndarray) -> np.ndarray:
    low, high = strip.min(), strip.max()
    noise = np.random.default_rng(0).normal(0, 0.01, strip.shape)
    return np.clip(1.7 * (strip - low) / (high - low), 0, 1) + noise


COPIES = {
    "squeezed": lambda a: cv2.resize(a, (32, 150), interpolation=cv2.INTER_AREA),
    "saturated": saturated,
    "blurred": lambda a: cv2.GaussianBlur(a, (0, 0), 1.5),
    "cropped, turned, mirrored, inverted": lambda a: np.rot90(255 - a[30:190, 3:21])[::-1],
}


@pytest.fixture(scope="module")
def real() -> list[list[np.ndarray]]:
    """Frames 2 and 3 of 12 channels."""
    if not REAL.is_dir():
        pytest.skip("no real mother machine at hand: shared/data is not beside this checkout")
    return [
        [tifffile.imread(p / f"01/t{t:03d}.tif").astype(np.float32) for p in sorted(REAL.iterdir())]
        for t in (2, 3)
    ]


@pytest.mark.parametrize("change", COPIES.values(), ids=COPIES)
def test_copies_of_real_strips_are_found_and_no_other(real, change):
    some = real[0][:5]
    assert pairs(some, [change(x) for x in some]) == {(k, k) for k in range(5)}


def test_the_next_frames_of_a_real_channel_are_found_by_its_walls(real):
    same = {(k, k) for k in range(12)}
    found = pairs(*real)
    assert len(found & same) >= 11
    assert not found - same


@pytest.mark.parametrize("change", COPIES.values(), ids=COPIES)
def test_copies_of_strips_without_flaws_are_found_and_no_other(change):
    whole = [channel(n, 0, flaws=2) for n in range(4)]
    assert pairs(whole, [change(x) for x in whole]) == {(k, k) for k in range(4)}


@pytest.mark.parametrize("many", [False, True], ids=["all pairs", "hashed"])
def test_flaws_of_walls_tell_a_channel_when_its_cells_have_moved(many, monkeypatch):
    monkeypatch.setattr(channels, "BRUTE", 4 if many else 450)
    first = [channel(n, 0) for n in range(5)]
    then = [channel(n, 1) for n in range(5)]
    assert pairs(first, then) == {(k, k) for k in range(5)}
    # Without flaws nothing tells them apart
    first, then = ([channel(n, t, flaws=0) for n in range(5)] for t in (0, 1))
    assert pairs(first, then) == set()


def test_a_strip_that_lies_mirrored_is_laid_on_the_standing_one():
    """By the walls alone: the transform leads from the one to the other's pixels."""
    standing, lying = channel(0, 0), np.rot90(channel(0, 1)[:, ::-1])
    (match,) = matches([standing, channel(1, 0)], [lying, channel(2, 0)])
    assert (match.a, match.b, match.mirrored, match.inverted) == (0, 2, True, False)
    # (x, y) of the standing strip is column 23 - x, mirrored, of what was then turned
    for x, y in ((0, 0), (5, 100), (23, 209)):
        at = match.matrix @ [x, y, 1]
        column = 23 - x
        assert at == pytest.approx([y, 23 - column], abs=0.01)


def test_one_blob_each_is_no_evidence():
    y, x = np.indices((210, 24), np.float32)
    blob = [20 + 200 * np.exp(-((y - 60 - 9 * k) ** 2 + (x - 11.5) ** 2) / 40) for k in range(6)]
    noisy = [b + np.random.default_rng(k).normal(0, 2, b.shape) for k, b in enumerate(blob)]
    assert pairs(noisy[:3], noisy[3:]) == set()


def test_what_is_no_strip():
    assert strips.is_strip(np.zeros((210, 24)))
    assert strips.is_strip(np.zeros((32, 256)))
    assert not strips.is_strip(np.zeros((210, 60)))
    assert not strips.is_strip(np.zeros((28, 28)))
