"""Plates as their instruments write them: a file a plane, an index that says where each belongs.

Operetta and Opera Phenix (Harmony), CellVoyager, ImageXpress. Each field of a well is an image. A
plane that the index names and that isn't there, or is damaged, is an error of its field alone.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..model import Channel, ImageFile, Series, UnreadableImage, Well
from ..registry import open_one, version
from . import plate_harmony, plate_voyager, plate_xpress
from .plate_index import FieldIndex, PlateIndex, Where, row_letters


def open_file(path: Path, name: str) -> ImageFile:
    """A plate by its index file, or an ImageXpress folder without one."""
    parse: Callable[[Path], PlateIndex] = {
        "harmony": plate_harmony.parse,
        "cellvoyager": plate_voyager.parse,
        "metaxpress": plate_xpress.parse,
    }[name]
    index = parse(path)
    for one in index.fields:  # an aborted measurement lists what it never wrote
        if not any(file.exists() for file in one.planes.values()):
            index.notes.append(
                f"well {row_letters(one.row)}{one.column + 1} field {one.number} is in the index "
                "and has no file"
            )
    index.fields = [f for f in index.fields if any(p.exists() for p in f.planes.values())]
    if not index.fields:
        raise UnreadableImage("the index names no plane that is there", file=str(path))
    return _assemble(path, name, index)


def find_index(folder: Path) -> tuple[Path, str] | None:
    """The index of a plate's folder and its format; an ImageXpress folder is its own index.

    A plate may lie one or two folders deeper (ImageXpress: ``<plate>/<date>/<number>``). Raises
    UnreadableImage where several do.
    """
    for depth in ("", "*", "*/*"):
        bases = sorted(p for p in folder.glob(depth) if p.is_dir()) if depth else [folder]
        found = [(base, index) for base in bases if (index := _index_in(base)) is not None]
        if len(found) > 1:
            names = ", ".join(base.relative_to(folder).as_posix() for base, _ in found[:5])
            raise UnreadableImage(f"the folder holds several plates: {names}", file=str(folder))
        if found:
            return found[0][1]
    return None


def _index_in(folder: Path) -> tuple[Path, str] | None:
    for base in (folder, folder / "Images", folder / "images"):
        for name in ("Index.idx.xml", "Index.xml", "index.xml", "index.idx.xml"):
            if (base / name).is_file():
                return base / name, "harmony"
    if (folder / "MeasurementData.mlf").is_file():
        return folder / "MeasurementData.mlf", "cellvoyager"
    found = sorted(p for p in folder.iterdir() if p.suffix.lower() == ".htd")
    if len(found) == 1:
        return found[0], "metaxpress"
    if plate_xpress.looks_like(folder):
        return folder, "metaxpress"
    return None


def _assemble(path: Path, name: str, index: PlateIndex) -> ImageFile:
    shown = _first_readable(index)
    cache = _Files()
    series: list[Series] = []
    for one in sorted(index.fields, key=lambda f: (f.row, f.column, f.number, f.kind)):
        parts = list(_parts(one.planes))
        for n, (channels, planes) in enumerate(parts):
            kind = one.kind + (f"part {n + 1}" if n else "")
            well = Well(
                f"{index.name} {kind}".strip(),
                index.rows[one.row],
                index.columns[one.column],
                one.number - one.first,
                (index.rows, index.columns) if index.whole else None,
            )
            series.append(_series(len(series), well, one, index, channels, planes, shown, cache))
    for one in series[:1]:
        one.notes = [*index.notes, *one.notes]
    package = "tifffile"
    return ImageFile(
        str(path), name, package, version(package), series, dict(index.texts), cache.close
    )


def _parts(planes: dict[Where, Path]) -> Iterable[tuple[list[int], dict[Where, Path]]]:
    """Channels that have the same planes of z: an image holds no channel with fewer than others."""
    depth: dict[int, set[int]] = defaultdict(set)
    for _, c, z in planes:
        depth[c].add(z)
    groups: dict[int, list[int]] = defaultdict(list)
    for c, zs in sorted(depth.items()):
        groups[len(zs)].append(c)
    for _, channels in sorted(groups.items(), key=lambda g: -g[0]):
        chosen = {w: p for w, p in planes.items() if w[1] in channels}
        values = [sorted({w[k] for w in chosen}) for k in range(3)]
        numbers = [{v: n for n, v in enumerate(vs)} for vs in values]
        yield (
            channels,
            {
                (numbers[0][t], numbers[1][c], numbers[2][z]): p
                for (t, c, z), p in sorted(chosen.items())
            },
        )


@dataclass(slots=True)
class _Shown:
    """What the first plane that can be read says of all of them."""

    height: int
    width: int
    dtype: np.dtype
    rows: int | None


def _first_readable(index: PlateIndex) -> _Shown:
    problem: UnreadableImage | None = None
    for one in index.fields:
        for where in sorted(one.planes):
            if not one.planes[where].exists():
                continue
            try:
                with open_one(one.planes[where]) as file:
                    first = file.series[0]
                    return _Shown(first.size("y"), first.size("x"), first.dtype, first.rows)
            except UnreadableImage as error:
                problem = problem or error
    raise problem or UnreadableImage("the plate holds no plane that can be read")


class _Files:
    """The last file that was opened, so that bands of one plane don't open it again."""

    def __init__(self) -> None:
        self.here: tuple[Path, ImageFile] | None = None

    def get(self, path: Path) -> Series:
        if self.here is None or self.here[0] != path:
            self.close()
            if not path.exists():
                raise UnreadableImage("the plate's index names this file, which isn't there",
                                      file=str(path))  # fmt: skip
            self.here = (path, open_one(path))
        return self.here[1].series[0]

    def close(self) -> None:
        if self.here is not None:
            self.here[1].close()
            self.here = None


