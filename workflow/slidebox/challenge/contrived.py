"""Contrived predictions: the truth, nothing, noise, and what shows a metric to be blind.

Labels are (y, x) or (z, y, x) arrays of whole numbers; points are (N, D) arrays; masks of tracks
are files, one a frame, in a scratch folder.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from ..scoring.arrays import whole
from ..scoring.release import Item, Release
from ..scoring.tasks import task_module
from . import baseline

# Neither right nor wrong: by its value a scorer that counts in another way is noticed
SHIFTED = "shifted"
PART = "one true object"
HALF = "half of the truth"
SURPLUS = "the truth and false objects"
MERGED = "all objects as one"
MISPLACED = "as many in other places"
UNLINKED = "the truth without links"
# A metric that gives these as much as the whole truth doesn't see something: what will lead then
BLIND = {
    PART: "entries that hand in sure objects alone",
    HALF: "entries that hand in what is sure alone",
    SURPLUS: "entries that hand in whatever may be one",
    MERGED: "entries that divide no objects that touch",
    MISPLACED: "entries that count without finding",
    UNLINKED: "entries that follow nothing from frame to frame",
}

Made = tuple[str, Any]  # a control's name and the prediction

BLOCKS = 24  # along each side of a frame of noise: large ones, which pack well
TRIES = 20  # places that are tried for each false object


def predictions(release: Release, item: Item, truth: Any, scratch: Path) -> Iterator[Made]:
    """(name, prediction) of an item, the truth first; which ones there are depends on the task.

    Each is made when it is asked for: a volume is in memory once or twice, not for all of them.

    Parameters
    ----------
    truth : as the task's `read_truth` gives it.
    scratch : an empty folder that must last as long as the predictions are used.
    """
    task = release.task
    if task == "semantic-segmentation":
        truth = _known(truth, release.settings)
    yield "truth", _as_prediction(truth)
    yield "empty", task_module(task).empty_prediction(item)
    make = {
        "instance-segmentation": _instances, "semantic-segmentation": _semantic,
        "points": _points, "restoration": _restoration,
    }  # fmt: skip
    if task == "tracking":
        yield from _tracks(truth, item, scratch)
    else:
        yield from make[task](truth, item, release.settings, np.random.default_rng(0))


def _as_prediction(truth: Any) -> Any:
    from ..scoring.task_tracking import Result

    is_tracks = hasattr(truth, "tracks")
    return Result(truth.masks, truth.tracks, "truth") if is_tracks else truth


def differs(pred: Any, truth: Any) -> bool:
    """Whether a contrived prediction isn't just the truth: only then its value says something."""
    if hasattr(truth, "tracks"):
        return pred.tracks != truth.tracks
    return not np.array_equal(pred, whole(truth))


def has_objects(truth: Any) -> bool:
    return bool(truth.tracks) if hasattr(truth, "tracks") else bool(np.any(whole(truth)))


