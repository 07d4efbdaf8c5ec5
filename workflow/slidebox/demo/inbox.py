"""Makes the demo's inbox: three studies that are good and one that must be rejected.

Pixels come from a simulator (`simulate`) and from scikit-image's wheel, whose ``data`` folder holds
real micrographs. The same bytes come out each time.
"""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import tifffile

from slidebox import deposit
from slidebox.demo import simulate

RECORDS = Path(__file__).parent / "studies"
SPECIMENS = "ABCDEFGH"
TEST = "CG"  # the specimens whose labels are hidden


def make(inbox: Path, only: Iterable[str] | None = None) -> list[str]:
    """Write the submissions (all four, or `only` these), each with ``.ready``; their accessions.

    A submission that is there already is left alone.
    """
    made = {"SB-CELLS": _cells, "SB-LAPSE": _lapse, "SB-NUCLEI": _nuclei, "SB-BROKEN": _broken}
    made = {name: made[name] for name in only or made}
    for accession, write in made.items():
        folder = inbox / accession
        if not (folder / deposit.READY).exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            rows = write(folder)
            shutil.copyfile(RECORDS / f"{accession}.yaml", folder / "study.yaml")
            _file_list(folder / "files.tsv", rows)
            _date(folder)
            deposit.write_ready(folder, accession)
    return list(made)


def _date(folder: Path) -> None:
    """Give all files one date, so that ``.ready`` is the same wherever the demo is made."""
    moment = int(datetime(2026, 1, 1, tzinfo=UTC).timestamp())
    for path in folder.rglob("*"):
        os.utime(path, (moment, moment))


def _file_list(path: Path, rows: Sequence[dict[str, str]]) -> None:
    columns = list(dict.fromkeys(key for row in rows for key in row))
    lines = ["\t".join(columns)]
    lines += ["\t".join(row.get(column, "") for column in columns) for row in rows]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _cells(folder: Path) -> Iterable[dict[str, str]]:
    import skimage.data

    shipped = Path(skimage.data.__file__).parent
    (folder / "images").mkdir()
    shutil.copyfile(shipped / "cell.png", folder / "images" / "cell.png")
    shutil.copyfile(shipped / "ihc.png", folder / "images" / "immunohistochemistry.png")
    return [
        {"path": "images/cell.png", "part": "Cell"},
        {"path": "images/immunohistochemistry.png", "part": "Tissue"},
    ]


def _lapse(folder: Path) -> Iterable[dict[str, str]]:
    lapse = simulate.time_lapse()
    z, y, x = lapse.voxel
    physical = {
        "PhysicalSizeX": x, "PhysicalSizeXUnit": "µm",
        "PhysicalSizeY": y, "PhysicalSizeYUnit": "µm",
        "PhysicalSizeZ": z, "PhysicalSizeZUnit": "µm",
        "TimeIncrement": 30.0, "TimeIncrementUnit": "s",
    }  # fmt: skip
    channels = {
        "Name": ["Chromatin", "Membrane"],
        "Fluor": ["mCherry", "EGFP"],
        "EmissionWavelength": [610, 509],
        "EmissionWavelengthUnit": ["nm", "nm"],
        "ExcitationWavelength": [587, 488],
        "ExcitationWavelengthUnit": ["nm", "nm"],
        "Color": [_rgba(0xFF, 0x40, 0xFF), _rgba(0x00, 0xFF, 0x60)],
    }
    _ome_tiff(
        folder / "embryo.ome.tiff",
        lapse.images,
        {"axes": "TCZYX", "Name": "Dividing nuclei", "Channel": channels, **physical},
    )
    _ome_tiff(
        folder / "embryo_labels.ome.tiff",
        lapse.labels,
        {"axes": "TZYX", "Name": "Nuclei", **physical},
    )
    lines = ["label,begin,end,parent"]
    lines += [",".join(map(str, track)) for track in lapse.tracks]
    (folder / "embryo_tracks.csv").write_text("\n".join(lines) + "\n", encoding="ascii")
    image = "embryo.ome.tiff"
    return [
        {"path": image, "part": "Time-lapse"},
        {"path": "embryo_labels.ome.tiff", "part": "Nuclei", "source_image": image},
        {"path": "embryo_tracks.csv", "part": "Lineage", "source_image": image},
    ]


def _nuclei(folder: Path) -> Iterable[dict[str, str]]:
    (folder / "images").mkdir()
    (folder / "labels").mkdir()
    physical = {
        "PhysicalSizeX": 0.25, "PhysicalSizeXUnit": "µm",
        "PhysicalSizeY": 0.25, "PhysicalSizeYUnit": "µm",
    }  # fmt: skip
    images, labels = [], []
    for s, specimen in enumerate(SPECIMENS):
        for number in (1, 2):
            pixels, truth = simulate.field_of_view(
                seed=100 * s + number, count=16 + 2 * s, radius=2.9 + 0.2 * (s % 4)
            )
            stem = f"specimen_{specimen}_{number}"
            image = f"images/{stem}.ome.tiff"
            label = f"labels/{stem}_labels.ome.tiff"
            _ome_tiff(folder / image, pixels, {"axes": "YX", "Name": stem, **physical})
            _ome_tiff(folder / label, truth, {"axes": "YX", "Name": stem, **physical})
            part = "Nuclei, test" if specimen in TEST else "Nuclei, training"
            images.append({"path": image, "part": "Fields of view", "specimen": specimen})
            labels.append(
                {"path": label, "part": part, "source_image": image, "specimen": specimen}
            )
    return images + labels


def _broken(folder: Path) -> Iterable[dict[str, str]]:
    pixels, _ = simulate.field_of_view(seed=7)
    whole = folder / "whole.tiff"
    tifffile.imwrite(whole, pixels, compression="zlib", rowsperstrip=32, metadata=None)
    data = whole.read_bytes()
    (folder / "cut_off.tiff").write_bytes(data[: len(data) // 2])
    return [
        {"path": "whole.tiff", "part": "Cells"},
        {"path": "cut_off.tiff", "part": "Cells"},
        {"path": "forgotten.tiff", "part": "Cells"},
    ]


def _ome_tiff(path: Path, pixels: np.ndarray, metadata: dict) -> None:
    """An OME-TIFF whose bytes depend on name, pixels and metadata alone."""
    name = uuid.uuid5(uuid.NAMESPACE_URL, f"slidebox-demo/{path.name}")
    ome = tifffile.OmeXml(UUID=f"urn:uuid:{name}", Creator="Slidebox demo")
    axes = metadata.pop("axes")
    ome.addimage(pixels.dtype, pixels.shape, _stored(pixels.shape), axes=axes, **metadata)
    planes = pixels.reshape(-1, *pixels.shape[-2:])
    with tifffile.TiffWriter(path) as tiff:
        for number, plane in enumerate(planes):
            tiff.write(
                plane,
                description=ome.tostring().encode() if number == 0 else None,
                metadata=None,
                compression="zlib",
                compressionargs={"level": 6},
                software="Slidebox demo" if number == 0 else False,
                contiguous=False,
            )


def _stored(shape: Sequence[int]) -> tuple[int, ...]:
    """Stored shape as tifffile has it: pages, planar samples, depth, length, width, samples."""
    return (int(np.prod(shape[:-2], dtype=int)), 1, 1, shape[-2], shape[-1], 1)


def _rgba(red: int, green: int, blue: int) -> int:
    """A colour as OME writes it: signed 32 bits, red first, opaque."""
    value = red << 24 | green << 16 | blue << 8 | 0xFF
    return value - (1 << 32) if value >= 1 << 31 else value
