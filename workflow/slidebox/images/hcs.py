"""Plates: the fields of wells as the images of one OME-Zarr hierarchy (plate, row, well, field).

https://ngff.openmicroscopy.org/0.5/#plate-md. A field is an image like any other, at
``<row>/<column>/<field>``. What the plate's and the wells' metadata list is what is there: a field
that could not be read is left out and said, the others go on.
"""

from __future__ import annotations

import errno
import hashlib
import json
import shutil
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..findings import Finding
from . import nodes, ome, seal
from .checksum import tree_checksum
from .convert import Derived, convert, load, write_original
from .model import ImageFile, Series, UnreadableImage, Well
from .opening import open_image
from .plan import MB, Recipe
from .publication import partial, publish_folder
from .registry import format_named
from .verify import verify as verify_image

KEYS = ".fields"
"""In a plate that is being made: one JSON line a field that is there, with what it was made of."""


@dataclass(slots=True)
class PlateField:
    """A field of a plate: where it is, and what became of it."""

    series: int
    name: str
    well: Well
    derived: Derived | None = None
    problem: str | None = None


@dataclass(slots=True)
class DerivedPlate:
    """What the conversion of a plate made; ``tree``, ``bytes`` and ``objects`` as of an image."""

    name: str
    fields: list[PlateField] = field(default_factory=list)
    tree: str = ""
    bytes: int = 0
    objects: int = 0

    @property
    def problems(self) -> list[str]:
        return [f.problem for f in self.fields if f.problem]


def plates(file: ImageFile) -> list[str]:
    """Names of the plates that images of a file are fields of; others may lie beside them, such
    as an overview.
    """
    known = [s.well for s in file.series if s.role == "image" and s.well is not None]
    if len({(w.plate, w.path) for w in known}) < len(known):
        return []
    return list(dict.fromkeys(w.plate for w in known))


def is_plate(file: ImageFile) -> bool:
    """Whether a file is a plate, and not a single picture that says which well it is of."""
    whole = format_named(file.format).module in ("plate", "omezarr")
    several = sum(s.well is not None and s.role == "image" for s in file.series) > 1
    return bool(plates(file)) and (whole or several)


def convert_plate(
    source: Path | str | ImageFile,
    out: Path | str,
    *,
    plate: str | None = None,
    memory: int = 512 * MB,
    threads: int = 1,
    recipe: Recipe = Recipe(),  # noqa: B008  frozen
    progress: Callable[[int, int], None] | None = None,
) -> DerivedPlate:
    """Derive an OME-Zarr plate from all fields of a plate (of several in a file, the one named).

    ``out`` appears by a rename when every field is written and proven. A conversion that was killed
    goes on with the field that it stood in: fields that are there, of the same files and recipe,
    are kept. ``progress`` is called with (bytes done, bytes in all).

    Raises
    ------
    UnreadableImage : the file can't be opened, is no plate, or no field of it can be read.
    FileExistsError : ``out`` is there.
    Busy : another process works on the same ``out``.
    """
    out = Path(out)
    if out.exists():
        raise FileExistsError(errno.EEXIST, "there is already something", str(out))
    out.parent.mkdir(parents=True, exist_ok=True)
    file = source if isinstance(source, ImageFile) else open_image(source)
    try:
        names = plates(file)
        if not names or plate not in (None, *names):
            raise UnreadableImage("its images aren't fields of a plate", file=file.path)
        with partial(out, keep=True) as folder:
            series = [s for s in file.series if s.well and s.well.plate == (plate or names[0])]
            made = _fields(file, series, folder, memory, threads, recipe, progress)
            if not any(f.derived for f in made):
                raise UnreadableImage(
                    f"no field can be read; the first: {made[0].problem}", file=file.path
                )
            derived = finish(folder, made, recipe, file)
            publish_folder(folder, out)
    finally:
        if file is not source:
            file.close()
    return derived


