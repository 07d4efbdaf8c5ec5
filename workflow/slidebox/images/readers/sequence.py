"""Many files, one plane each, as one image: see ``slidebox.images.sequence`` for what is joined."""

from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np

from .. import sequence
from ..model import Channel, ImageFile, Series, UnreadableImage

# What MetaXpress adds to a name: the wavelength and an identifier of the single file
_GUID = re.compile(r"(_w\d)?[0-9A-F]{8}(-[0-9A-F]{4}){3}-[0-9A-F]{12}$", re.I)


def open_pattern(path: Path, opener) -> ImageFile:
    """One image of the files that ``path`` stands for; its folders may have places too."""
    base = Path(sequence.base(path.as_posix()) or ".")
    if not base.is_dir():
        raise UnreadableImage("there is no such folder", file=str(base))
    pattern = path.relative_to(base).as_posix()
    depth = pattern.count("/") + 1
    there = [p.relative_to(base).as_posix() for p in base.glob("/".join("*" * depth))]
    try:
        members, values = sequence.expand(pattern, there)
    except sequence.PatternError as error:
        raise UnreadableImage(str(error), file=str(path)) from error
    image = open_members(path, {base / n: i for n, i in members.items()}, opener)
    series = image.series[0]
    series.name = sequence.plain(path.name)
    names = values.get("c", [])
    if not series.rgb and len(names) == len(series.channels):
        for channel, name in zip(series.channels, names, strict=True):
            if not name.isdigit():
                channel.name = name
    return image


def misshapen(image: ImageFile, opener) -> list[str]:
    """What is wrong with each file of a sequence whose header isn't as the first plane's."""
    files = [Path(p) for p in image.series[0].files or [] if not sequence.is_thumbnail(p)]
    wrong, one = [], None
    base = os.path.commonpath([path.parent for path in files]) if files else ""
    for path in files:
        name = path.relative_to(base).as_posix()
        try:
            with opener(path) as file:
                here = file.series[0]
                one = one or here
                if said := _differs(here, one):
                    wrong.append(f"{name}: {said}")
        except UnreadableImage as error:
            wrong.append(f"{name}: {error.reason}")
    return wrong


def _differs(here: Series, one: Series) -> str | None:
    """How a file's plane isn't as the first's, or None."""
    same = all(here.size(a) == one.size(a) for a in "tczyx") and here.dtype == one.dtype
    if same:
        return None
    return (
        f"its {here.shape} {here.dtype} isn't the {one.shape} {one.dtype} of the "
        "sequence's first file"
    )


def open_members(path: Path, members: dict[Path, tuple[int, int, int]], opener) -> ImageFile:
    """One image of the files in ``members`` (path -> t, c, z). ``opener`` opens a single file."""
    planes = {index: file for file, index in members.items() if index[0] >= 0}
    with opener(planes[0, 0, 0]) as first:
        one, reader, by = first.series[0], first.reader, first.reader_version
        metadata = first.metadata
    counts = [max(index[k] for index in planes) + 1 for k in range(3)]
    samples = one.size("c")
    if one.size("t") > 1 or one.size("z") > 1:
        raise UnreadableImage("the files of the sequence hold stacks, not planes", file=str(path))
    if samples > 1 and counts[1] > 1 and not one.rgb:
        raise UnreadableImage(
            "the files of the sequence hold several channels each", file=str(path)
        )
    n = {"t": counts[0], "c": counts[1] * samples, "z": counts[2]}
    height, width = one.size("y"), one.size("x")
    open_now: list = []  # the last file, so that bands of one plane don't open it again

    def read(t: int, c: int, z: int, y0: int, y1: int) -> np.ndarray:
        where = planes[t, c, z]
        if not open_now or open_now[0] != where:
            close()
            open_now[:] = [where, opener(where)]
        here = open_now[1].series[0]
        if wrong := _differs(here, one):
            raise UnreadableImage(wrong, file=str(where))
        if here.samples == samples:
            return here.read_samples(0, 0, 0, y0, y1)
        return np.stack([here.read_samples(0, s, 0, y0, y1)[0] for s in range(samples)])

    def close() -> None:
        if open_now:
            open_now[1].close()
            open_now.clear()

    channels, places = [], []
    for c in range(counts[1]):
        with opener(planes[0, c, 0]) as file:
            channels += [
                Channel(**{k: getattr(x, k) for k in Channel.__slots__})
                for x in file.series[0].channels
            ]
            places.append(file.series[0].stage_position)
    spacing = None
    if counts[2] > 1 and places[0] and "z" in places[0]:
        with opener(planes[0, 0, counts[2] - 1]) as file:
            last = (file.series[0].stage_position or {}).get("z")
        if last is not None and last != places[0]["z"]:
            spacing = float(f"{abs(last - places[0]['z']) / (counts[2] - 1):.9g}")
    series = Series(
        0,
        _GUID.sub("", path.stem),
        "".join(a for a in "tcz" if n[a] > 1) + "yx",
        (*(n[a] for a in "tcz" if n[a] > 1), height, width),
        one.dtype,
        read,
        one.pixel_size | {"z": spacing},
        None,
        channels,
        rgb=one.rgb,
        samples=samples,
        rows=one.rows,
        stage_position=places[0],
        files=[str(p) for p in members],
        notes=[f"joined from {len(planes)} files by their names", *one.notes],
    )
    return ImageFile(str(path), "sequence", reader, by, [series], metadata, close)
