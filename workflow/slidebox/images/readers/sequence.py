"""Many files, one plane each, as one image: see ``slidebox.images.sequence`` for what is joined."""

from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np

from .. import sequence
from ..model import Channel, ImageFile, Series, UnreadableImage
from ..registry import open_one

# What MetaXpress adds to a name: the wavelength and an identifier of the single file
_OPEN = 8  # files at once
_GUID = re.compile(r"(_w\d)?[0-9A-F]{8}(-[0-9A-F]{4}){3}-[0-9A-F]{12}$", re.I)


def open_file(path: Path, name: str) -> ImageFile:
    """A ``.pattern`` file: the image that its pattern stands for."""
    pattern = sequence.from_file(path.read_text(encoding="utf-8", errors="replace"))
    if not sequence.is_pattern(pattern):
        raise UnreadableImage(f"it holds no pattern of names (T<>, C<>, Z<>) but {pattern[:80]!r}")
    image = open_pattern(path.parent / pattern, open_one)
    image.path = image.series[0].file = str(path)
    image.series[0].files = [str(path), *(image.series[0].files or [])]
    return image


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
    files = [
        Path(p)
        for p in image.series[0].files or []
        if not sequence.is_thumbnail(p) and p != image.path
    ]
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
    # a file may hold several planes itself: those of the first file, then those of the next
    inside = {"t": one.size("t"), "c": one.size("c") // one.samples, "z": one.size("z")}
    samples = one.samples
    n = {a: count * inside[a] for a, count in zip("tcz", counts, strict=True)}
    n["c"] *= samples
    height, width = one.size("y"), one.size("x")
    open_now: dict[Path, ImageFile] = {}  # the last files: bands of one plane don't open it again

    def read(t: int, c: int, z: int, y0: int, y1: int) -> np.ndarray:
        at = [divmod(i, inside[a]) for a, i in (("t", t), ("c", c), ("z", z))]
        where = planes[tuple(file for file, _ in at)]
        if where not in open_now:
            while len(open_now) >= _OPEN:
                open_now.pop(next(iter(open_now))).close()
            open_now[where] = opener(where)
        here = open_now[where].series[0]
        if wrong := _differs(here, one):
            raise UnreadableImage(wrong, file=str(where))
        if here.samples == samples:
            return here.read_samples(*(plane for _, plane in at), y0, y1)
        raise UnreadableImage(
            f"it has {here.samples} samples a pixel, the first file {samples}", file=str(where)
        )

    def close() -> None:
        while open_now:
            open_now.popitem()[1].close()

    channels, places = [], []
    for c in range(counts[1]):
        with opener(planes[0, c, 0]) as file:
            channels += [
                Channel(**{k: getattr(x, k) for k in Channel.__slots__})
                for x in file.series[0].channels
            ]
            places.append(file.series[0].stage_position)
    spacing = one.pixel_size.get("z")
    if spacing is None and counts[2] > 1 and inside["z"] == 1 and places[0] and "z" in places[0]:
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
        one.time_step,
        channels,
        rgb=one.rgb,
        samples=samples,
        rows=one.rows,
        stage_position=places[0],
        files=[str(p) for p in members],
        notes=[f"joined from {len(planes)} files by their names", *one.notes],
    )
    return ImageFile(str(path), "sequence", reader, by, [series], metadata, close)
