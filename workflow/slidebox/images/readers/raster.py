"""PNG, JPEG, JPEG 2000, BMP, GIF, WebP and Netpbm: a picture, or an animation's frames as time."""

from __future__ import annotations

import math
import re
from pathlib import Path

import imagecodecs
import numpy as np

from .. import units
from ..model import Channel, ImageFile, Series, UnreadableImage
from ..registry import version

_BY_IMAGECODECS = {
    "png": imagecodecs.png_decode,
    "jpeg": imagecodecs.jpeg8_decode,
    "jpeg2000": imagecodecs.jpeg2k_decode,
    "webp": imagecodecs.webp_decode,
    "bmp": imagecodecs.bmp_decode,
}


def open_file(path: Path, name: str) -> ImageFile:
    """The picture is decoded once, when it is opened: its codecs know no rows.

    A large one is decoded when it is read, so that a conversion can say before what that takes.
    """
    notes: list[str] = []
    large = _large(path, name)
    frames, step = ([large], None) if large is not None else _frames(path, name, notes)
    first = frames[0]
    samples = 1 if first.ndim == 2 else first.shape[2]
    height, width = first.shape[:2]
    n = {"t": len(frames), "c": samples, "z": 1}
    colours = samples in (3, 4)
    channels = []
    if name == "jpeg" and samples == 4:
        colours, channels = False, [Channel(name=c) for c in ("cyan", "magenta", "yellow", "black")]
        notes.append("printing colours (CMYK) are kept as channels")
    if samples == 2:
        notes.append("grey with alpha: alpha is kept as a channel")

    def read(t: int, c: int, z: int, y0: int, y1: int) -> np.ndarray:
        picture = frames[t] if large is None else _frames(path, name, notes)[0][0]
        part = picture[y0:y1]
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
        channels,
        rgb=colours,
        samples=samples,
        rows=1 if large is None else None,
        notes=notes,
    )
    by = "imagecodecs" if name in _BY_IMAGECODECS and len(frames) == 1 else "imageio"
    by = "slidebox" if name == "netpbm" else by
    return ImageFile(str(path), name, by, version(by), [series])


_LARGE = 64 << 20  # bytes when decoded


def _large(path: Path, name: str) -> np.ndarray | None:
    """An array that stands for a large picture by its header; None for what isn't large, moves, or
    has a header that doesn't say how it will be decoded (palettes).
    """
    with path.open("rb") as handle:
        head = handle.read(4096)
        height, width, samples, kind = 0, 0, 0, "u1"
        if name == "png" and b"acTL" not in head:
            width, height = (int.from_bytes(head[n : n + 4], "big") for n in (16, 20))
            samples = {0: 1, 2: 3, 3: 3, 4: 2, 6: 4}.get(head[25], 0) if len(head) > 33 else 0
            kind = "u2" if head[24:25] == b"\x10" else "u1"
        elif name == "jpeg":
            height, width, samples = _jpeg_size(handle)
        elif name == "jpeg2000":
            height, width, samples, kind = _jpeg2000_size(head)
        elif name == "webp":
            height, width, samples = _webp_size(head)
        elif name == "bmp" and head[28:30] == b"\x18\0":  # 24 bits a pixel
            width, height = (int.from_bytes(head[n : n + 4], "little", signed=True)
                             for n in (18, 22))  # fmt: skip
            height, samples = abs(height), 3  # below zero: from the top
    dtype = np.dtype(kind)
    if height * width * samples * dtype.itemsize <= _LARGE:
        return None
    shape = (height, width) if samples == 1 else (height, width, samples)
    return np.broadcast_to(np.zeros((), dtype), shape)


def _jpeg2000_size(head: bytes) -> tuple[int, int, int, str]:
    """Height, width, components and type by the SIZ segment (ISO 15444-1, A.5.1)."""
    at = head.find(b"\xff\x4f\xff\x51")
    if at < 0 or len(head) < at + 43 or b"pclr" in head:
        return 0, 0, 0, "u1"
    x1, y1, x0, y0 = (int.from_bytes(head[at + n : at + n + 4], "big") for n in (8, 12, 16, 20))
    samples, depth = int.from_bytes(head[at + 40 : at + 42], "big"), head[at + 42]
    if depth & 0x80 or depth > 15:  # signed, or deeper than 16 bits
        return 0, 0, 0, "u1"
    return y1 - y0, x1 - x0, samples, "u1" if depth < 8 else "u2"


