"""Makes the two sources of the conversion benchmark: a 5D recording (1.08 GB) and a 2D slide.

python benchmarks/convert/make_sources.py FOLDER [--small]
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import tifffile


def recording(path: Path, shape=(2, 3, 40, 1500, 1500)) -> None:
    """t, c, z, y, x uint16, uncompressed: blurred blobs on a camera's offset and noise."""
    rng = np.random.default_rng(1)
    t, c, z, y, x = shape
    yy, xx = np.mgrid[0:y, 0:x].astype(np.float32)
    texture = np.zeros((y, x), np.float32)
    for _ in range(60):
        cy, cx, r = rng.uniform(0, y), rng.uniform(0, x), rng.uniform(15, 45)
        texture += rng.uniform(200, 2500) * np.exp(-((yy - cy) ** 2 + (xx - cx) ** 2) / (2 * r * r))
    noise = [rng.normal(0, 1, (y, x)).astype(np.float32) for _ in range(4)]
    channels = "".join(
        f'<Channel ID="Channel:0:{n}" Name="ch{n}" SamplesPerPixel="1"/>' for n in range(c)
    )
    xml = (
        '<?xml version="1.0" encoding="UTF-8"?>'
        '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">'
        '<Image ID="Image:0" Name="recording">'
        f'<Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint16" SizeX="{x}" SizeY="{y}" '
        f'SizeZ="{z}" SizeC="{c}" SizeT="{t}" PhysicalSizeX="0.1" PhysicalSizeY="0.1" '
        f'PhysicalSizeZ="0.5" TimeIncrement="30">{channels}'
        f'<TiffData PlaneCount="{t * c * z}"/></Pixels></Image></OME>'
    )
    with tifffile.TiffWriter(path, bigtiff=True, ome=False) as tiff:
        for n in range(t * c * z):
            depth = np.exp(-(((n % z) - z / 2) ** 2) / (z * 2))
            clean = texture * depth + 100
            plane = clean + noise[n % 4] * np.sqrt(clean) * 0.5
            plane = np.roll(plane, n * 7, axis=1)
            tiff.write(
                plane.astype(np.uint16),
                description=xml if n == 0 else None,
                metadata=None,
                photometric="minisblack",
            )


def slide(path: Path, side: int = 20000) -> None:
    """y, x uint8, tiles of 512, zlib: tissue-like texture with empty margins."""
    rng = np.random.default_rng(2)
    tile = rng.normal(0, 6, (2048, 2048)).astype(np.float32)
    yy, xx = np.mgrid[0:2048, 0:2048].astype(np.float32)
    for _ in range(300):
        cy, cx, r = rng.uniform(0, 2048), rng.uniform(0, 2048), rng.uniform(5, 25)
        y0, y1, x0, x1 = (int(max(0, v)) for v in (cy - 4 * r, cy + 4 * r, cx - 4 * r, cx + 4 * r))
        part = (slice(y0, y1), slice(x0, x1))
        tile[part] += 120 * np.exp(-((yy[part] - cy) ** 2 + (xx[part] - cx) ** 2) / (2 * r * r))
    tile = np.clip(tile + 30, 0, 255).astype(np.uint8)

    def tiles():
        for row in range(-(-side // 512)):
            for column in range(-(-side // 512)):
                y, x = (row * 512) % 2048, (column * 512) % 2048
                piece = tile[y : y + 512, x : x + 512]
                edge = min(row, column, side // 512 - row, side // 512 - column) < 4
                yield np.zeros_like(piece) if edge else piece

    tifffile.imwrite(
        path,
        tiles(),
        shape=(side, side),
        dtype=np.uint8,
        tile=(512, 512),
        compression="zlib",
        photometric="minisblack",
        bigtiff=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument(
        "--small", action="store_true", help="a sixteenth of the size, to try the benchmark"
    )
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    if not (args.folder / "5d.ome.tif").exists():
        recording(
            args.folder / "5d.ome.tif",
            (1, 2, 20, 750, 750) if args.small else (2, 3, 40, 1500, 1500),
        )
    if not (args.folder / "2d.tif").exists():
        slide(args.folder / "2d.tif", 5000 if args.small else 20000)


if __name__ == "__main__":
    main()
