"""Series of a TIFF: its pages as planes of t, c and z, by the letters of their axes."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from ..model import Series, UnreadableImage
from .tiff_rows import by_segment, rows_contiguous, rows_of

# What tifffile's other axis letters are folded into. Q and I are "some sequence": shown as z, as
# ImageJ does with a plain stack.
_FOLD = {
    "Q": "z",
    "I": "z",
    "Z": "z",
    "T": "t",
    "C": "c",
    "S": "c",
    "R": "t",
    "H": "c",
    "E": "c",
    "L": "c",
    "A": "c",
    "V": "c",
    "W": "c",
    "P": "t",
    "M": "t",
    "G": "t",
    "D": "z",
    "B": "c",
    "F": "t",
}
_ROLES = {
    "label": "label",
    "macro": "macro",
    "thumbnail": "thumbnail",
    "map": "map",
    "overview": "macro",
}


def series_of(item, index: int, number: int, lock, path: Path, claims: dict | None) -> Series:
    """One of tifffile's series as one of ours. ``claims``: see ``omexml.OmeImage``."""
    pages = item.pages
    keyframe = item.keyframe
    axes, shape = item.axes, item.shape
    count = len(pages)
    contiguous = count == 1 and item.dataoffset is not None and item.size > keyframe.size
    inner_size = keyframe.size
    # the leading axes that count pages; the rest is within a page
    split, product = 0, 1
    while split < len(axes) and math.prod(shape[split:]) > inner_size:
        product *= shape[split]
        split += 1
    outer = [(a, n) for a, n in zip(axes[:split], shape[:split], strict=True)]
    inner = [
        (a, n) for a, n in zip(axes[split:], shape[split:], strict=True) if n > 1 or a in "YXS"
    ]
    if math.prod(n for _, n in inner) != inner_size or (not contiguous and product != count):
        raise UnreadableImage(
            f"series {number}: {count} pages of {keyframe.shape} don't make {axes} {shape}",
            file=str(path),
        )
    notes = []
    if keyframe.photometric == 0:
        notes.append("0 is white in this file; values are kept as stored")
    elif keyframe.photometric == 3:
        notes.append("values are numbers of a palette's colours; the palette isn't applied")
    sizes = {"t": 1, "c": 1, "z": 1}
    outer_map = []  # (canonical axis, length), in file order
    for letter, n in outer:
        axis = _FOLD.get(letter, "z")
        if n > 1 and letter in "QI":
            notes.append("the file doesn't say what its sequence of planes is; it is kept as z")
        elif n > 1 and letter not in "TCZS":
            notes.append(f"axis {letter} of the file ({n}) is kept as {axis}")
        sizes[axis] *= n
        outer_map.append((axis, n))
    inner_letters = "".join(a for a, n in inner)
    depth = 1
    samples = 1
    for letter, n in inner:
        if letter in "YX":
            continue
        if _FOLD.get(letter, "z") == "z":
            depth *= n
        else:
            samples *= n
    sizes["z"] *= depth
    ny = dict(inner).get("Y", 1)
    nx = dict(inner).get("X", 1)
    groups = sizes["c"]  # before samples of a pixel
    dtype = keyframe.dtype if item.dtype is None else item.dtype
    sizes["c"] *= samples
    out_axes = "".join(a for a in "tcz" if sizes[a] > 1) + "yx"
    out_shape = (*tuple(sizes[a] for a in "tcz" if sizes[a] > 1), ny, nx)
    rgb = samples in (3, 4) and keyframe.photometric in (2, 6) and "S" in inner_letters

    def page_number(t: int, c: int, z: int) -> int:
        """Position in file order of the page of canonical (t, c, z); several axes may share one."""
        rest = {"t": t, "c": c, "z": z}
        number, scale = 0, 1
        for axis, n in reversed(outer_map):
            rest[axis], here = divmod(rest[axis], n)
            number += here * scale
            scale *= n
        return number

    def read(t: int, c: int, z: int, y0: int, y1: int) -> np.ndarray:
        z_outer, z_inner = divmod(z, depth)
        number = page_number(t, c, z_outer)
        if contiguous:
            return rows_contiguous(item, keyframe, number, z_inner, y0, y1, lock)
        page = pages[number]
        if page is None:
            if claims is not None and (t, c, z) not in claims:  # never recorded
                return np.zeros((samples, y1 - y0, nx), dtype)
            name = claims.get((t, c, z)) if claims else None
            if name and not path.with_name(name).is_file():
                raise UnreadableImage(f"it is in {name}, which isn't there")
            raise UnreadableImage("the file has no page for this plane")
        return rows_of(page, z_inner, y0, y1, lock)

    if claims is not None and None in pages and groups * sizes["t"] * sizes["z"] > len(claims):
        gaps = groups * sizes["t"] * sizes["z"] - len(claims)
        notes.append(f"{gaps} planes are in no file; they are filled with 0")
    role = (
        _ROLES.get((item.name or "").split(" ")[0].lower(), "image")
        if item.kind
        in ("svs", "ndpi", "scn", "qpi", "qptiff", "bif", "philips", "indica", "ventana", "avs")
        else "image"
    )
    if (
        number > 0
        and item.kind in ("lsm", "fluoview", "generic", "uniform")
        and keyframe.is_reduced
    ):
        role = "thumbnail"
    if keyframe.is_contiguous or contiguous:
        rows: int | None = 1
    elif keyframe.jpegheader is not None and not by_segment(keyframe):
        rows = None
    elif keyframe.is_tiled:
        rows = keyframe.tilelength
    else:
        rows = min(keyframe.rowsperstrip, ny)
    return Series(
        index,
        item.name or "",
        out_axes,
        out_shape,
        dtype,
        read,
        rgb=rgb,
        samples=samples,
        rows=rows,
        role=role,
        notes=notes,
        pixel_size=_resolution(keyframe),
    )


def _resolution(page) -> dict[str, float | None]:
    """Pixel size by the resolution tags, if they can be a microscope's.

    A printing resolution (72 dpi and the like) isn't one: what is over 20 um a pixel is left out.
    """
    unit = {2: 25400.0, 3: 10000.0}.get(int(getattr(page, "resolutionunit", 1) or 1))
    if unit is None:
        return {}
    sizes: dict[str, float | None] = {}
    for axis, tag in (("x", 282), ("y", 283)):
        value = page.tags.valueof(tag)
        try:
            per_unit = value[0] / value[1]
        except (TypeError, ZeroDivisionError, IndexError):
            return {}
        if not per_unit > 0:
            return {}
        size = unit / per_unit
        if size > 20:
            return {}
        sizes[axis] = float(f"{size:.12g}")
    return sizes
