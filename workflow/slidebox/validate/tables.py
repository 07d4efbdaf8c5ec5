"""Annotation tables and tracks: what they refer to must exist.

Known kinds: the Cell Tracking Challenge's tracks (``L B E P`` a line: label, first and last frame,
parent), and tables with a line of names (CSV, TSV) whose columns hold coordinates in pixels or the
names of images. Others are left alone.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from ..faults import machines_fault
from ..record.inside import open_inside
from .collect import Collector

MAX_BYTES = 64 << 20
_IMAGE_COLUMNS = {"image", "imagename", "imagepath", "imagefile", "filename", "sourceimage"}
_EACH = 20


def check_tables(
    folder: Path, filesets: list[dict[str, Any]], annotation_parts: set[str], out: Collector
) -> None:
    """Look into the tables of annotation sets; unreadable ones are left as they are."""
    tables = [f for f in filesets if f["role"] == "table" and f["part"] in annotation_parts]
    if not tables:
        return
    by_path = {f["path"]: f for f in filesets}
    names = {f["path"] for f in filesets} | {p["path"] for f in filesets for p in f["files"]}
    names |= {n.rsplit("/", 1)[-1] for n in names}
    names |= {n.rsplit("/", 1)[-1].split(".", 1)[0] for n in names}
    for fileset in tables:
        suffix = fileset["path"].rsplit(".", 1)[-1].lower()
        if suffix not in ("csv", "tsv", "txt") or fileset["bytes"] > MAX_BYTES:
            continue
        try:
            with open_inside(folder, fileset["path"]) as handle:
                text = handle.read(MAX_BYTES).decode("utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            if machines_fault(error):
                raise
            continue
        source = by_path.get(fileset.get("source_image") or "")
        sizes = _sizes(source)
        if is_tracks(text):
            findings: Iterable = check_tracks(text, sizes.get("t"))
        else:
            findings = check_columns(text, suffix, sizes, names)
        for n, (code, message, line, field) in enumerate(findings):
            if n == _EACH:
                out.add(code, "and more of this kind in this file", fileset["path"])
                break
            out.add(code, message, fileset["path"], line=line, field=field)


def _sizes(source: dict[str, Any] | None) -> dict[str, int]:
    if not source or not source.get("series"):
        return {}
    one = source["series"][0]
    return dict(zip(one["axes"], one["shape"], strict=True))


def is_tracks(text: str) -> bool:
    """Whether every line is four whole numbers, as in ``man_track.txt``."""
    lines = [line for line in text.splitlines() if line.strip()]
    return bool(lines) and all(re.fullmatch(r"\s*\d+ +\d+ +\d+ +\d+\s*", line) for line in lines)


def check_tracks(text: str, frames: int | None) -> Iterator[tuple[str, str, int, str]]:
    """(code, message, line, field) for tracks that end before they begin or have no parent."""
    rows = [
        (n, *map(int, line.split())) for n, line in enumerate(text.splitlines(), 1) if line.strip()
    ]
    ends = {label: end for _, label, _, end, _ in rows}
    seen: set[int] = set()
    for n, label, begin, end, parent in rows:
        if label in seen:
            yield "TRACK_TWICE", f"the track {label} is given twice", n, "L"
        seen.add(label)
        if begin > end:
            message = f"the track {label} begins in frame {begin} and ends in {end}"
            yield "TRACK_TIME", message, n, "B"
        if frames is not None and end >= frames:
            message = f"the track {label} ends in frame {end}, the image has 0 to {frames - 1}"
            yield "TRACK_TIME", message, n, "E"
        if parent and parent not in ends:
            message = f"the parent {parent} of the track {label} is no track"
            yield "TRACK_PARENT", message, n, "P"
        elif parent and ends[parent] >= begin:
            message = (
                f"the track {label} begins in frame {begin}, its parent ends in {ends[parent]}"
            )
            yield "TRACK_TIME", message, n, "B"


def check_columns(
    text: str, suffix: str, sizes: dict[str, int], names: set[str]
) -> Iterator[tuple[str, str, int | None, str]]:
    """(code, message, line, field) for points outside their image and images that are not there."""
    delimiter = "\t" if suffix == "tsv" or "\t" in text.split("\n", 1)[0] else ","
    reader = csv.reader(io.StringIO(text), delimiter=delimiter)
    try:
        header = next(reader, [])
        plain = ["".join(c for c in name.casefold() if c.isalnum()) for name in header]
        axes = {i: a for i, a in enumerate(plain) if a in sizes and a in "tzyx"}
        images = [i for i, name in enumerate(plain) if name in _IMAGE_COLUMNS]
        if not {"x", "y"} <= set(axes.values()):
            axes = {}
        missing: set[str] = set()
        for row in reader:
            for i, axis in axes.items():
                value = _number(row[i]) if i < len(row) else None
                if value is not None and not -0.5 <= value <= sizes[axis]:
                    yield (
                        "POINT_OUTSIDE",
                        f"{header[i]} is {value:g}, the image has {sizes[axis]} along {axis}",
                        reader.line_num,
                        header[i],
                    )
            for i in images:
                value = row[i].strip() if i < len(row) else ""
                if value and value not in names and value not in missing:
                    missing.add(value)
                    if value.replace("\\", "/").rsplit("/", 1)[-1] not in names:
                        yield (
                            "TABLE_IMAGE",
                            f"{value[:120]!r} is none of the submission's files",
                            reader.line_num,
                            header[i],
                        )
    except csv.Error:
        return


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
