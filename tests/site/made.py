"""A small OME-Zarr 0.5 image with shards, and a study around it, for the tests of the site.

Channel 0 (blue) has a disc at the left, channel 1 (green) one at the right, channel 2 (red) one in
the middle that moves with z and t; the label image "nuclei" has one object on each.
"""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import numpy as np
import zarr
from PIL import Image
from zarr.codecs import BloscCodec

IMAGE_ID = "11111111-2222-5333-8444-000000000000"
HEIGHT, WIDTH, DEPTH, TIMES = 320, 480, 5, 2
COLORS = ("0000FF", "00FF00", "FF0000")
NAMES = ("DAPI", "GFP", "mCherry")


def disc(y: float, x: float, radius: float) -> np.ndarray:
    yy, xx = np.mgrid[:HEIGHT, :WIDTH]
    return (yy - y) ** 2 + (xx - x) ** 2 < radius**2


def pixels() -> tuple[np.ndarray, np.ndarray]:
    """(t, c, z, y, x) uint16 and (t, z, y, x) uint32."""
    image = np.full((TIMES, 3, DEPTH, HEIGHT, WIDTH), 100, np.uint16)
    labels = np.zeros((TIMES, DEPTH, HEIGHT, WIDTH), np.uint32)
    for t in range(TIMES):
        for z in range(DEPTH):
            places = ((160, 90), (160, 390), (60 + 45 * z, 240 + 30 * t))
            for c, (y, x) in enumerate(places):
                mask = disc(y, x, 50)
                image[t, c, z][mask] = 4000
                labels[t, z][mask] = c + 1
    return image, labels