def _instances(truth: Any, item: Item, settings: Any, rng: np.random.Generator) -> Iterator[Made]:
    labels = whole(truth)
    yield PART, _largest(labels, _objects(labels, settings))
    yield SHIFTED, _shift(labels)
    yield "one object", np.ones(item.shape, np.uint16)
    yield "noise", rng.integers(0, 200, item.shape, np.uint16)
    yield MERGED, _objects(labels, settings).astype(np.uint16)
    yield MISPLACED, np.roll(labels, [n // 2 for n in labels.shape], range(labels.ndim))
    # Where the challenge says that surplus doesn't count, it doesn't show a blind metric
    if not (settings.sparse or settings.ignore_background):
        yield SURPLUS, _with_false(labels, rng)


def _objects(labels: np.ndarray, settings: Any) -> np.ndarray:
    return (labels > 0) & (labels != settings.ignore_label)


def _largest(labels: np.ndarray, objects: np.ndarray) -> np.ndarray:
    numbers, counts = np.unique(labels[objects], return_counts=True)
    largest = numbers[counts.argmax()] if numbers.size else 0
    return np.where(labels == largest, labels, 0).astype(labels.dtype)


def _shift(labels: np.ndarray) -> np.ndarray:
    """Moved by two pixels along y and x."""
    moved = np.zeros_like(labels)
    moved[..., 2:, 2:] = labels[..., :-2, :-2]
    return moved


def _with_false(labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """As many false objects more as there are true ones (one at least), where there is room; just
    the labels where there is none."""
    numbers, counts = np.unique(labels[labels > 0], return_counts=True)
    size = float(np.median(counts)) if counts.size else 100.0
    side = max(2, round(size ** (1 / labels.ndim) / 2))
    wanted = max(1, numbers.size)
    # False ones have the low numbers: where equal scores are ranked, they come first
    out = labels.astype(np.uint32)
    np.add(out, np.uint32(wanted), out=out, where=out > 0)
    high = [max(1, n - side + 1) for n in labels.shape]
    label = 0
    for corner in rng.integers(0, high, (TRIES * wanted, labels.ndim)):
        place = tuple(slice(int(c), int(c) + side) for c in corner)
        if not out[place].any():
            label += 1
            out[place] = label
            if label == wanted:
                break
    return out if label else labels


def _known(truth: Any, settings: Any) -> np.ndarray:
    """Classes of a truth; where nothing is asked, none."""
    known, ignored = whole(truth), settings.ignore_label
    if ignored is not None and ignored not in [0, *settings.classes]:
        known = np.where(known == ignored, 0, known)
    return known


def _semantic(
    known: np.ndarray, item: Item, settings: Any, rng: np.random.Generator
) -> Iterator[Made]:
    classes = np.array([0, *settings.classes], np.uint16)
    yield SHIFTED, _shift(known)
    yield "one class", np.full(item.shape, classes[1])
    yield "noise", rng.choice(classes, item.shape)
    there = np.flatnonzero(known)
    half = known.copy()
    half.flat[there[there.size // 2 :]] = 0
    yield HALF, half
    del half
    more = np.flatnonzero(known == 0)[: max(len(settings.classes), there.size)]
    surplus = known.copy()
    surplus.flat[more] = np.resize(classes[1:], more.size)
    yield SURPLUS, surplus


def _points(truth: Any, item: Item, settings: Any, rng: np.random.Generator) -> Iterator[Made]:
    shape = item.shape
    scale = np.array(item.spacing if settings.unit == "micrometer" else (1.0,) * len(shape))
    size = np.array(shape) * scale
    away = (np.arange(len(truth)) % 2 + 0.5) * settings.tolerance
    noise = rng.uniform(0, 1, (2 * len(truth) + 10, len(shape))) * (size - scale)
    yield PART, truth[:1]
    yield SHIFTED, truth + np.eye(1, len(shape)) * away[:, None]
    yield "one point", (size / 2)[None]
    yield "noise points", noise
    yield MISPLACED, noise[: len(truth)]
    yield SURPLUS, np.concatenate([np.reshape(truth, (-1, len(shape))), noise])


def _restoration(truth: Any, item: Item, settings: Any, rng: np.random.Generator) -> Iterator[Made]:
    mean = float(truth.mean())
    yield SHIFTED, _shift(truth)
    yield "constant", np.full(item.shape, mean)
    yield "noise", rng.uniform(0, settings.data_range, item.shape)
    half = truth.copy()
    half[..., truth.shape[-1] // 2 :] = mean
    yield HALF, half
    del half
    image, _ = baseline.read(item.image)
    if image.size == truth.size:  # what doing nothing scores
        yield "the image itself", image.reshape(item.shape)


def _tracks(truth: Any, item: Item, scratch: Path) -> Iterator[Made]:
    from ..scoring.task_tracking import Result
    from ..scoring.tracking import Track

    last = len(truth.masks) - 1
    rng = np.random.default_rng(0)
    count = 0

    def result(name: str, change: Callable, tracks: list | None = None) -> Result:
        """Every frame changed by ``change(t, labels)``; without `tracks` each label of each frame
        is a track of its own."""
        folder = scratch / name.replace(" ", "-")
        folder.mkdir()
        masks, own = [], []
        for t, path in enumerate(truth.masks):
            mask = change(t, tifffile.imread(path, maxworkers=1))
            masks.append(folder / f"mask{t:04d}.tif")
            tifffile.imwrite(masks[-1], mask, compression="zlib", metadata=None)
            own += [Track(int(k), t, t, 0) for k in np.unique(mask[mask > 0])]
        return Result(masks, own if tracks is None else tracks, name)

    def renumbered(_: int, labels: np.ndarray) -> np.ndarray:
        nonlocal count
        numbers, index = np.unique(labels, return_inverse=True)
        new = np.where(numbers > 0, count + np.arange(1, numbers.size + 1), 0).astype(np.uint32)
        count += numbers.size
        return new[index].reshape(labels.shape)

    def noise(t: int, labels: np.ndarray) -> np.ndarray:
        step = [-(-n // BLOCKS) for n in labels.shape]
        blocks = rng.integers(0, 20, [-(-n // s) for n, s in zip(labels.shape, step, strict=True)])
        blocks = np.where(blocks > 0, blocks + 20 * t, 0).astype(np.uint32)
        for axis, s in enumerate(step):
            blocks = blocks.repeat(s, axis)
        return blocks[tuple(slice(n) for n in labels.shape)]

    top = max((k.label for k in truth.tracks), default=0)

    def with_false(t: int, labels: np.ndarray) -> np.ndarray:
        more = np.where(labels > 0, 0, _with_false(labels, rng))
        # A track's number is in no other track: those of a frame follow those before
        return np.where(more > 0, more + top + 100_000 * t, labels).astype(np.uint32)

    longest = max(truth.tracks, key=lambda k: k.end - k.begin, default=None)
    one = [replace(longest, parent=0)] if longest else []
    yield (
        "one object",
        result("one object", lambda t, m: np.ones(m.shape, np.uint8), [Track(1, 0, last, 0)]),
    )
    yield "noise", result("noise", noise)
    yield (
        PART,
        result(PART, lambda t, m: np.where(m == (longest.label if longest else 0), m, 0), one),
    )
    yield UNLINKED, result(UNLINKED, renumbered)
    extra = result(SURPLUS, with_false)
    extra.tracks = [*truth.tracks, *(k for k in extra.tracks if k.label > top)]
    yield SURPLUS, extra
