"""Other ways to a file's pixels than the readers under test: other libraries, or their other half.

Each gives (c or z or t..., y, x) arrays with axes of length 1 left out.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np


def by_pillow(path: Path, page: int = 0) -> np.ndarray:
    """libtiff, libpng and libjpeg through Pillow: shares no code with tifffile or imagecodecs."""
    from PIL import Image

    Image.MAX_IMAGE_PIXELS = None
    with Image.open(path) as image:
        frames = getattr(image, "n_frames", 1)
        image.seek(page)
        del frames
        array = np.asarray(image)
    return array if array.ndim == 2 else array.transpose(2, 0, 1)


def tiff_pages_by_pillow(path: Path) -> np.ndarray:
    from PIL import Image, ImageSequence

    with Image.open(path) as image:
        return np.stack([np.asarray(frame) for frame in ImageSequence.Iterator(image)])


def lif_by_offset(path: Path, name: str) -> np.ndarray:
    """A LIF image's bytes, found by its own header: block by block, no liffile."""
    data = path.read_bytes()
    blocks, at = {}, 0
    xml = ""
    while at < len(data):
        length = int.from_bytes(data[at + 4 : at + 8], "little")
        part = data[at + 8 : at + 8 + length]
        if not xml:
            count = int.from_bytes(part[1:5], "little")
            xml = part[5 : 5 + 2 * count].decode("utf-16-le")
            at += 8 + length
            continue
        size = int.from_bytes(part[1:9], "little")
        count = int.from_bytes(part[10:14], "little")
        label = part[14 : 14 + 2 * count].decode("utf-16-le")
        at += 8 + length
        blocks[label] = data[at : at + size]
        at += size
    element = re.search(
        rf'<Element Name="{name}"(?=[ >]).*?<Memory Size="[1-9]\d*" MemoryBlockID="(\w+)"',
        xml,
        re.S,
    )
    return np.frombuffer(blocks[element[1]], np.uint8)


def czi_by_subblock(path: Path, scene: int) -> np.ndarray:
    """Uncompressed, untiled CZI: each plane's sub-block straight from the file (ZISRAW 1.2)."""
    data = path.read_bytes()
    planes = {}
    for match in re.finditer(rb"ZISRAWSUBBLOCK\0\0", data):
        base = match.start() + 32
        meta = int.from_bytes(data[base : base + 4], "little")
        size = int.from_bytes(data[base + 8 : base + 16], "little")
        entry = base + 16
        if data[entry : entry + 2] != b"DV":
            continue
        count = int.from_bytes(data[entry + 28 : entry + 32], "little")
        where, shape = {}, {}
        for n in range(count):
            at = entry + 32 + 20 * n
            letter = data[at : at + 4].strip(b"\0").decode()
            where[letter] = int.from_bytes(data[at + 4 : at + 8], "little", signed=True)
            shape[letter] = int.from_bytes(data[at + 8 : at + 12], "little")
        start = base + max(256, 16 + 32 + 20 * count) + meta
        if where.get("S", 0) == scene and size:
            flat = np.frombuffer(
                data[start : start + size],
                "<u2" if size == 2 * shape["X"] * shape.get("Y", 1) else "u1",
            )
            planes[where.get("T", 0), where.get("C", 0), where.get("Z", 0)] = flat.reshape(
                shape.get("Y", 1), shape["X"]
            )
    return np.stack([planes[k] for k in sorted(planes)])


_OME = """<?xml version="1.0" encoding="UTF-8"?>
<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image ID="Image:0" Name="made">
<Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="{type}" SizeX="{x}" SizeY="{y}" SizeZ="{z}"
SizeC="{c}" SizeT="{t}"
{more}>{channels}<TiffData PlaneCount="{count}"/></Pixels></Image></OME>"""


def write_ome(
    path: Path,
    data: np.ndarray,
    spacing: tuple[float, float] | None = None,
    tile: int | None = None,
) -> None:
    """An OME-TIFF of (t, c, z, y, x) pixels, a page a plane, with (z, xy) sizes in um."""
    import tifffile

    kinds = {"f4": "float", "f8": "double"}
    code = data.dtype.str[1:]
    name = kinds.get(code) or data.dtype.name
    more = ""
    if spacing:
        z, xy = spacing
        more = f'PhysicalSizeZ="{z}" PhysicalSizeY="{xy}" PhysicalSizeX="{xy}"'
    t, c, z, y, x = data.shape
    channels = "".join(f'<Channel ID="Channel:0:{n}" SamplesPerPixel="1"/>' for n in range(c))
    xml = _OME.format(
        type=name, x=x, y=y, z=z, c=c, t=t, more=more, channels=channels, count=t * c * z
    )
    with tifffile.TiffWriter(path, ome=False) as tiff:
        for n, plane in enumerate(data.reshape(-1, y, x)):
            tiff.write(
                plane,
                description=xml if n == 0 else None,
                metadata=None,
                photometric="minisblack",
                **({"tile": (tile, tile)} if tile else {}),
            )