def write_pyramid(group, data: np.ndarray, levels: int, nearest: bool = False) -> None:
    for level in range(levels):
        chunks = (1,) * (data.ndim - 2) + (128, 128)
        array = group.create_array(
            str(level),
            shape=data.shape,
            dtype=data.dtype,
            chunks=chunks,
            shards=(1,) * (data.ndim - 2) + (256, 256),
            compressors=BloscCodec(cname="zstd", clevel=1, shuffle="bitshuffle"),
            fill_value=0,
        )
        array[...] = data
        if nearest:
            data = data[..., ::2, ::2]
        else:
            view = data.reshape(*data.shape[:-2], data.shape[-2] // 2, 2, data.shape[-1] // 2, 2)
            data = view.mean(axis=(-1, -3)).astype(data.dtype)


def multiscales(axes: str, levels: int, name: str) -> list[dict]:
    kinds = {
        "t": ("time", "second"),
        "c": ("channel", None),
        **dict.fromkeys("zyx", ("space", "micrometer")),
    }
    entries = []
    for a in axes:
        kind, unit = kinds[a]
        entries.append({"name": a, "type": kind, **({"unit": unit} if unit else {})})
    datasets = []
    for level in range(levels):
        sizes = {"t": 30.0, "c": 1.0, "z": 1.0, "y": 0.25 * 2**level, "x": 0.25 * 2**level}
        scale = [sizes[a] for a in axes]
        datasets.append(
            {"path": str(level), "coordinateTransformations": [{"type": "scale", "scale": scale}]}
        )
    return [{"name": name, "axes": entries, "datasets": datasets}]


def write_odd_values(folder: Path) -> None:
    """A float image of 4 planes: no values above, then infinity, then ones; one voxel is hot."""
    data = np.ones((4, 64, 64), np.float32)
    data[:, :16], data[:, 16:32], data[0, 63, 63] = np.nan, np.inf, 6e4
    root = zarr.open_group(folder, mode="w", zarr_format=3)
    write_pyramid(root, data, 1)
    window = {"start": 0, "end": 2, "min": 0, "max": 6e4}
    channel = {"label": "odd", "color": "FFFFFF", "active": True, "window": window}
    root.attrs["ome"] = {
        "version": "0.5",
        "multiscales": multiscales("zyx", 1, "odd"),
        "omero": {"channels": [channel], "rdefs": {"defaultZ": 2, "defaultT": 0, "model": "color"}},
    }


def write_image(folder: Path) -> None:
    image, labels = pixels()
    root = zarr.open_group(folder, mode="w", zarr_format=3)
    write_pyramid(root, image, 3)
    root.attrs["ome"] = {
        "version": "0.5",
        "multiscales": multiscales("tczyx", 3, "made"),
        "omero": {
            "channels": [
                {
                    "label": n,
                    "color": c,
                    "active": True,
                    "window": {"start": 100, "end": 4000, "min": 0, "max": 65535},
                }
                for n, c in zip(NAMES, COLORS, strict=True)
            ],
            "rdefs": {"defaultZ": 2, "defaultT": 0, "model": "color"},
        },
    }
    group = root.create_group("labels")
    group.attrs["ome"] = {"version": "0.5", "labels": ["nuclei"]}
    nuclei = group.create_group("nuclei")
    write_pyramid(nuclei, labels, 3, nearest=True)
    nuclei.attrs["ome"] = {
        "version": "0.5",
        "multiscales": multiscales("tzyx", 3, "nuclei"),
        "image-label": {"source": {"image": "../../"}},
    }
    rgb = image[0, ::-1, 2].astype(float).transpose(1, 2, 0)
    rgb = np.clip((rgb - 100) / 3900 * 255, 0, 255).astype(np.uint8)
    Image.fromarray(rgb).resize((288, 192)).save(folder.parent / "made.png")


def image_entry(image_id: str = IMAGE_ID, n: int = 0) -> dict:
    return {
        "id": image_id,
        "series": 0,
        "path": f"plate/made_{n:05d}.tif",
        "files": [f"plate/made_{n:05d}.tif"],
        "name": f"made {n}",
        "part": "Time-lapses",
        "attributes": {"treatment": "none"},
        "status": "derived",
        "finding": None,
        "derivation": "0123abcd",
        "zarr": "images/made.ome.zarr",
        "thumbnail": "images/made.png",
        "thumbnail_size": [288, 192],
        "axes": "tczyx",
        "shape": [TIMES, 3, DEPTH, HEIGHT, WIDTH],
        "dtype": "uint16",
        "rgb": False,
        "pixel_size": {"x": 0.25, "y": 0.25, "z": 1.0},
        "time_step": 30.0,
        "channels": [
            {
                "name": n,
                "color": c,
                "fluor": n,
                "emission_wavelength": w,
                "excitation_wavelength": None,
            }
            for n, c, w in zip(NAMES, COLORS, (461.0, 509.0, 610.0), strict=True)
        ],
        "levels": [{"path": "0", "shape": [2, 3, 5, 320, 480]}],
        "labels": [{"name": "nuclei", "objects": 3}],
        "bytes": 123456,
        "objects": 20,
        "reader": "tifffile",
        "reader_version": "2026.1",
    }


def record(accession: str = "SB-MADE1", **changes) -> dict:
    return {
        "accession": accession,
        "title": "Three discs that a test made",
        "description": "Discs in three colours.\n\nThe red one moves.",
        "keywords": ["disc", "simulation"],
        "license": "CC0-1.0",
        "release_date": "2026-11-01",
        "authors": [
            {
                "name": "Ada Lovelace",
                "email": "ada@example.org",
                "orcid": "0000-0002-1825-0097",
                "role": "data curator",
                "organisations": [{"name": "Analytical Society"}],
            }
        ],
        "publications": [{"title": "On discs", "doi": "10.1234/discs", "year": "2026"}],
        "links": [{"url": "https://example.org/", "description": "The code", "type": "software"}],
        "funding": [{"agency": "A fund", "grant_id": "G-1"}],
        "biosamples": [
            {
                "name": "Discs",
                "organism": [{"name": "Homo sapiens", "ncbi_taxon": "NCBITaxon:9606"}],
                "biological_entity": "nucleus",
            }
        ],
        "specimens": [{"name": "Slide", "sample_preparation": "None was needed."}],
        "image_acquisitions": [
            {
                "name": "Simulation",
                "imaging_instrument": "numpy",
                "imaging_methods": [{"name": "confocal microscopy", "fbbi": "FBbi:00000251"}],
            }
        ],
        "study_components": [
            {
                "name": "Time-lapses",
                "description": "All of them",
                "associations": [
                    {"biosample": "Discs", "specimen": "Slide", "image_acquisition": "Simulation"}
                ],
                "access": "public",
            }
        ],
        "annotation_sets": [{"name": "Masks", "overview": "Drawn with the discs"}],
        **changes,
    }


def file_rows(n: int = 1, version: int = 1) -> list[dict]:
    rows = []
    for i in range(n):
        path = f"plate/made_{i:05d}.tif"
        rows.append(
            {
                "path": path,
                "size": 1000 + i,
                "sha256": hashlib.sha256(path.encode()).hexdigest(),
                "version": version,
                "part": "Time-lapses",
                "role": "image",
                "source_image": None,
            }
        )
    return rows


def picture(locator) -> np.ndarray:
    """What an element looks like, (y, x, 3) uint8."""
    return np.asarray(Image.open(io.BytesIO(locator.screenshot())).convert("RGB"))
