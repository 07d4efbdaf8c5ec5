"""MRC2014/CCP4 maps by mrcfile, also gzip and bzip2. Rows come in the order in which they are
stored.
"""

from __future__ import annotations

import warnings
from pathlib import Path

import mrcfile
import numpy as np

from .. import units
from ..model import ImageFile, Series, UnreadableImage
from ..registry import version


def open_file(path: Path, name: str) -> ImageFile:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with path.open("rb") as handle:
            packed = handle.read(3) in (b"\x1f\x8b\x08", b"BZh")
        try:
            # a packed map is unpacked into memory: such files hold maps, not tomograms
            file = mrcfile.open(path) if packed else mrcfile.mmap(path, mode="r")
        except ValueError as error:
            raise UnreadableImage(f"not an MRC file, or cut off: {error}") from error
    data = file.data
    voxel = file.voxel_size
    rgb = data.dtype.names is not None
    n = {"t": 1, "c": 1, "z": 1}
    notes = []
    if data.ndim == 4:
        n["t"], n["z"] = data.shape[:2]
        notes.append("a stack of volumes is kept as time points")
    elif data.ndim == 3:
        if file.is_image_stack():
            n["t"] = data.shape[0]
            notes.append("an image stack is kept as time points")
        else:
            n["z"] = data.shape[0]
    stored = data

    def read(t: int, c: int, z: int, y0: int, y1: int) -> np.ndarray:
        index = {2: (), 3: (t + z,), 4: (t, z)}[stored.ndim]
        plane = np.asarray(stored[index][y0:y1])
        return plane[None]

    if rgb:
        file.close()
        raise UnreadableImage(f"MRC values of type {data.dtype} aren't known")
    # mapc, mapr, maps say along which axis of the cell (1 x, 2 y, 3 z) columns, rows, sections run.
    along = [int(file.header[k]) for k in ("mapc", "mapr", "maps")]
    if sorted(along) != [1, 2, 3]:
        along = [1, 2, 3]
    elif along != [1, 2, 3]:
        cell = ", ".join("xyz"[i - 1] for i in along)
        notes.append(f"columns, rows and sections run along {cell} of the cell; kept as x, y, z")
    size = {
        axis: units.micrometers(units.single(voxel["xyz"[i - 1]]), "angstrom")
        for axis, i in zip("xyz", along, strict=True)
    }
    series = Series(
        0,
        path.name.split(".")[0],
        "".join(a for a in "tcz" if n[a] > 1) + "yx",
        (*(n[a] for a in "tcz" if n[a] > 1), *data.shape[-2:]),
        data.dtype,
        read,
        size,
        notes=notes,
        rows=1,
    )
    labels = [
        bytes(label).decode("latin-1").strip()
        for label in file.header.label[: int(file.header.nlabl)]
    ]
    facts = [
        f"{k}: {file.header[k]}"
        for k in file.header.dtype.names
        if k not in ("label", "extra1", "extra2")
    ]
    metadata = {"header.txt": "\n".join([*facts, *labels]) + "\n"}
    return ImageFile(str(path), name, "mrcfile", version("mrcfile"), [series], metadata, file.close)
