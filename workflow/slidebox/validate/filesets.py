"""Filesets: files that are opened together, what they are, which slice of the work they are in."""

from __future__ import annotations

import heapq
import os
import posixpath
import re
from collections.abc import Iterable
from typing import Any

TABLES = (".csv", ".tsv", ".json", ".geojson", ".xml", ".xlsx", ".parquet", ".txt", ".xls")


def role_of(fmt: str | None, path: str, annotation: bool, types: Iterable[str]) -> str:
    """``image``, ``labels``, ``table`` or ``other``.

    A readable image of an annotation set is labels, unless the set holds nothing that is drawn
    as labels.
    """
    if fmt is not None:
        if not annotation:
            return "image"
        drawn = {"segmentation_mask", "class_labels", "tracks", "weak_annotations", "other"}
        return "labels" if not list(types) or drawn & set(types) else "image"
    return "table" if os.path.splitext(path)[1].lower() in TABLES else "other"


def plate_of(fileset: dict[str, Any]) -> str | None:
    """What a fileset that is one field of a plate has in common with the plate's others."""
    series = fileset.get("series") or []
    if len(series) != 1 or not series[0].get("well"):
        return None
    folder = posixpath.dirname(fileset["path"])
    while re.fullmatch(r"(TimePoint|ZStep)_\d+", posixpath.basename(folder), re.I):
        folder = posixpath.dirname(folder)
    return f"{folder}//{series[0]['well']['plate']}"


def assign_slices(filesets: list[dict[str, Any]], n: int) -> list[dict[str, Any]]:
    """Give each fileset its ``slice`` (0 to n - 1), even by bytes.

    Labels stay with their image, and the fields of a plate together: they become one store.

    Deterministic: the largest first, to the slice with the fewest bytes, then the lowest number.
    """
    if n <= 1:
        for fileset in filesets:
            fileset["slice"] = 0
        return filesets
    by_path = {f["path"]: f for f in filesets}
    units: dict[str, list[dict[str, Any]]] = {}
    for fileset in filesets:
        head = fileset
        seen = set()
        while head.get("source_image") in by_path and head["path"] not in seen:
            seen.add(head["path"])
            head = by_path[head["source_image"]]
        units.setdefault(plate_of(head) or head["path"], []).append(fileset)
    heap = [(0, i) for i in range(n)]
    sized = sorted(units.items(), key=lambda u: (-sum(f["bytes"] for f in u[1]), u[0]))
    for _, members in sized:
        load, number = heapq.heappop(heap)
        for fileset in members:
            fileset["slice"] = number
        heapq.heappush(heap, (load + sum(f["bytes"] for f in members), number))
    return filesets
