"""A classical start: a threshold and a watershed for objects, overlap in time for tracks.

The few choices in it (see `Method`) are made on some of the training images, by how well their
objects are found. This file stands in every release of those tasks: change it and make it yours.

    uv run baseline.py predictions/ --split test
    uv run score.py predictions/ --split test --check
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

try:
    import numpy as np
    import tifffile

    from slidebox.scoring import open_release
    from slidebox.scoring.overlap import overlap
    from slidebox.scoring.release import Item, Release
except ModuleNotFoundError as lacking:
    if __name__ != "__main__":
        raise
    print(f"baseline.py needs {lacking.name}: `uv run baseline.py ...` brings it, or `pip install` "
          "the wheel beside it and scikit-image", file=sys.stderr)  # fmt: skip
    sys.exit(2)

TASKS = ("instance-segmentation", "tracking")
# Pixels that are looked at to choose a method: it takes less than a minute, whatever the images
PIXELS = 400_000
WINDOWS = {2: (256, 256), 3: (32, 112, 112)}
IOUS = (0.5, 0.6, 0.7, 0.8, 0.9)


@dataclass(frozen=True)
class Method:
    """How objects are told from the background, and from each other.

    Attributes
    ----------
    signal : `bright` or `dark` objects, `auto`: what is rarer in the image; `texture`: where the
        intensity varies; `cells`: no background, objects have dark outlines.
    channel : which one; None is their mean.
    smoothing : sigma of the Gaussian, in pixels of the finest axis.
    threshold : Otsu's, of the intensities (`global`) or their logarithms (`log`), or `local`: above
        what is around, within a sigma of `window` pixels.
    divide : touching objects by their `shape`, by their `signal`, or not (`no`).
    smallest : pixels; smaller objects are dropped.
    """

    signal: str = "auto"
    channel: int | None = None
    smoothing: float = 1.5
    threshold: str = "global"
    divide: str = "shape"
    smallest: int = 30
    window: float = 20.0


def segment(
    image: np.ndarray, method: Method | None = None, spacing: tuple[float, ...] | None = None
) -> np.ndarray:
    """Label the objects in a 2D or 3D image of one channel; uint16 or uint32 labels of its shape.

    Parameters
    ----------
    spacing : pixel size along each axis, in any unit: a stack's planes are often further apart.
    """
    from scipy import ndimage
    from skimage import filters, morphology, segmentation

    method = method or Method()
    sampling = np.array(spacing or (1.0,) * image.ndim)
    sampling = sampling / sampling.min()
    sigma = method.smoothing / sampling
    values = image.astype(np.float32)
    smooth = ndimage.gaussian_filter(values, sigma)
    if float(smooth.max()) == float(smooth.min()):
        return np.zeros(image.shape, np.uint16)
    if method.signal == "cells":
        inner = smooth > filters.threshold_otsu(smooth)
        depth = ndimage.gaussian_filter(ndimage.distance_transform_edt(inner, sampling), sigma)
        labels = segmentation.watershed(-smooth, _peaks(depth, 1.0), mask=None)
        return _numbered(morphology.remove_small_objects(labels, max_size=method.smallest))
    if method.signal == "texture":
        wide = 2 * sigma
        mean = ndimage.gaussian_filter(values, wide)
        smooth = np.sqrt(np.maximum(ndimage.gaussian_filter(values**2, wide) - mean**2, 0))
    elif method.signal == "dark" or (method.signal == "auto" and smooth.mean() < np.median(smooth)):
        smooth = float(smooth.max()) - smooth
    mask = _mask(smooth, method, sampling)
    mask = morphology.remove_small_objects(
        ndimage.binary_fill_holes(mask), max_size=method.smallest
    )
    if method.divide == "no" or not mask.any():
        return _numbered(ndimage.label(mask)[0])
    depth = ndimage.distance_transform_edt(mask, sampling)
    if method.divide == "signal":
        low, high = np.percentile(smooth[mask], [5, 95])
        height, least = smooth, 0.1 * float(high - low)
    else:
        height = ndimage.gaussian_filter(depth, 1 / sampling)
        least = 0.08 * float(np.percentile(depth[mask], 95)) + 0.25
    markers = _peaks(np.where(mask, height, 0), least) * mask
    return _numbered(segmentation.watershed(-height, markers, mask=mask))


def _mask(signal: np.ndarray, method: Method, sampling: np.ndarray) -> np.ndarray:
    """Where objects are, by the method's threshold. (bool, of the signal's shape)"""
    from scipy import ndimage
    from skimage import filters

    if method.threshold == "log":
        low = float(np.percentile(signal, 1))
        logs = np.log(np.maximum(signal - low, 0) + 0.01 * float(np.ptp(signal)))
        return logs > filters.threshold_otsu(logs)
    cut = filters.threshold_otsu(signal)
    if method.threshold == "local":
        around = ndimage.gaussian_filter(signal, method.window / sampling)
        floor = float(np.median(signal))
        return (signal > around) & (signal > floor + 0.25 * (cut - floor))
    return signal > cut


def _peaks(height: np.ndarray, least: float) -> np.ndarray:
    """Numbered tops that rise by `least` above the pass to a higher one (h-maxima)."""
    from scipy import ndimage
    from skimage import morphology

    height = height.astype(np.float32)
    flat = morphology.reconstruction(height - np.float32(least), height)
    tops = (flat == ndimage.maximum_filter(flat, 3)) & (flat > float(flat.min()))
    tops &= height - flat > 0
    return ndimage.label(tops, np.ones((3,) * height.ndim))[0]


def _numbered(labels: np.ndarray) -> np.ndarray:
    """Numbers 1, 2, ... without gaps."""
    numbers, index = np.unique(labels, return_inverse=True)
    first = int(numbers[0] != 0)
    kind = np.uint16 if numbers.size < 1 << 16 else np.uint32
    return (index.reshape(labels.shape) + first).astype(kind)


def agreement(truth: np.ndarray, pred: np.ndarray) -> float:
    """How well objects are found, in [0, 1]: mostly TP / (TP + FP + FN), mean over IoU thresholds.

    A tenth of it is the overlap with the nearest, which tells bad methods from worse ones.
    """
    table = overlap(truth, pred).objects()
    true, found = table.truth.size, table.pred.size
    if not true and not found:
        return 1.0
    # Above an IoU of 1/2 a partner is the only one
    hits = [int((table.iou > t).sum()) for t in IOUS]
    best = np.zeros(true)
    np.maximum.at(best, table.i, table.iou)
    near = 2 * float(best.sum()) / (true + found)
    return 0.9 * float(np.mean([n / (true + found - n) for n in hits])) + 0.1 * near


def fit(release: Release) -> Method:
    """The method that finds the objects of some training images best; the default one when there
    is no truth."""
    samples = list(_samples(release))
    sizes = np.concatenate(
        [np.unique(t[t > 0], return_counts=True)[1] for *_, t in samples] or [[]]
    )
    if not sizes.size:
        return Method()
    dims = samples[0][2].ndim
    radius = float(np.median(sizes)) ** (1 / dims) / 2
    best = Method(
        smoothing=float(np.clip(0.2 * radius, 0.7, 8)),
        smallest=max(4, int(np.percentile(sizes, 5) / 4)),
        window=float(np.clip(3 * radius, 4, 100)),
    )
    channels = [None, *range(min(4, max(len(s[0]) for s in samples)))]
    channels = channels if len(channels) > 2 else [None]
    score = -1.0

    # What is hardly better on a few objects of a few images may be worse on others
    margin = 0.25 / float(sizes.size) ** 0.5 + 0.1 / len(samples)

    def better(*methods: Method) -> None:
        nonlocal best, score
        tried = {m: float(np.mean([_found(m, sample) for sample in samples])) for m in methods}
        first = max(tried, key=tried.__getitem__)
        if tried[first] > score + margin:
            best, score = first, tried[first]

    better(best)
    scales = [float(np.clip(k * radius, 0.7, 12)) for k in (0.2, 0.35)]
    signals, thresholds = ("auto", "bright", "dark", "texture"), ("global", "log", "local")
    better(
        *(
            replace(best, signal=s, threshold=t, smoothing=k, divide=d)
            for s, t, k, d in product(signals, thresholds, scales, ("shape", "signal"))
        )
    )
    better(*(replace(best, signal="cells", smoothing=k) for k in scales))
    better(*(replace(best, channel=c) for c in channels))
    better(replace(best, divide="no"))
    return best


def _found(method: Method, sample: tuple) -> float:
    channels, spacing, truth = sample
    return agreement(truth, segment(one_channel(channels, method), method, spacing))


def _samples(release: Release) -> Iterator[tuple[list[np.ndarray], tuple[float, ...], np.ndarray]]:
    """Windows of training images around an object: channels, spacing, labels."""
    open_splits = [s for s in release.splits if s not in release.hidden]
    items = [i for i in release.items(open_splits[0]) if i.truth is not None] if open_splits else []
    left = PIXELS
    for k in _spread(len(items)):
        item = items[k]
        for channels, labels, spacing in _pictures(item, release):
            numbers = np.unique(labels[labels > 0])
            chosen = labels == numbers[numbers.size // 2] if numbers.size else None
            middle = np.array(labels.shape) / 2 if chosen is None else np.argwhere(chosen).mean(0)
            at = tuple(
                slice(b, b + m)
                for m, c, n in zip(WINDOWS[labels.ndim], middle, labels.shape, strict=True)
                for b in [int(np.clip(c - m // 2, 0, max(0, n - m)))]
            )
            channels, labels = [c[at] for c in channels], labels[at]
            left -= labels.size
            yield channels, spacing, labels
            if left <= 0:
                return


def _spread(count: int) -> list[int]:
    """0 to count - 1, far apart first: any beginning of it stands for all."""
    return sorted(range(count), key=lambda k: int(f"{k:032b}"[::-1], 2))


def _pictures(
    item: Item, release: Release
) -> Iterator[tuple[list[np.ndarray], np.ndarray, tuple[float, ...]]]:
    """Channels, labels and spacing of an image, or of a few frames of a sequence."""
    channels = split_channels(item)
    if release.task != "tracking":
        yield channels, np.asarray(_labels(item.truth)).reshape(item.shape), item.spacing
        return
    masks = sorted((item.truth / "TRA").glob("man_track*.tif"))
    for t in _spread(len(masks))[:4]:
        yield [c[t] for c in channels], tifffile.imread(masks[t]), item.spacing[1:]


def _labels(path: Path) -> np.ndarray:
    return read(path)[0]


def link(frames: list[np.ndarray]) -> tuple[list[np.ndarray], list[tuple[int, int, int, int]]]:
    """Number label images through time; returns masks and tracks (label, begin, end, parent).

    An object continues the one of the frame before that it overlaps most, or that is nearest within
    its size; each is continued by one. A new one beside it is its sister when both together are
    about as large as their mother was.
    """
    tracks: dict[int, list[int]] = {}
    masks: list[np.ndarray] = []
    before: np.ndarray | None = None
    for t, labels in enumerate(frames):
        labels = _numbered(labels)
        count = int(labels.max(initial=0))
        lut = np.zeros(count + 1, np.uint32)
        mother = _continued(before, labels) if before is not None else []
        area = np.bincount(labels.ravel(), minlength=count + 1)
        old = np.bincount(before.ravel()) if before is not None else area
        heir: dict[int, int] = {}
        sisters: dict[int, int] = {}
        for child, of in mother:  # the best first
            if lut[child]:
                continue
            if of not in heir:
                heir[of], lut[child] = child, of
            elif of not in sisters and _divided(old[of], area[heir[of]], area[child]):
                sisters[of] = lut[child] = 1  # numbered below
                lut[child] = 0
                sisters[of] = child
        for of, child in heir.items():
            if of in sisters:
                lut[child] = 0
            else:
                tracks[of][1] = t
        parent = {c: of for of, s in sisters.items() for c in (heir[of], s)}
        for child in np.flatnonzero(lut[1:] == 0) + 1:
            lut[child] = len(tracks) + 1
            tracks[len(tracks) + 1] = [t, t, parent.get(int(child), 0)]
        before = lut[labels]
        masks.append(before)
    kind = np.uint16 if len(tracks) < 1 << 16 else np.uint32
    return [m.astype(kind) for m in masks], [(k, b, e, p) for k, (b, e, p) in tracks.items()]


def _continued(before: np.ndarray, labels: np.ndarray) -> list[tuple[int, int]]:
    """Pairs (object, object of the frame before), the best first."""
    from scipy import ndimage, spatial

    table = overlap(before, labels).objects()
    if not table.truth.size or not table.pred.size:
        return []
    pairs = {
        (int(table.pred[j]), int(table.truth[i])): 1 + float(v)
        for i, j, v in zip(table.i, table.j, table.iou, strict=True)
    }
    places = [
        np.atleast_2d(ndimage.center_of_mass(np.ones_like(a, np.uint8), a, n))
        for a, n in ((before, table.truth), (labels, table.pred))
    ]
    size = table.pred_area ** (1 / labels.ndim)
    near = spatial.cKDTree(places[0])
    for j, found in enumerate(near.query_ball_point(places[1], size)):
        for i in found:
            away = float(np.linalg.norm(places[1][j] - places[0][i])) / size[j]
            pairs.setdefault((int(table.pred[j]), int(table.truth[i])), 1 - away)
    return [pair for pair, _ in sorted(pairs.items(), key=lambda p: (-p[1], p[0]))]


def _divided(mother: int, one: int, other: int) -> bool:
    return max(one, other) < 0.8 * mother and 0.6 * mother < one + other < 1.6 * mother


def read(path: Path) -> tuple[np.ndarray, str]:
    """A released image and its axes: OME-TIFF, OME-Zarr, or a folder of one TIFF a frame."""
    if path.suffix == ".zarr":
        import zarr

        group = zarr.open_group(path, mode="r")
        axes = group.attrs["ome"]["multiscales"][0]["axes"]
        return np.asarray(group["0"]), "".join(axis["name"] for axis in axes)
    if path.is_dir():
        frames = [tifffile.imread(p) for p in sorted(path.glob("t*.tif"))]
        return np.stack(frames), "t" + "zyx"[-frames[0].ndim :]
    with tifffile.TiffFile(path) as tiff:
        return tiff.series[0].asarray(), tiff.series[0].axes.lower()


def split_channels(item: Item) -> list[np.ndarray]:
    """An item's channels, each in the axes of its prediction."""
    image, axes = read(item.image)
    parts = [image]
    for axis in "sc":
        if axis in axes:
            parts = [p for whole in parts for p in np.moveaxis(whole, axes.index(axis), 0)]
            axes = axes.replace(axis, "")
    return [part.reshape(item.shape) for part in parts]