def finish(
    folder: Path, fields: list[PlateField], recipe: Recipe, file: ImageFile | None = None
) -> DerivedPlate:
    """Write what makes the fields of a folder a plate: groups, metadata, OME-XML; its root last.

    Folders of fields that aren't derived, and of an earlier attempt, are removed.
    """
    there = sorted((f for f in fields if f.derived), key=lambda f: _order(f.well))
    _tidy(folder, {f.well.path for f in there})
    wells: dict[str, list[PlateField]] = {}
    for one in there:
        wells.setdefault(one.well.path.rpartition("/")[0], []).append(one)
    for path, members in wells.items():
        images = [{"path": one.well.path.rpartition("/")[2]} for one in members]
        ome_attributes = {"version": "0.5", "well": {"version": "0.5", "images": images}}
        nodes.write_group(folder / path.partition("/")[0], {}, recipe.ngff)
        nodes.write_group(folder / path, {"ome": ome_attributes}, recipe.ngff)
    name = there[0].well.plate
    attributes = {"version": "0.5", "plate": _plate(name, there, wells)}
    _check(attributes, recipe.ngff)
    nodes.write_group(folder / "OME", {}, recipe.ngff)
    ome.write_plate_xml(
        folder / "OME" / "METADATA.ome.xml",
        name,
        _layout(there),
        [(f.well, folder / f.well.path / "OME" / "METADATA.ome.xml") for f in there],
    )
    if file is not None:
        write_original(folder, file)
    left_out = [
        {"well": f.well.name, "field": f.well.field, "reason": f.problem}
        for f in fields
        if f.problem
    ]
    described = {"plate": name, "fields": len(there), "left_out": left_out}
    root = {"ome": attributes, "slidebox": described}
    groups = [p for w in wells for p in (w.partition("/")[0], w)]
    seals = [f"{p}/{f}" for p in dict.fromkeys(groups) for f in nodes.METADATA
             if (folder / p / f).is_file()]  # fmt: skip
    seal.write_root(folder, root, recipe.ngff, [*seals, "OME/"])
    (folder / KEYS).unlink(missing_ok=True)
    known = {f"{f.well.path}/": f.derived.tree for f in there if f.derived and f.derived.tree}
    tree, count, size = tree_checksum(folder, known)
    return DerivedPlate(name, fields, tree, size, count)


def verify_plate(zarr: Path | str, source: Path | str | ImageFile | None = None) -> list[Finding]:
    """Compare every field of a plate with its source, pixel for pixel; an empty list: all the same.

    Without a ``source`` every field is held to what it said of itself when it was written. Codes
    besides those of images: PLATE_FIELD_MISSING.
    """
    zarr, findings = Path(zarr), []
    try:
        _, attributes = nodes.read_group(zarr)
        name = attributes["ome"]["plate"]["name"]
        listed = _listed(zarr, attributes["ome"]["plate"])
        findings += seal.broken(zarr)
    except (OSError, ValueError, KeyError) as error:
        reason = f"not a complete plate of Slidebox: {type(error).__name__}: {error}"
        return [Finding("IMAGE_INCOMPLETE", "error", reason, file=str(zarr))]
    if source is None:
        for path in listed:
            findings += verify_image(zarr / path)
        return findings
    opened = nullcontext(source) if isinstance(source, ImageFile) else open_image(source)
    with opened as file:
        for series in file.series:
            if series.well is None or series.well.plate != name:
                continue
            if (zarr / series.well.path).is_dir():
                findings += verify_image(zarr / series.well.path, file, series.index)
            else:
                where = f"well {series.well.name} field {series.well.field}"
                findings.append(
                    Finding(
                        "PLATE_FIELD_MISSING",
                        "error",
                        f"{where} of the source isn't on the plate",
                        file=str(zarr),
                        mend="See whether its files are damaged; derive the plate again.",
                    )
                )
    return findings


def _listed(zarr: Path, plate: dict[str, Any]) -> list[str]:
    """Paths of the fields that the metadata of a plate and its wells list."""
    found = []
    for one in plate["wells"]:
        _, attributes = nodes.read_group(zarr / one["path"])
        found += [f"{one['path']}/{i['path']}" for i in attributes["ome"]["well"]["images"]]
    return found


# ---------------------------------------------------------------- fields


