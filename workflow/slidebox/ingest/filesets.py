"""filesets.json: the record and which files are one image, read without holding all of them.

It is JSON, written so that each fileset stands on a line of its own: a study of a million files is
read line by line in little memory. Laid out otherwise (by hand, or by an older Slidebox) it is read
whole.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from slidebox import atomic

_OPEN, _CLOSE = ', "filesets": [\n', "]}\n"


def write(path: Path, head: dict[str, Any], filesets: Iterable[dict[str, Any]]) -> None:
    """Write `head` (accession, kind, slices, record: what there is) and the filesets."""
    with atomic.replacing(path) as handle:
        handle.write(json.dumps(head, ensure_ascii=False)[:-1] + _OPEN)
        comma = ""
        for fileset in filesets:
            handle.write(comma + json.dumps(fileset, ensure_ascii=False))
            comma = ",\n"
        handle.write("\n" + _CLOSE)


def head(path: Path) -> dict[str, Any]:
    """What stands before the filesets."""
    with path.open(encoding="utf-8") as handle:
        first = handle.readline()
    if first.endswith(_OPEN):
        return json.loads(first.removesuffix(_OPEN) + "}")
    whole = json.loads(path.read_bytes())
    del whole["filesets"]
    return whole


def each(path: Path) -> Iterator[dict[str, Any]]:
    """The filesets, one at a time."""
    with path.open(encoding="utf-8") as handle:
        yield from parse(handle)


def parse(lines: Iterable[str]) -> Iterator[dict[str, Any]]:
    """The filesets of an open file, or of the lines of one."""
    lines = iter(lines)
    first = next(lines, "")
    if not first.endswith(_OPEN):
        yield from json.loads(first + "".join(lines))["filesets"]
        return
    for line in lines:
        if line == _CLOSE:
            return
        if text := line.rstrip(",\n"):
            yield json.loads(text)
    raise ValueError("the list of filesets is cut off")