def one_channel(channels: list[np.ndarray], method: Method | None = None) -> np.ndarray:
    """The channel a method looks at, or their mean."""
    if method is not None and method.channel is not None and method.channel < len(channels):
        return channels[method.channel]
    return channels[0] if len(channels) == 1 else np.mean(channels, 0, dtype=np.float32)


def grey(item: Item, method: Method | None = None) -> np.ndarray:
    """An item's image in the axes of its prediction: one channel, or the mean of all."""
    return one_channel(split_channels(item), method)


def track(item: Item, out: Path, method: Method | None = None) -> Path:
    """Write ``<id>_RES`` for a sequence of a release."""
    frames = grey(item, method)
    masks, tracks = link([segment(frame, method, item.spacing[1:]) for frame in frames])
    folder = out / f"{item.id}_RES"
    folder.mkdir(parents=True, exist_ok=True)
    digits = 3 if len(masks) <= 1000 else 4
    for t, mask in enumerate(masks):
        tifffile.imwrite(
            folder / f"mask{t:0{digits}d}.tif", mask, compression="zlib", metadata=None
        )
    text = "".join(" ".join(map(str, row)) + "\n" for row in tracks)
    (folder / "res_track.txt").write_text(text, "ascii")
    return folder


def predict(release: Path | str, out: Path | str, split: str | None = None) -> Path:
    """Write predictions for a split of a release (default: all its splits)."""
    opened, out = open_release(release), Path(out)
    out.mkdir(parents=True, exist_ok=True)
    method = fit(opened)
    for name in [split] if split else opened.splits:
        for item in opened.items(name):
            if opened.task == "tracking":
                track(item, out, method)
            else:
                labels = segment(grey(item, method), method, item.spacing)
                tifffile.imwrite(out / f"{item.id}.tif", labels, compression="zlib")
    return out


def main(argv: list[str] | None = None) -> int:
    args = argparse.ArgumentParser("baseline.py", description="Predict with classical methods.")
    args.add_argument("predictions", type=Path, help="folder to write")
    args.add_argument("--split", help="which split (default: all)")
    args.add_argument("--release", type=Path, default=Path(__file__).resolve().parent)
    given = args.parse_args(argv)
    try:
        import skimage  # noqa: F401
    except ModuleNotFoundError:
        print("baseline.py needs scikit-image: `uv run baseline.py ...` brings it, or "
              "`pip install scikit-image`", file=sys.stderr)  # fmt: skip
        return 2
    print(f"predictions are in {predict(given.release, given.predictions, given.split)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
