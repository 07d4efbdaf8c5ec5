"""ImageXpress (MetaXpress): names say well, site and wavelength, folders time point and z step.

``<plate>_<well>[_s<site>][_w<wave>][<id>].tif`` in ``TimePoint_<n>`` and ``ZStep_<n>``; the
picture beside the ZStep folders, or in ``ZStep_0``, is a projection. The plate's ``.HTD``, where it
is there, gives the layout, the wells and sites that were meant, and the names of the wavelengths.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from pathlib import Path

from ..model import Channel, UnreadableImage, Well, well
from . import plate_index as plates
from .plate_index import FieldIndex, PlateIndex, Where

NAME = re.compile(
    r"^(?P<plate>.+)_(?P<row>[A-P]|A[A-F])(?P<column>\d{2})(?:_s(?P<site>\d+))?(?:_w(?P<wave>\d+))?"
    r"(?P<thumb>_thumb)?(?P<id>[0-9A-F]{8}(?:-[0-9A-F]{4}){3}-[0-9A-F]{12})?\.tiff?$",
    re.I,
)
_STEP = re.compile(r"(TimePoint|ZStep)_(\d+)", re.I)


def looks_like(folder: Path) -> bool:
    """Whether a folder holds the pictures of such a plate (the first names tell)."""
    for n, (_, match, _, _) in enumerate(_pictures(folder)):
        if match["id"] or match["wave"]:
            return True
        if n > 50:
            return False
    return False


def well_of(path: Path) -> Well | None:
    """Where a picture lies by its name, with the plate's name; None for other names.

    Only names with MetaXpress's identifier or wavelength count: ``cells_A01.tif`` may be anything.
    """
    match = NAME.match(path.name)
    if match is None or match["thumb"] or not (match["id"] or match["wave"]):
        return None
    plate = match["plate"]
    step = _STEP.fullmatch(path.parent.name)
    if step is None or step[1].lower() == "timepoint":
        beside = any((m := _STEP.fullmatch(e.name)) and m[1].lower() == "zstep" and int(m[2]) > 0
                     for e in path.parent.iterdir())  # fmt: skip
    else:
        beside = int(step[2]) == 0
    name = f"{plate} projection" if beside else plate
    return well(name, match["row"] + match["column"], int(match["site"] or 1) - 1)


def parse(path: Path) -> PlateIndex:
    """A plate by its HTD file, or by its folder alone."""
    folder = path if path.is_dir() else path.parent
    htd = _htd(path) if path.is_file() else {}
    fields: dict[tuple, FieldIndex] = {}
    names: set[str] = set()
    waves: set[int] = set()
    for file, match, t, z in _pictures(folder):
        if match["thumb"] or (htd and match["plate"].lower() != path.stem.lower()):
            continue
        names.add(match["plate"])
        row, column = plates.row_number(match["row"]), int(match["column"]) - 1
        site, wave = int(match["site"] or 1), int(match["wave"] or 1)
        waves.add(wave)
        kind = "projection" if z == -1 else ""
        key = (row, column, site, kind)
        one = fields.setdefault(key, FieldIndex(row, column, site, kind=kind))
        where: Where = (t, wave - 1, max(z, 0))
        if where in one.planes:
            raise UnreadableImage(
                f"{file.name} and {one.planes[where].name} are the same plane", file=str(path)
            )
        one.planes[where] = file
    if not fields:
        raise UnreadableImage("no picture of an ImageXpress plate lies here", file=str(path))
    if len(names) > 1:
        raise UnreadableImage(
            f"the folder holds several plates ({', '.join(sorted(names))}); name one's HTD file",
            file=str(path),
        )
    wells = {(f.row, f.column) for f in fields.values()}
    index = PlateIndex(
        names.pop(),
        *_layout(htd, wells),
        [Channel(name=_one(htd, f"WaveName{w + 1}")) for w in range(max(waves))],
        {},
        list(fields.values()),
        whole=bool(htd),
        from_planes=True,
    )
    if htd:
        index.texts[path.name] = path.read_text("latin-1")
        _expect(index, htd, max(waves))
    return index


def _pictures(folder: Path) -> Iterator[tuple[Path, re.Match, int, int]]:
    """Pictures with time point and z step; -1 is a projection beside z steps."""
    entries = sorted(folder.iterdir())
    steps = [(e, m) for e in entries if (m := _STEP.fullmatch(e.name)) is not None and e.is_dir()]
    deep = any(m[1].lower() == "zstep" and int(m[2]) > 0 for _, m in steps)
    for entry in entries:
        match = NAME.match(entry.name)
        if match is not None:
            yield entry, match, 1, -1 if deep else 0
    for entry, step in steps:
        number = int(step[2])
        for file, match, t, z in _pictures(entry):
            if step[1].lower() == "timepoint":
                yield file, match, number, z
            else:
                yield file, match, t, number or -1


def _htd(path: Path) -> dict[str, list[str]]:
    with path.open(encoding="latin-1", newline="") as handle:
        rows = csv.reader(handle, skipinitialspace=True)
        found = {row[0].strip(): [v.strip() for v in row[1:]] for row in rows if row}
    if "HTSInfoFile" not in found:
        raise UnreadableImage("no HTD file of MetaXpress (it has no HTSInfoFile)", file=str(path))
    return found


def _one(htd: dict[str, list[str]], name: str) -> str | None:
    return (htd.get(name) or [""])[0] or None


def _layout(htd: dict[str, list[str]], wells: set[tuple[int, int]]):
    """The whole plate by its HTD; without one only the rows and columns that are there."""
    rows, columns = _one(htd, "YWells"), _one(htd, "XWells")
    if rows and columns and rows.isdigit() and columns.isdigit():
        return plates.layout(int(rows), int(columns), wells)
    return plates.layout(0, 0, wells)


def _expect(index: PlateIndex, htd: dict[str, list[str]], waves: int) -> None:
    """Put in the planes that the HTD promises and no file holds: their fields then say so."""
    count = int(_one(htd, "NWavelengths") or 0) if _one(htd, "Waves") == "TRUE" else 1
    for wave in range(waves, count):  # of none of the wells: not exported, rather than damaged
        index.notes.append(
            f"wavelength {wave + 1} ({_one(htd, f'WaveName{wave + 1}')}) was chosen and has no "
            "picture"
        )
    times = sorted({t for f in index.fields for t, _, _ in f.planes})
    meant = int(_one(htd, "TimePoints") or 0)
    if meant > len(times):
        index.notes.append(f"{meant} time points were chosen, and {len(times)} are there")
    for one in index.fields:
        depth = sorted({z for _, _, z in one.planes})
        for t in times:
            for c in range(waves):
                for z in depth:
                    one.planes.setdefault((t, c, z), Path(f"TimePoint {t}, w{c + 1}, z {z}"))
    present = {(f.row, f.column) for f in index.fields}
    for row in range(len(index.rows)):
        flags = htd.get(f"WellsSelection{row + 1}", [])
        for column, flag in enumerate(flags[: len(index.columns)]):
            if flag.upper() == "TRUE" and (row, column) not in present:
                index.notes.append(
                    f"well {index.rows[row]}{column + 1} was chosen and has no picture"
                )