def _webp_size(head: bytes) -> tuple[int, int, int]:
    """Height, width and samples (https://developers.google.com/speed/webp/docs/riff_container)."""
    kind = head[12:16]
    if kind == b"VP8X" and not head[20] & 2:  # not an animation
        width, height = (int.from_bytes(head[n : n + 3], "little") + 1 for n in (24, 27))
        return height, width, 4 if head[20] & 16 else 3
    if kind == b"VP8L":
        bits = int.from_bytes(head[21:25], "little")
        return (bits >> 14 & 0x3FFF) + 1, (bits & 0x3FFF) + 1, 4 if bits >> 28 & 1 else 3
    if kind == b"VP8 ":
        width, height = (int.from_bytes(head[n : n + 2], "little") & 0x3FFF for n in (26, 28))
        return height, width, 3
    return 0, 0, 0


def _jpeg_size(handle) -> tuple[int, int, int]:
    """Height, width and components of a JPEG by its frame header; zeros when there is none."""
    handle.seek(2)
    while len(mark := handle.read(4)) == 4 and mark[0] == 0xFF:
        length = int.from_bytes(mark[2:], "big")
        if 0xC0 <= mark[1] <= 0xCF and mark[1] not in (0xC4, 0xC8, 0xCC):
            frame = handle.read(6)
            if len(frame) < 6:
                break
            return int.from_bytes(frame[1:3], "big"), int.from_bytes(frame[3:5], "big"), frame[5]
        handle.seek(length - 2, 1)
    return 0, 0, 0


def _frames(path: Path, name: str, notes: list[str]) -> tuple[list[np.ndarray], float | None]:
    data = path.read_bytes()
    if name == "netpbm":
        return [_netpbm(data)], None
    if name == "gif" or (name == "png" and b"acTL" in data[:4096]):
        return _animation(path)
    if name == "webp" and b"ANIM" in data[:256]:
        return _animation(path)
    if name == "jpeg" and data.rfind(b"\xff\xd9") < data.rfind(b"\xff\xda"):
        raise UnreadableImage("cut off: the picture has no end")
    try:
        return [np.asarray(_BY_IMAGECODECS[name](data))], None
    except Exception as error:
        try:
            import imageio.v3 as iio

            return [np.asarray(iio.imread(path, plugin="pillow"))], None
        except Exception:
            raise UnreadableImage(f"damaged: {error}") from error


def _animation(path: Path) -> tuple[list[np.ndarray], float | None]:
    """Frames of a GIF, APNG or WebP, and the time from one to the next, if all take as long."""
    import imageio.v3 as iio

    frames = [_plain(np.asarray(f)) for f in iio.imiter(path, plugin="pillow")]
    if len({f.ndim for f in frames}) > 1:  # some frames are grey, some in colour
        frames = [np.stack([f] * 3, axis=-1) if f.ndim == 2 else f[..., :3] for f in frames]
    times = {iio.immeta(path, plugin="pillow", index=n).get("duration") for n in range(len(frames))}
    step = times.pop() if len(times) == 1 else None
    return frames, units.seconds(step, "ms") if len(frames) > 1 else None


def _netpbm(data: bytes) -> np.ndarray:
    """A PBM, PGM or PPM: Pillow makes 8 bits of 16. See https://netpbm.sourceforge.net/doc/."""
    kind = data[1:2]
    at, head = 2, []
    while len(head) < (2 if kind in b"14" else 3):
        match = re.compile(rb"(?:\s|#[^\n\r]*[\n\r])*(\d+)").match(data, at)
        if match is None:
            raise UnreadableImage("its header is cut off")
        head.append(int(match[1]))
        at = match.end()
    width, height, most = (*head, 1)[:3]
    samples = 3 if kind in b"36" else 1
    shape = (height, width, samples) if samples > 1 else (height, width)
    if kind in b"123":
        text = re.sub(rb"#[^\n\r]*", b"", data[at:])
        digits = [c - 48 for c in text if c in b"01"] if kind == b"1" else text.split()
        values = np.array(digits[: math.prod(shape)], "u1" if most < 256 else "u2")
    elif kind == b"4":
        row = -(-width // 8)
        packed = np.frombuffer(data[at + 1 : at + 1 + row * height], "u1")
        if packed.size == row * height:
            packed = np.unpackbits(packed.reshape(height, row), axis=1)[:, :width].ravel()
        values = packed
    else:
        item = np.dtype("u1" if most < 256 else ">u2")
        count = math.prod(shape)
        there = min(count, (len(data) - at - 1) // item.itemsize)
        values = np.frombuffer(data, item, there, at + 1)
    if values.size != math.prod(shape):
        raise UnreadableImage(f"cut off: {values.size} of {math.prod(shape)} values")
    values = values.reshape(shape)
    # in a bitmap 1 is ink
    return values == 0 if kind in b"14" else values.astype(values.dtype.newbyteorder("="))


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