def _fields(
    file: ImageFile,
    chosen: list[Series],
    folder: Path,
    memory: int,
    threads: int,
    recipe: Recipe,
    progress,
) -> list[PlateField]:
    total, done, made = sum(s.nbytes for s in chosen), 0, []
    there = kept(folder)
    for series in chosen:
        one = PlateField(series.index, series.name, series.well)
        where, key = folder / series.well.path, source_key(file, series, recipe)
        if there.get(series.well.path) == key:
            one.derived = load(where)
        if one.derived is None:
            shown = None
            if progress is not None:
                start = done
                shown = lambda n, _, start=start: progress(start + n, total)  # noqa: E731
            try:
                one.derived = convert(
                    file,
                    where,
                    series=series.index,
                    memory=memory,
                    threads=threads,
                    recipe=recipe,
                    existing="replace",
                    original=False,
                    progress=shown,
                )
                keep(folder, series.well.path, key)
            except UnreadableImage as error:
                one.problem = str(error)
        done += series.nbytes
        if progress is not None:
            progress(done, total)
        made.append(one)
    return made


def source_key(file: ImageFile, series: Series, recipe: Recipe) -> str:
    """Digest of what a field is made of: its files with sizes and times, reader and recipe."""
    facts: list[Any] = [file.reader, file.reader_version, recipe.to_json(), series.name]
    for path in series.files or [file.path]:
        try:
            stat = Path(path).stat()
            facts.append([path, stat.st_size, stat.st_mtime_ns])
        except OSError:
            facts.append([path, None, None])
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def keep(folder: Path, path: str, key: str) -> None:
    """Note that a field is there, and what it was made of."""
    with (folder / KEYS).open("a", encoding="utf-8") as handle:
        handle.write(json.dumps([path, key]) + "\n")


def kept(folder: Path) -> dict[str, str]:
    """Fields of an earlier attempt, with their keys; a line that was cut off counts for nothing."""
    found: dict[str, str] = {}
    try:
        lines = (folder / KEYS).read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return found
    for line in lines:
        try:
            path, key = json.loads(line)
            found[path] = key
        except ValueError:
            continue
    return found


def _tidy(folder: Path, wanted: set[str]) -> None:
    """Remove what is neither a field that is listed nor on the way to one."""
    on_the_way = {p for path in wanted for p in _parents(path)}
    for entry in (
        sorted(folder.glob("*")) + sorted(folder.glob("*/*")) + sorted(folder.glob("*/*/*"))
    ):
        path = entry.relative_to(folder).as_posix()
        inside = any(path.startswith(f"{w}/") for w in wanted) or path.startswith("OME")
        keep = path in wanted or path in on_the_way or path == KEYS
        if keep or inside or not entry.exists():
            continue
        if entry.is_dir():
            shutil.rmtree(entry)
        else:
            entry.unlink()


def _parents(path: str) -> Iterable[str]:
    parts = path.split("/")
    return ("/".join(parts[:n]) for n in range(1, len(parts)))


# ---------------------------------------------------------------- metadata


def _order(well: Well) -> tuple:
    column = int(well.column) if well.column.isdigit() else 0
    return (len(well.row), well.row, column, well.column, well.field)


def _layout(fields: list[PlateField]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Rows and columns of the plate where its file says them, else those that hold images."""
    told = fields[0].well.layout
    if told is not None:
        return told
    rows = sorted({f.well.row for f in fields}, key=lambda r: (len(r), r))
    columns = sorted({f.well.column for f in fields}, key=lambda c: (len(c), c))
    return tuple(rows), tuple(columns)


def _plate(name: str, fields: list[PlateField], wells: dict) -> dict[str, Any]:
    rows, columns = _layout(fields)
    return {
        "version": "0.5",
        "name": name,
        "columns": [{"name": c} for c in columns],
        "rows": [{"name": r} for r in rows],
        "wells": [
            {
                "path": path,
                "rowIndex": rows.index(path.partition("/")[0]),
                "columnIndex": columns.index(path.partition("/")[2]),
            }
            for path in wells
        ],
        "field_count": max(len(members) for members in wells.values()),
    }


def _check(attributes: dict[str, Any], version: str) -> None:
    """Let ome-zarr-models judge the plate, as its readers will."""
    if version == "0.5":
        from ome_zarr_models.v05.hcs import HCSAttrs

        HCSAttrs.model_validate(attributes)
    else:
        from ome_zarr_models.v04.hcs import HCSAttrs as HCSAttrs4

        HCSAttrs4.model_validate(nodes.flat(attributes))