def _series(
    number: int,
    well: Well,
    one: FieldIndex,
    index: PlateIndex,
    channels: list[int],
    planes: dict[Where, Path],
    shown: _Shown,
    cache: _Files,
) -> Series:
    n = [1 + max(w[k] for w in planes) for k in range(3)]
    holes = [w for w in itertools.product(*map(range, n)) if w not in planes]

    def read(t: int, c: int, z: int, y0: int, y1: int) -> np.ndarray:
        if holes:
            where = " ".join(f"{a}={v}" for a, v in zip("tcz", holes[0], strict=True))
            raise UnreadableImage(
                f"{len(holes)} planes of the field are missing (the first: {where})"
            )
        file = planes[t, c, z]
        here = cache.get(file)
        if (here.size("t") * here.size("c") * here.size("z") != 1) or (
            here.size("y"), here.size("x"), here.dtype
        ) != (shown.height, shown.width, shown.dtype):  # fmt: skip
            raise UnreadableImage(
                f"its {here.axes} {here.shape} {here.dtype} isn't the {shown.height} x "
                f"{shown.width} {shown.dtype} of the plate's first plane",
                file=str(file),
            )
        return here.read_samples(0, 0, 0, y0, y1)

    told = [index.channels[c] if c < len(index.channels) else Channel() for c in channels]
    told = [Channel(**{k: getattr(c, k) for k in Channel.__slots__}) for c in told]
    sizes, position, step = dict(index.pixel_size), one.position, one.z_step
    if index.from_planes:
        position, step = _from_planes(planes, n, told, sizes)
    axes = "".join(a for a, k in zip("tcz", n, strict=True) if k > 1) + "yx"
    return Series(
        number,
        f"{well.plate} {well.name} field {one.number}",
        axes,
        (*(k for k in n if k > 1), shown.height, shown.width),
        shown.dtype,
        read,
        sizes | {"z": step},
        one.time_step if n[0] > 1 else None,
        told,
        rows=shown.rows,
        stage_position=position,
        start_time=one.start_time,
        acquisition=dict(index.acquisition),
        well=well,
        files=sorted({str(p) for p in planes.values()}),
    )


def _from_planes(planes: dict[Where, Path], n: list[int], channels: list[Channel], sizes: dict):
    """Fill in what only the planes' files know; gives the field's position and its z step."""
    position, step = None, None
    for c, channel in enumerate(channels):
        one = _peek(planes.get((0, c, 0)))
        if one is None:
            continue
        theirs = one.channels[0]
        for name in Channel.__slots__:
            if getattr(channel, name) is None:
                setattr(channel, name, getattr(theirs, name))
        for axis in "yx":
            sizes[axis] = sizes.get(axis) or one.pixel_size.get(axis)
        position = position or one.stage_position
    if n[2] > 1 and position and "z" in position:
        last = _peek(planes.get((0, 0, n[2] - 1)))
        end = (last.stage_position or {}).get("z") if last else None
        if end is not None and end != position["z"]:
            step = float(f"{abs(end - position['z']) / (n[2] - 1):.9g}")
    return position, step


def _peek(path: Path | None) -> Series | None:
    """The only image of a plane's file; None when it can't be read (reading says why)."""
    if path is None or not path.exists():
        return None
    try:
        with open_one(path) as file:
            return file.series[0]
    except UnreadableImage:
        return None
