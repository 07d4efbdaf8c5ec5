"""Opens an image: a file, many files that are one image, or the folder of a store or a plate."""

from __future__ import annotations

import os
import re
from pathlib import Path

from . import sequence
from .model import ImageFile, UnreadableImage
from .registry import by_name, open_one


def open_image(path: str | os.PathLike) -> ImageFile:
    """Open an image file: axes, shapes, sizes, channels of every series, without reading pixels.

    ``path`` may be a folder (OME-Zarr, N5, a plate) or a pattern of files' names that are one image
    (``img_T<01-10>_C<DAPI,GFP>_Z<>.tif``, see ``slidebox.images.sequence``).

    Raises
    ------
    UnreadableImage : with the reason, when the format isn't known or the file is damaged.
    """
    path = Path(path)
    if not path.exists() and sequence.is_pattern(str(path)):
        from .readers.sequence import open_pattern

        return open_pattern(path, open_one)
    if not path.exists():
        raise UnreadableImage("there is no such file", file=str(path))
    if path.is_file() and path.stat().st_size == 0:
        raise UnreadableImage("the file is empty", file=str(path))
    if path.is_dir() and not by_name(path.name):
        from .readers.plate import find_index

        found = find_index(path)
        if found is not None:
            return open_one(*found)
    members = _sequence(path)
    if members:
        from .readers.sequence import open_members

        lacking = sequence.lacking({p.name: i for p, i in members.items()})
        if lacking:
            raise UnreadableImage(lacking, file=str(path))
        image = open_members(path, members, open_one)
        image.series[0].file = str(path)
    else:
        image = open_one(path)
    if len(image.series) == 1 and image.series[0].well is None and path.is_file():
        from .readers.plate_xpress import well_of

        image.series[0].well = well_of(path)
    return image


def misshapen(image: ImageFile) -> list[str]:
    """What is wrong with files of a sequence that aren't like its first; reads only headers."""
    if image.format != "sequence":
        return []
    from .readers import sequence as reader

    return reader.misshapen(image, open_one)


def _sequence(path: Path) -> dict[Path, tuple[int, int, int]] | None:
    """The files that make one image with this one, if it is the first of them."""
    if not path.is_file():
        return None
    base = path.parent
    if not sequence.looks_like(path.as_posix()):
        return None
    while re.fullmatch(r"(TimePoint|ZStep)_\d+", base.name, re.I):
        base = base.parent
    names = [p.relative_to(base).as_posix() for p in _near(base)]
    group = sequence.find(names).get(path.relative_to(base).as_posix())
    return {base / name: index for name, index in group.items()} if group else None


def _near(base: Path) -> list[Path]:
    """Files of a folder and of its TimePoint and ZStep folders."""
    found = []
    for entry in base.iterdir():
        if entry.is_file():
            found.append(entry)
        elif entry.is_dir() and re.fullmatch(r"(TimePoint|ZStep)_\d+", entry.name, re.I):
            found += _near(entry)
    return found
