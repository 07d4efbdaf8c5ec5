"""PageTab as text: the TSV form to the same tree that the JSON form gives.

Blocks are parted by blank lines. A block begins with its type: ``Submission``, a section
(``Type  accno  parent``), ``File``, ``Files``, ``Link``, ``Links`` or a table of sections
(``Type[parent]``). Its further lines are attributes, ``(name)`` and ``[name]`` qualify the name or
value of the attribute before them, ``<name>`` is a reference. Definition: EBIBioStudies,
page-tab-specification.
"""

from __future__ import annotations

import re
from typing import Any

from .json_lines import Array, Object

_TABLE = re.compile(r"(?P<type>.*)\[(?P<parent>[^\[\]]*)\]\Z")


def _rows(text: str) -> list[tuple[int, list[str]]]:
    """(line, cells); a cell between double quotes may hold line ends."""
    out: list[tuple[int, list[str]]] = []
    lines = text.split("\n")
    i = 0
    while i < len(lines):
        start, line = i + 1, lines[i].rstrip("\r")
        cells = line.split("\t")
        last = cells[-1]
        if len(last) > 1 and last[0] == '"' and not _closed(last):
            while i + 1 < len(lines) and not _closed(last):
                i += 1
                last += "\n" + lines[i].rstrip("\r")
            cells[-1] = last
        out.append((start, [_unquote(c) for c in cells]))
        i += 1
    return out


def _closed(cell: str) -> bool:
    body = cell[1:].replace('""', "")
    return body.endswith('"') or body.count('"') >= 1


def _unquote(cell: str) -> str:
    if len(cell) >= 2 and cell[0] == cell[-1] == '"':
        return cell[1:-1].replace('""', '"')
    return cell


def _put(target: Object, name: str, value: Any, line: int) -> None:
    target[name] = value
    target.lines[name] = line


def _append(target: Array, value: Any, line: int) -> None:
    target.append(value)
    target.lines.append(line)


def _list(target: Object, name: str, line: int) -> Array:
    if name not in target:
        _put(target, name, Array(line), line)
    return target[name]


def _attribute(name: str, value: str | None, line: int) -> Object:
    out = Object(line)
    if name.startswith("<") and name.endswith(">") and len(name) > 2:
        name = name[1:-1]
        _put(out, "name", name, line)
        _put(out, "value", value, line)
        _put(out, "reference", True, line)
        return out
    _put(out, "name", name, line)
    if value not in (None, ""):
        _put(out, "value", value, line)
    return out


def _attributes(holder: Object, rows: list[tuple[int, list[str]]]) -> None:
    last: Object | None = None
    for line, cells in rows:
        name = cells[0].strip()
        value = cells[1] if len(cells) > 1 else None
        if last is not None and name[:1] + name[-1:] in ("()", "[]") and len(name) > 2:
            qualifier = _attribute(name[1:-1], value, line)
            kind = "nmqual" if name[0] == "(" else "valqual"
            _append(_list(last, kind, line), qualifier, line)
            continue
        last = _attribute(name, value, line)
        _append(_list(holder, "attributes", line), last, line)


def _cells(names: list[str], cells: list[str], line: int, holder: Object) -> None:
    last: Object | None = None
    for name, cell in zip(names, cells, strict=False):
        name = name.strip()
        if cell == "" or not name:
            continue
        if last is not None and name[:1] + name[-1:] in ("()", "[]") and len(name) > 2:
            kind = "nmqual" if name[0] == "(" else "valqual"
            _append(_list(last, kind, line), _attribute(name[1:-1], cell, line), line)
            continue
        last = _attribute(name, cell, line)
        _append(_list(holder, "attributes", line), last, line)


def loads(text: str) -> Object | None:
    """The submission's tree, as ``json_lines.loads`` gives it; None when it is no submission."""
    blocks: list[list[tuple[int, list[str]]]] = []
    fresh = True
    for line, cells in _rows(text):
        if not any(c.strip() for c in cells):
            fresh = True
            continue
        if cells[0].startswith("#"):
            continue
        if fresh:
            blocks.append([])
            fresh = False
        blocks[-1].append((line, cells))
    if not blocks or blocks[0][0][1][0].strip() != "Submission":
        return None
    line, head = blocks[0][0]
    root = Object(line)
    if len(head) > 1 and head[1].strip():
        _put(root, "accno", head[1].strip(), line)
    _put(root, "type", "submission", line)
    _attributes(root, blocks[0][1:])
    sections: dict[str, Object] = {}
    current: Object | None = None
    for block in blocks[1:]:
        line, head = block[0]
        kind = head[0].strip()
        if kind in ("File", "Link") and current is not None:
            one = Object(line)
            _put(one, "path" if kind == "File" else "url", [*head, ""][1].strip(), line)
            _attributes(one, block[1:])
            _append(_list(current, "files" if kind == "File" else "links", line), one, line)
        elif kind in ("Files", "Links") and current is not None:
            table = Array(line)
            for at, cells in block[1:]:
                one = Object(at)
                _put(one, "path" if kind == "Files" else "url", cells[0].strip(), at)
                _cells(head[1:], cells[1:], at, one)
                _append(table, one, at)
            _append(_list(current, kind.lower(), line), table, line)
        elif found := _TABLE.match(kind):
            parent = sections.get(found["parent"].strip()) or root.get("section")
            table = Array(line)
            for at, cells in block[1:]:
                one = Object(at)
                if cells[0].strip():
                    _put(one, "accno", cells[0].strip(), at)
                    sections[cells[0].strip()] = one
                _put(one, "type", found["type"].strip(), at)
                _cells(head[1:], cells[1:], at, one)
                _append(table, one, at)
            if parent is not None:
                _append(_list(parent, "subsections", line), table, line)
        else:
            section = Object(line)
            accno = head[1].strip() if len(head) > 1 else ""
            if accno:
                _put(section, "accno", accno, line)
                sections[accno] = section
            _put(section, "type", kind, line)
            _attributes(section, block[1:])
            current = section
            if "section" not in root:
                _put(root, "section", section, line)
                continue
            parent = sections.get(head[2].strip()) if len(head) > 2 else None
            parent = root["section"] if parent is None or parent is section else parent
            _append(_list(parent, "subsections", line), section, line)
    return root
