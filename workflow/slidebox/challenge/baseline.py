"""A classical start: Otsu's threshold and a watershed for objects, overlap in time for tracks.

This file stands in every release of those tasks: change it and make it yours.

    uv run baseline.py predictions/ --split test
    uv run score.py predictions/ --split test --check
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import tifffile

from slidebox.scoring import open_release
from slidebox.scoring.overlap import overlap
from slidebox.scoring.release import Item

TASKS = ("instance-segmentation", "tracking")


def segment(image: np.ndarray, smoothing: float = 1.5, smallest: int = 30) -> np.ndarray:
    """Label roundish objects in a 2D or 3D image; uint16 labels of the same shape.

    Gaussian smoothing, Otsu's threshold (objects, bright or dark, cover less of the image than the
    background), holes filled, touching objects cut along the watershed of the smoothed distance to
    the background. `smallest` is in pixels.
    """
    from scipy import ndimage
    from skimage import feature, filters, morphology, segmentation

    smooth = filters.gaussian(image.astype(np.float32), smoothing)
    if float(smooth.max()) == float(smooth.min()):
        return np.zeros(image.shape, np.uint16)
    mask = smooth > filters.threshold_otsu(smooth)
    if mask.mean() > 0.5:  # stained tissue: dark objects on a bright ground
        mask = ~mask
    mask = ndimage.binary_fill_holes(mask)
    mask = morphology.remove_small_objects(mask, max_size=smallest)
    distance = filters.gaussian(ndimage.distance_transform_edt(mask), 2)
    size = max(3, round(float(np.percentile(distance[mask], 90)))) if mask.any() else 3
    peaks = feature.peak_local_max(
        distance, min_distance=size, labels=ndimage.label(mask)[0], exclude_border=False
    )
    markers = np.zeros(image.shape, np.int32)
    markers[tuple(peaks.T)] = np.arange(1, len(peaks) + 1)
    return segmentation.watershed(-distance, markers, mask=mask).astype(np.uint16)


def link(frames: list[np.ndarray]) -> tuple[list[np.ndarray], list[tuple[int, int, int, int]]]:
    """Number label images through time; returns masks and tracks (label, begin, end, parent).

    An object continues the one of the frame before that it overlaps most. Two or more that continue
    the same one are its children.
    """
    tracks: dict[int, list[int]] = {}
    masks: list[np.ndarray] = []
    count = 0
    before = None
    for t, labels in enumerate(frames):
        ids = np.unique(labels)
        ids = ids[ids > 0]
        mother: dict[int, int] = {}
        if before is not None:
            table = overlap(before, labels).objects()
            for k in np.argsort(table.n, kind="stable"):  # the largest overlap stays
                mother[int(table.pred[table.j[k]])] = int(table.truth[table.i[k]])
        heirs: dict[int, int] = {}
        for m in mother.values():
            heirs[m] = heirs.get(m, 0) + 1
        lut = np.zeros(int(ids.max(initial=0)) + 1, np.uint16)
        for label in ids.tolist():
            m = mother.get(label, 0)
            if m and heirs[m] == 1:
                lut[label] = m
                tracks[m][1] = t
            else:
                count += 1
                lut[label] = count
                tracks[count] = [t, t, m]
        before = lut[labels]
        masks.append(before)
    return masks, [(k, b, e, p) for k, (b, e, p) in tracks.items()]


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


def grey(item: Item) -> np.ndarray:
    """An item's image in the axes of its prediction; channels are averaged."""
    image, axes = read(item.image)
    for axis in "sc":
        if axis in axes:
            image = image.mean(axes.index(axis))
            axes = axes.replace(axis, "")
    return image.reshape(item.shape)


def track(item: Item, out: Path) -> Path:
    """Write ``<id>_RES`` for a sequence of a release."""
    masks, tracks = link([segment(frame) for frame in grey(item)])
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
    for name in [split] if split else opened.splits:
        for item in opened.items(name):
            if opened.task == "tracking":
                track(item, out)
            else:
                out.mkdir(parents=True, exist_ok=True)
                tifffile.imwrite(out / f"{item.id}.tif", segment(grey(item)), compression="zlib")
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
