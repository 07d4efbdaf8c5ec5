"""PNG, JPEG, JPEG 2000, BMP, GIF, WebP and Netpbm: one picture, or GIF's frames as time."""

from __future__ import annotations

from pathlib import Path

import imagecodecs
import numpy as np

from .. import units
from ..model import ImageFile, Series, UnreadableImage
from ..registry import version

_BY_IMAGECODECS = {
    "png": imagecodecs.png_decode,
    "jpeg": imagecodecs.jpeg8_decode,
    "jpeg2000": imagecodecs.jpeg2k_decode,
    "webp": imagecodecs.webp_decode,
    "bmp": imagecodecs.bmp_decode,
}


def open_file(path: Path, name: str) -> ImageFile:
    """The picture is decoded once, when it is opened: its codecs know no rows."""
    notes: list[str] = []
    frames, step = _frames(path, name, notes)
    first = frames[0]
    samples = 1 if first.ndim == 2 else first.shape[2]
    height, width = first.shape[:2]
    n = {"t": len(frames), "c": samples, "z": 1}
    if samples == 2:
        notes.append("grey with alpha: alpha is kept as a channel")

    def read(t: int, c: int, z: int, y0: int, y1: int) -> np.ndarray:
        part = frames[t][y0:y1]
        return part[None] if part.ndim == 2 else part.transpose(2, 0, 1)

    pixel_size: dict[str, float | None] = {}
    if name == "png":
        pixel_size = _png_size(path)
    series = Series(
        0,
        path.stem,
        "".join(a for a in "tc" if n[a] > 1) + "yx",
        (*(n[a] for a in "tc" if n[a] > 1), height, width),
        first.dtype,
        read,
        pixel_size,
        step,
        rgb=samples in (3, 4),
        samples=samples,
        rows=1,
        notes=notes,
    )
    by = "imagecodecs" if name in _BY_IMAGECODECS else "imageio"
    return ImageFile(str(path), name, by, version(by), [series])


def _frames(path: Path, name: str, notes: list[str]) -> tuple[list[np.ndarray], float | None]:
    if name in _BY_IMAGECODECS:
        try:
            return [np.asarray(_BY_IMAGECODECS[name](path.read_bytes()))], None
        except Exception as error:
            if name not in ("bmp", "png", "jpeg"):
                raise
            try:
                return _by_imageio(path, name, notes)
            except Exception:
                raise UnreadableImage(f"damaged: {error}") from error
    return _by_imageio(path, name, notes)


def _by_imageio(path: Path, name: str, notes: list[str]) -> tuple[list[np.ndarray], float | None]:
    import imageio.v3 as iio

    if name == "gif":
        frames = [np.asarray(f) for f in iio.imiter(path, plugin="pillow")]
        frames = [_plain(f) for f in frames]
        duration = iio.immeta(path, plugin="pillow").get("duration")
        return frames, units.seconds(duration, "ms") if len(frames) > 1 else None
    return [np.asarray(iio.imread(path, plugin="pillow"))], None


def _plain(frame: np.ndarray) -> np.ndarray:
    """A GIF's frame comes as RGB; grey ones are kept grey."""
    if (
        frame.ndim == 3
        and frame.shape[2] >= 3
        and np.array_equal(frame[..., 0], frame[..., 1])
        and np.array_equal(frame[..., 1], frame[..., 2])
    ):
        return frame[..., 0]
    return frame


def _png_size(path: Path) -> dict[str, float | None]:
    """Pixel size of a pHYs chunk, where it can be a microscope's (under 20 um)."""
    with path.open("rb") as handle:
        head = handle.read(4096)
    at = head.find(b"pHYs")
    if at < 0 or len(head) < at + 13 or head[at + 12] != 1:
        return {}
    sizes: dict[str, float | None] = {}
    for axis, offset in (("x", 4), ("y", 8)):
        per_meter = int.from_bytes(head[at + offset : at + offset + 4], "big")
        if not per_meter or 1e6 / per_meter > 20:
            return {}
        sizes[axis] = units.micrometers(1 / per_meter, "m")
    return sizes
