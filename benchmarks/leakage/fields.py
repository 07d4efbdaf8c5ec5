"""Fields of view for the benchmark: what micrographs in some folders show, and their neighbours."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from slidebox.images import UnreadableImage, can_read, open_image

LARGE, TILE = 512, 384  # planes whose sides all reach LARGE are cut into tiles that don't overlap
TILES, SERIES, NEIGHBOURS = 8, 4, 6  # at most: of a plane, of a file, of a stack along one axis
SMALLEST = 16
SIGNAL = 2.0  # least variation of what is shown, in units of what noise alone would give
LABELS = {"label", "mask", "tra", "seg"}  # names of folders, the last two the CTC's
COUNTED = re.compile(r"^(.*?)(\d{1,6})$")  # section_012, Frames000003


@dataclass(slots=True)
class Field:
    """One field of view.

    Attributes
    ----------
    name : file, series and tile.
    sample : what may show the same specimen: pairs within it are no strangers unless they are
        tiles of one plane.
    plane : which plane it is a tile of; () if it is no tile.
    image : (y, x) float32.
    neighbours : (kind, (y, x), (y, x)): planes next to each other in z or t, or two channels.
    empty : pairs of neighbours that were left out, as one of them shows noise alone.
    """

    name: str
    sample: str
    plane: tuple
    image: np.ndarray
    neighbours: list[tuple[str, np.ndarray, np.ndarray]] = field(default_factory=list)
    empty: int = 0

    def add(self, kind: str, one: np.ndarray, two: np.ndarray) -> None:
        if shows(one) and shows(two):
            self.neighbours.append((kind, one, two))
        else:
            self.empty += 1


def shows(plane: np.ndarray) -> bool:
    """Whether a (y, x) plane shows more than noise, which means of 4 x 4 pixels divide by four."""
    steps = plane[1:, 1:] - plane[1:, :-1] - plane[:-1, 1:] + plane[:-1, :-1]
    noise = 1.4826 * np.median(np.abs(steps)) / 2
    y, x = (n // 4 * 4 for n in plane.shape)
    means = plane[:y, :x].reshape(y // 4, 4, x // 4, 4).mean((1, 3))
    return bool(means.std() > max(SIGNAL * noise / 4, 1e-6))


def paths(folder: Path) -> list[Path]:
    """All files of a folder, those of labels and masks aside."""
    return sorted(
        p for p in (folder.rglob("*") if folder.is_dir() else [folder])
        if p.is_file() and not LABELS & set(str(p).lower().replace("s/", "/").split("/"))
        and can_read(p)
    )  # fmt: skip


def fields(folder: Path) -> Iterator[Field]:
    """Of every file; files that a number alone tells apart are one stack or time-lapse."""
    runs: dict[tuple, list[Path]] = defaultdict(list)
    for path in paths(folder):
        counted = COUNTED.match(path.stem)
        runs[path.parent, counted[1] if counted else path.stem, path.suffix].append(path)
    for run in runs.values():
        try:
            if len(run) > 4:
                yield _of_run(run)
            else:
                for path in run:
                    yield from _of_file(path)
        except (UnreadableImage, OSError, StopIteration):
            continue


def _of_run(run: list[Path]) -> Field:
    def plane(path: Path) -> np.ndarray:
        return next(f.image for f in _of_file(path, tiles=False) if f.image.size)

    middle = run[len(run) // 4 * 2]
    made = Field(middle.name, str(middle.parent), (), plane(middle))
    axis = "next t" if re.search(r"[tT]\w*\d+$|rames?\d+$", middle.stem) else "next z"
    for k in _spread(len(run)):
        made.add(axis, plane(run[k]), plane(run[k + 1]))
    return made


def _spread(count: int) -> list[int]:
    """First ones of neighbours among so many planes; no plane is in two pairs."""
    pairs = count // 2
    return sorted({2 * int(k) for k in np.linspace(0, pairs - 1, min(pairs, NEIGHBOURS))})


def _of_file(path: Path, *, tiles: bool = True) -> Iterator[Field]:
    with open_image(path) as file:
        for number, image in list(enumerate(file.series))[:SERIES]:
            axes, shape = image.axes[:-2], image.shape[:-2]
            if min(image.shape[-2:]) < SMALLEST:
                continue
            sizes = dict(zip(axes, shape, strict=True))
            at = {a: 0 if a == "c" else n // 2 for a, n in sizes.items()}

            def plane(image=image, at=at, axes=axes, **moved: int) -> np.ndarray:
                index = tuple((at | moved)[a] for a in axes)
                return np.asarray(image.read(index, 0, image.shape[-2]), np.float32)

            if image.rgb:
                whole = np.mean([plane(c=c) for c in range(min(3, sizes["c"]))], 0)
            else:
                whole = plane()
            name = f"{path.name}#{number}"
            if tiles and min(whole.shape) >= LARGE:
                yield from _tiles(whole, name, str(path))
            elif len(np.unique(whole)) > 2:  # others are masks, or a scanner's map of a slide
                yield Field(name, str(path), (), whole)
            else:
                continue
            if image.rgb:
                continue
            near = Field(f"{name} planes", str(path), (), np.zeros((0, 0), np.float32))
            for axis in "zt":
                for k in _spread(sizes.get(axis, 1)):
                    near.add(f"next {axis}", plane(**{axis: k}), plane(**{axis: k + 1}))
            if sizes.get("c", 1) > 1:
                near.add("another channel", plane(), plane(c=1))
            if near.neighbours:
                yield near


def _tiles(whole: np.ndarray, name: str, sample: str) -> Iterator[Field]:
    least = 0.2 * whole.std()
    corners = [
        (y, x) for y in range(0, whole.shape[0] - TILE + 1, TILE)
        for x in range(0, whole.shape[1] - TILE + 1, TILE)
        if whole[y : y + TILE, x : x + TILE].std() > least > 0
    ]  # fmt: skip
    for y, x in corners[:TILES]:
        image = whole[y : y + TILE, x : x + TILE]
        yield Field(f"{name} {y},{x}", sample, (name,), image)
