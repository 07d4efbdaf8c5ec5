"""Valid empty predictions of a split, to start from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tifffile

from ..atomic import write_text
from .release import NotARelease, Release


def write_template(release: Release, out: Path | str, split: str | None = None) -> Path:
    """Write an empty prediction for every image of a split (default: the hidden or last one).

    Raises
    ------
    FileExistsError
        `out` is there and isn't empty.
    NotARelease
        There is no such split.
    """
    out = Path(out)
    split = split or (release.hidden or release.splits)[-1]
    if split not in release.splits:
        raise NotARelease(f"no split {split!r}; there are {', '.join(release.splits)}")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise FileExistsError(f"{out} is there already and isn't an empty folder")
    out.mkdir(parents=True, exist_ok=True)
    for item in release.items(split):
        if release.task == "points":
            write_text(out / f"{item.id}.csv", ",".join(item.axes) + "\n")
        elif release.task == "tracking":
            folder = out / f"{item.id}_RES"
            folder.mkdir()
            digits = 3 if item.shape[0] <= 1000 else 4
            for t in range(item.shape[0]):
                _empty(folder / f"mask{t:0{digits}d}.tif", item.shape[1:], np.uint16)
            write_text(folder / "res_track.txt", "")
        else:
            dtype = np.float32 if release.task == "restoration" else np.uint16
            _empty(out / f"{item.id}.tif", item.shape, dtype)
    return out


def _empty(path: Path, shape: tuple[int, ...], dtype: type) -> None:
    tifffile.imwrite(path, np.zeros(shape, dtype), compression="zlib", photometric="minisblack",
                     metadata=None)  # fmt: skip
