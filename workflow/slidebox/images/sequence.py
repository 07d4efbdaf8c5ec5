"""Images written as one file a plane: which names belong together, by their tokens alone.

Two kinds are known: names with at least two of time, channel and z as ``_T001_C02_Z03`` (also
``t``,
``c``, ``ch``, ``w``, ``z``), and ImageXpress' ``<plate>_<well>_s<site>_w<channel><id>.tif`` in
folders
``TimePoint_<n>`` and ``ZStep_<n>``. A site or field is an image of its own. Files are joined only
when
they fill the grid of their numbers: a gap may mean that they aren't what they look like.
"""

from __future__ import annotations

import posixpath
import re
from collections import defaultdict
from collections.abc import Iterable

_TOKEN = re.compile(r"(?<![A-Za-z0-9])(time|ch|[TtCcZzWw])(\d{1,5})(?=[_.\-]|$)")
_AXIS = {"time": "t", "t": "t", "ch": "c", "c": "c", "w": "c", "z": "z"}
_XPRESS = re.compile(
    r"^(?P<plate>.+)_(?P<well>[A-P]\d{2})(?:_s(?P<site>\d+))?(?:_w(?P<wave>\d))?(?P<thumb>_thumb)?"
    r"(?P<id>[0-9A-F]{8}-[0-9A-F]{4}-[0-9A-F]{4}-[0-9A-F]{4}-[0-9A-F]{12})?\.tiff?$",
    re.I,
)
_EXTENSIONS = (".tif", ".tiff", ".png", ".jpg", ".jpeg", ".bmp")

Index = tuple[int, int, int]


def find(paths: Iterable[str]) -> dict[str, dict[str, Index]]:
    """Sequences among paths: {primary: {path: (t, c, z)}}; thumbnails have the index (-1, -1,
    -1).
    """
    groups: dict[tuple, dict[str, Index]] = defaultdict(dict)
    for path in paths:
        if path.lower().endswith(_EXTENSIONS) and not path.lower().endswith(
            (".ome.tif", ".ome.tiff")
        ):
            key, index = _xpress(path) or _tokens(path) or (None, None)
            if key is not None:
                groups[key][path] = index
    result = {}
    for members in groups.values():
        numbered = _renumber(members)
        if numbered is not None:
            result[min(p for p, i in numbered.items() if i[0] >= 0)] = numbered
    return result


def looks_like(path: str) -> bool:
    """Whether a name could belong to a sequence (its neighbours decide)."""
    return bool(_xpress(path) or _tokens(path))


def _xpress(path: str) -> tuple[tuple, Index] | None:
    folder, name = posixpath.split(path)
    match = _XPRESS.match(name)
    if match is None or not (match["id"] or match["wave"]):
        return None
    t = z = 0
    parts = folder.split("/") if folder else []
    while parts:
        step = re.fullmatch(r"(TimePoint|ZStep)_(\d+)", parts[-1], re.I)
        if step is None:
            break
        if step[1].lower() == "timepoint":
            t = int(step[2])
        else:
            z = int(step[2])
        parts.pop()
    key = ("xpress", "/".join(parts), match["plate"], match["well"].upper(), match["site"])
    if match["thumb"]:
        return (*key, "slices"), (-1, -1, -1)
    # the pictures beside the ZStep folders are projections of them: an image of their own
    return (*key, "slices" if z else "flat"), (t, int(match["wave"] or 0), z)


def _tokens(path: str) -> tuple[tuple, Index] | None:
    folder, name = posixpath.split(path)
    stem, _, extension = name.rpartition(".")
    where: dict[str, int] = {}
    for match in _TOKEN.finditer(stem):
        axis = _AXIS[match[1].lower()]
        if axis in where:
            return None
        where[axis] = int(match[2])
    if len(where) < 2:
        return None
    pattern = _TOKEN.sub(lambda m: f"{m[1]}<>", stem)
    return ("tokens", folder, pattern, extension.lower()), tuple(where.get(a, 0) for a in "tcz")  # type: ignore


def _renumber(members: dict[str, Index]) -> dict[str, Index] | None:
    """Numbers from zero, if the files fill their grid, else None."""
    planes = {p: i for p, i in members.items() if i[0] >= 0}
    values = [sorted({i[k] for i in planes.values()}) for k in range(3)]
    count = len(values[0]) * len(values[1]) * len(values[2])
    if len(planes) < 2 or count != len(planes) or len(set(planes.values())) != count:
        return None
    return {
        p: tuple(values[k].index(i[k]) for k in range(3)) if p in planes else (-1, -1, -1)  # type: ignore
        for p, i in members.items()
    }
