"""Images written as one file a plane: which names belong together, by their tokens alone.

Two kinds are found: names with at least two of time, channel and z as ``_T001_C02_Z03`` (also
``t``, ``c``, ``ch``, ``w``, ``z``), and ImageXpress' ``<plate>_<well>_s<site>_w<channel><id>.tif``
in folders ``TimePoint_<n>`` and ``ZStep_<n>``. A site or field is an image of its own. When a
quarter of the planes or more are missing, the files may not be what they look like and stay apart;
fewer are an error that names them.

Any other names are joined by a pattern: ``img_T<01-10>_C<DAPI,GFP>_Z<>.tif``.
"""

from __future__ import annotations

import itertools
import math
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

_PATTERN = re.compile(r"(?P<before>[A-Za-z]*)(?P<gap>[_=-]?)<(?P<values>[^<>/]*)>")
_MANY = 100_000

Index = tuple[int, int, int]


class PatternError(ValueError):
    """A pattern that can't be understood, or whose files aren't all there."""


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
    for key, members in groups.items():
        numbered = _renumber(members, gaps=key[0] == "tokens")
        if numbered is not None:
            result[min(p for p, i in numbered.items() if i[0] >= 0)] = numbered
    return result


def from_file(text: str) -> str:
    """The pattern that a ``.pattern`` file holds (Bio-Formats'), beside which its files lie."""
    line = next((part.strip() for part in text.splitlines() if part.strip()), "")
    line = line.replace("\\", "/")
    inside = not posixpath.isabs(line) and ":" not in line[:2] and ".." not in line.split("/")
    return line if inside else posixpath.basename(line)


def is_pattern(name: str) -> bool:
    """Whether a file name is a pattern of names."""
    return "<" in name and _PATTERN.search(name) is not None


def base(pattern: str) -> str:
    """The folder, up to the first ``<``, that a pattern's files lie in."""
    return posixpath.dirname(pattern.partition("<")[0])


def expand(pattern: str, names: Iterable[str]) -> tuple[dict[str, Index], dict[str, list[str]]]:
    """The files that a pattern stands for, and the values of each axis in order.

    ``<01-10>`` counts (zeros are kept, ``<00-20:5>`` in steps), ``<DAPI,GFP>`` lists, ``<>`` is any
    number that is there. The letters before it say the axis: T, C or Z, also time, ch, channel, w,
    and man_track, man_seg and mask, the Cell Tracking Challenge's frames.

    Returns
    -------
    ({name: (t, c, z)}, {axis: values}) ; names are taken from ``names``, as they are written there.

    Raises
    ------
    PatternError : for an unknown axis, an empty list, or files that are missing, by name.
    """
    names = set(names)
    pieces, axes, values = [], [], []
    at = 0
    for match in _PATTERN.finditer(pattern):
        axis = _axis(match["before"])
        if axis is None or axis in axes:
            what = "twice" if axis in axes else "which axis it is"
            raise PatternError(
                f"{pattern}: {match[0]!r} doesn't say {what}; write T<>, C<> or Z<>"
                if axis is None
                else f"{pattern}: axis {axis} stands there {what}"
            )
        pieces.append(pattern[at : match.start("values") - 1])
        axes.append(axis)
        values.append(_values(match["values"], pattern))
        at = match.end()
    pieces.append(pattern[at:])
    if not axes:
        raise PatternError(f"{pattern}: it has no <...>")
    if any(v is None for v in values):
        values = _numbers_there(pieces, values, names)
        if not all(values):
            raise PatternError(f"{pattern}: no file fits")
    count = math.prod(len(v) for v in values)
    if count > _MANY:
        raise PatternError(f"{pattern}: it stands for {count} files")
    members, missing = {}, []
    for combination in itertools.product(*[range(len(v)) for v in values]):
        name = pieces[0]
        for k, number in enumerate(combination):
            name += values[k][number] + pieces[k + 1]
        index = dict(zip(axes, combination, strict=True))
        members[name] = tuple(index.get(a, 0) for a in "tcz")
        if name not in names:
            missing.append(name)
    if missing:
        raise PatternError(f"{len(missing)} of {count} files are missing: {_some(missing)}")
    return members, dict(zip(axes, values, strict=True))


def plain(pattern: str) -> str:
    """A name for what a pattern stands for: without its places and its extension."""
    stem = re.sub(r"\.[A-Za-z.]+$", "", pattern)
    text = _PATTERN.sub("", stem)
    return re.sub(r"[_\-. ]+$|^[_\-. ]+", "", re.sub(r"([_\-. ])[_\-. ]+", r"\1", text)) or stem


