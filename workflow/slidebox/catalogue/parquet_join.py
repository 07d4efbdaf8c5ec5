"""Parquet files strung together into one without reading a row.

The rows of a Parquet file are *row groups*, and only its footer says where they are. So the bytes
of several files' row groups one after the other, and one footer with shifted offsets, are a file
with all their rows: what joining costs is copying bytes. The footer is Thrift's compact protocol:
https://github.com/apache/parquet-format/blob/master/src/main/thrift/parquet.thrift
https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from slidebox.catalogue.words import varint

MAGIC = b"PAR1"
_I16, _I32, _I64, _BINARY, _LIST, _SET, _MAP, _STRUCT = 4, 5, 6, 8, 9, 10, 11, 12
_FIXED = {1: 0, 2: 0, 3: 1, 7: 8}  # bytes of booleans (in the header), bytes and doubles

# Fields of parquet.thrift: of a file's metadata, and the offsets in what it holds.
_VERSION, _SCHEMA, _ROWS, _GROUPS, _PAIRS, _BY, _ORDERS = 1, 2, 3, 4, 5, 6, 7
_SHIFT, _ORDINAL = "shift", "ordinal"
_COLUMN_METADATA = {9: _SHIFT, 10: _SHIFT, 11: _SHIFT, 14: _SHIFT}
_COLUMN = {2: _SHIFT, 3: _COLUMN_METADATA, 4: _SHIFT, 6: _SHIFT}
_GROUP = {1: _COLUMN, 5: _SHIFT, 7: _ORDINAL}


@dataclass(frozen=True, slots=True)
class _Footer:
    """A file's metadata: each field's type and bytes, where its row groups end, and how many
    rows it has."""

    fields: dict[int, tuple[int, bytes]]
    groups: list[bytes]
    end: int
    rows: int


def join(parts: list[Path], out: IO[bytes]) -> list[int]:
    """Write all rows of ``parts``, in this order, to ``out``.

    Returns how many bytes each has brought: the first lie behind the magic word, and so on.

    Raises ValueError when the parts' columns differ or a part is no whole Parquet file.
    """
    out.write(MAGIC)
    at, rows, groups, sizes = len(MAGIC), 0, [], []
    first: _Footer | None = None
    for path in parts:
        with path.open("rb") as file:
            footer = _read(path, file)
            first = first or footer
            if any(footer.fields.get(f) != first.fields.get(f) for f in (_SCHEMA, _PAIRS)):
                raise ValueError(f"{path}: its columns are not those of {parts[0]}")
            for group in footer.groups:
                shifted = bytearray()
                _struct(group, 0, _GROUP, at - len(MAGIC), len(groups), shifted)
                groups.append(bytes(shifted))
            file.seek(len(MAGIC))
            sizes.append(footer.end - len(MAGIC))
            _copy(file, out, sizes[-1])
            at += sizes[-1]
            rows += footer.rows
    if first is None:
        raise ValueError("nothing to join")
    fields = dict(first.fields)
    fields[_ROWS] = (_I64, varint(rows << 1))
    size = len(groups)
    head = bytes([size << 4 | _STRUCT]) if size < 15 else bytes([0xF0 | _STRUCT]) + varint(size)
    fields[_GROUPS] = (_LIST, head + b"".join(groups))
    footer = _written(fields)
    out.write(footer + len(footer).to_bytes(4, "little") + MAGIC)
    return sizes


def _copy(file: IO[bytes], out: IO[bytes], size: int) -> None:
    while size:
        block = file.read(min(size, 1 << 20))
        if not block:
            raise ValueError(f"{file.name} is not whole")
        out.write(block)
        size -= len(block)


def _read(path: Path, file: IO[bytes]) -> _Footer:
    size = file.seek(0, 2)
    file.seek(max(0, size - 8))
    tail = file.read(8)
    end = size - 8 - int.from_bytes(tail[:4], "little")
    if tail[4:] != MAGIC or end < len(MAGIC):
        raise ValueError(f"{path} is no whole Parquet file")
    file.seek(end)
    data = file.read(size - 8 - end)
    fields = {number: (kind, data[at:stop]) for number, kind, _, at, stop in _fields(data, 0)}
    groups = fields[_GROUPS][1]
    count, at = groups[0] >> 4, 1
    if count == 15:
        count, at = _varint(groups, 1)
    found = []
    for _ in range(count):
        stop = _skip(groups, at, _STRUCT)
        found.append(groups[at:stop])
        at = stop
    rows, _ = _varint(fields[_ROWS][1], 0)
    return _Footer(fields, found, end, rows >> 1)


def _varint(data: bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        byte = data[at]
        at += 1
        number |= (byte & 127) << shift
        if byte < 128:
            return number, at
        shift += 7


def _fields(data: bytes, at: int) -> Iterator[tuple[int, int, int, int, int]]:
    """Number and type of each field of a struct, and where its header, its value and what follows
    begin."""
    number = 0
    while kind := data[at] & 15:
        head, delta = at, data[at] >> 4
        at += 1
        if delta:
            number += delta
        else:
            coded, at = _varint(data, at)
            number = coded >> 1 ^ -(coded & 1)
        stop = _skip(data, at, kind)
        yield number, kind, head, at, stop
        at = stop


def _skip(data: bytes, at: int, kind: int) -> int:
    """Where a value ends."""
    if kind in _FIXED:
        return at + _FIXED[kind]
    if kind in (_I16, _I32, _I64):
        while data[at] > 127:
            at += 1
        return at + 1
    if kind == _BINARY:
        size, at = _varint(data, at)
        return at + size
    if kind in (_LIST, _SET):
        count, of = data[at] >> 4, data[at] & 15
        at += 1
        if count == 15:
            count, at = _varint(data, at)
        for _ in range(count):
            at = at + 1 if of in (1, 2) else _skip(data, at, of)
        return at
    if kind == _STRUCT:
        while kind := data[at] & 15:
            long = data[at] < 16
            at += 1
            if long:
                _, at = _varint(data, at)
            at = _skip(data, at, kind)
        return at + 1
    raise ValueError(f"a footer with a value of type {kind}")


def _struct(data: bytes, start: int, known: dict, by: int, ordinal: int, out: bytearray) -> int:
    """Copy a struct to ``out``, its offsets shifted ``by`` so many bytes; returns where it ends."""
    stop = start
    for number, kind, head, at, stop in _fields(data, start):
        out += data[head:at]
        told = known.get(number)
        if told is None:
            out += data[at:stop]
        elif told is _SHIFT:
            offset, _ = _varint(data, at)
            # 0 is what writers put who leave it out.
            out += varint(offset + 2 * by if offset else 0)
        elif told is _ORDINAL:
            out += varint(2 * (ordinal & 0x7FFF))
        elif kind == _LIST:
            count, inner = data[at] >> 4, at + 1
            if count == 15:
                count, inner = _varint(data, inner)
            out += data[at:inner]
            for _ in range(count):
                inner = _struct(data, inner, told, by, ordinal, out)
        else:
            _struct(data, at, told, by, ordinal, out)
    out.append(0)
    return stop + 1


def _written(fields: dict[int, tuple[int, bytes]]) -> bytes:
    out = bytearray()
    last = 0
    for number, (kind, value) in sorted(fields.items()):
        out.append(number - last << 4 | kind)
        out += value
        last = number
    out.append(0)
    return bytes(out)
