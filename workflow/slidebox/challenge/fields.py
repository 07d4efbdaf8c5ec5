"""Images that the archive itself says are of one field of view, whatever their pixels show.

Another stain, depth or moment of a field may share no structure with it: then only what is known
of the file helps. Three rules: parts of one image; series of one file whose places on the stage
overlap; files of one folder whose names differ in a channel, z or time alone.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from itertools import combinations, pairwise
from typing import Any

from .assemble import Pair

# What counts planes in a name: img_c1.tif, C2-img.tif, A01_s1_w2<GUID>.tif, z003.png, p_T017.tif;
# a capital C elsewhere is a row of a plate
_GUID = r"[0-9A-F]{8}(?:-[0-9A-F]{4}){3}-[0-9A-F]{12}"
PLANE = re.compile(
    rf"(?<![A-Za-z0-9])(?:(?:(?i:ch|chan|channel|wavelength|slice|plane|timepoint|frame)|[cztZT])"
    rf"[-_ ]?\d{{1,5}}|(?:(?<=_s\d_)|(?<=_s\d\d_))w\d(?:{_GUID})?)(?![A-Za-z0-9])|^C\d(?=-)"
)
OVERLAP = 0.05  # of the smaller frame


def field_name(path: str) -> str | None:
    """A path without what counts its planes; None when its file's name counts none."""
    folder, _, name = path.rpartition("/")
    bare, found = PLANE.subn("*", name)
    return f"{folder}/{bare}" if found else None


def same_field(pairs: list[Pair], split: dict[str, str]) -> Iterator[tuple[str, str, str]]:
    """(id, id, why) of images in two splits that are known to be of one field.

    Of many of one field (a time-lapse in files) those are told that are neighbours by name.
    """
    files: dict[tuple, list[Pair]] = defaultdict(list)
    names: dict[tuple, list[Pair]] = defaultdict(list)
    for pair in sorted(pairs, key=lambda p: (p.image["path"], p.series, p.box or ())):
        path = pair.image["path"]
        files[pair.study.accession, path].append(pair)
        if name := field_name(path):
            size = _series(pair).get("shape", [])[-2:]
            names[pair.study.accession, name, pair.series, tuple(size)].append(pair)
    for members in files.values():
        for a, b in combinations(members, 2):
            if split[a.id] == split[b.id]:
                continue
            if a.series == b.series:
                yield a.id, b.id, "are parts of one image"
            elif _overlap(_series(a), _series(b)):
                yield a.id, b.id, "are series of one file at one place on the stage"
    for members in names.values():
        for a, b in pairwise(members):
            if split[a.id] != split[b.id] and a.image["path"] != b.image["path"]:
                yield a.id, b.id, "are channels, planes or times of one field by their names"


def _series(pair: Pair) -> dict[str, Any]:
    listed = pair.image.get("series") or []
    return listed[pair.series] if pair.series < len(listed) else {}


def _overlap(one: dict[str, Any], two: dict[str, Any]) -> bool:
    """Whether two series lie on each other on the stage, as far as that is known (µm)."""
    a, b = one.get("stage_position") or {}, two.get("stage_position") or {}
    if not all(axis in where for axis in "xy" for where in (a, b)):
        return False
    if not any(where[axis] for axis in "xy" for where in (a, b)):
        return False  # nobody filled it in
    share = 1.0
    for axis, at in (("y", -2), ("x", -1)):
        sides = [s["shape"][at] * ((s.get("pixel_size") or {}).get(axis) or 0) for s in (one, two)]
        apart = abs(a[axis] - b[axis])
        if not all(sides):
            share *= apart < 1e-3
            continue
        share *= max(0.0, min(min(sides), sum(sides) / 2 - apart)) / min(sides)
    return share > OVERLAP