def _axis(letters: str) -> str | None:
    """The axis that the letters before a ``<`` name."""
    low = letters.lower()
    for word, axis in (
        ("timepoint", "t"),
        ("time", "t"),
        ("frame", "t"),
        # The Cell Tracking Challenge's man_track000.tif, man_seg000.tif and mask000.tif
        ("track", "t"),
        ("seg", "t"),
        ("mask", "t"),
        ("channel", "c"),
        ("wavelength", "c"),
        ("wave", "c"),
        ("chan", "c"),
        ("ch", "c"),
        ("slice", "z"),
        ("section", "z"),
        ("focal", "z"),
        ("plane", "z"),
    ):
        if low.endswith(word):
            return axis
    if low.endswith(("tp", "tl", "sec", "fp")):
        return "t" if low[-2] == "t" else "z"
    return {"t": "t", "c": "c", "w": "c", "z": "z"}.get(low[-1:])


def _values(text: str, pattern: str) -> list[str] | None:
    """Values of one ``<...>`` in order; None for an empty one."""
    if not text.strip():
        return None
    found = []
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d+)-(\d+)(?::(\d+))?\s*", part)
        if match is None:
            found.append(part.strip())
            continue
        first, last, step = int(match[1]), int(match[2]), int(match[3] or 1)
        if last < first or step < 1 or (last - first) // step > _MANY:
            raise PatternError(f"{pattern}: <{text}> counts nothing")
        width = len(match[1]) if match[1].startswith("0") or len(match[1]) == len(match[2]) else 0
        found += [str(n).zfill(width) for n in range(first, last + 1, step)]
    if not all(found) or len(set(found)) < len(found):
        raise PatternError(f"{pattern}: <{text}> has an empty or a double value")
    return found


def _numbers_there(pieces, values, names) -> list[list[str]]:
    """Fill the empty ``<>`` with the numbers that the files have, in their order."""
    text = re.escape(pieces[0])
    for given, piece in zip(values, pieces[1:], strict=True):
        inside = r"\d+" if given is None else "|".join(re.escape(v) for v in given)
        text += f"({inside})" + re.escape(piece)
    fits = [m for m in map(re.compile(text).fullmatch, names) if m]
    return [
        sorted({m[k + 1] for m in fits}, key=lambda v: (int(v), v)) if given is None else given
        for k, given in enumerate(values)
    ]


def _some(names: list[str]) -> str:
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(names[:5]) + more


def lacking(members: dict[str, Index]) -> str | None:
    """Which planes a sequence that was found by its names lacks: the missing names, or None."""
    there = {i for i in members.values() if i[0] >= 0}
    sizes = [max(i[k] for i in there) + 1 for k in range(3)]
    missing = sorted(set(itertools.product(*map(range, sizes))) - there)
    if not missing:
        return None
    numbers: list[dict[int, str]] = [{}, {}, {}]
    for path, index in members.items():
        for match in _TOKEN.finditer(posixpath.basename(path).rpartition(".")[0]):
            k = "tcz".index(_AXIS[match[1].lower()])
            numbers[k].setdefault(index[k], match[2])
    example = min(p for p, i in members.items() if i[0] >= 0)
    folder, name = posixpath.split(example)
    stem, _, extension = name.rpartition(".")
    named = []
    for index in missing:
        filled = _TOKEN.sub(
            lambda m, i=index: (
                m[1] + numbers["tcz".index(k := _AXIS[m[1].lower()])].get(i["tcz".index(k)], m[2])
            ),
            stem,
        )
        named.append(posixpath.join(folder, f"{filled}.{extension}"))
    return f"{len(named)} of {len(named) + len(there)} files are missing: {_some(named)}"


def is_thumbnail(path: str) -> bool:
    """Whether a name is that of a small picture beside a plane (ImageXpress)."""
    match = _XPRESS.match(posixpath.basename(path))
    return match is not None and bool(match["thumb"])


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


def _renumber(members: dict[str, Index], gaps: bool) -> dict[str, Index] | None:
    """Numbers from zero, if the files fill their grid (but for a quarter, with ``gaps``)."""
    planes = {p: i for p, i in members.items() if i[0] >= 0}
    values = [sorted({i[k] for i in planes.values()}) for k in range(3)]
    count = math.prod(len(v) for v in values)
    if len(planes) < 2 or len(set(planes.values())) != len(planes):
        return None
    if len(planes) != count and not (gaps and len(planes) > 0.75 * count):
        return None
    return {
        p: tuple(values[k].index(i[k]) for k in range(3)) if p in planes else (-1, -1, -1)  # type: ignore
        for p, i in members.items()
    }
