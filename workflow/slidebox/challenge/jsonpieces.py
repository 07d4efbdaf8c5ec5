"""JSON texts in pieces, so that a large one isn't in memory as objects all at once."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

WHOLE = 16 << 20  # characters of a text, or of a piece, that is decoded in one go
OUTER = 4  # lists and objects within each other that are cut into pieces
_SPACE = re.compile(r"[ \t\r\n]*")
_decode = json.JSONDecoder().raw_decode


def pieces(text: str) -> Iterator[tuple[str, Any]]:
    """(key, value) of the text's values, one after the other, also where there is one a line.

    A small text has its values as they are. Of a larger one, long lists and objects come as several
    of at most about `WHOLE` characters each; what lies deeper than `OUTER` comes whole.

    Raises
    ------
    ValueError
        It isn't JSON.
    """
    at = _skip(text, 0)
    while at < len(text):
        if len(text) <= WHOLE:
            value, at = _decode(text, at)
            yield "", value
        else:
            at = yield from _cut(text, at, "", 0)
        at = _skip(text, at)


def _skip(text: str, at: int) -> int:
    return _SPACE.match(text, at).end()


def _cut(text: str, at: int, key: str, depth: int) -> Iterator[tuple[str, Any]]:
    """Pieces of the value that begins at a place; returns where it ends."""
    if depth >= OUTER or text[at] not in "[{":
        value, at = _decode(text, at)
        yield key, value
        return at
    of_object = text[at] == "{"
    held: Any = {} if of_object else []
    begin = at
    empty = True
    at = _skip(text, at + 1)
    while text[at : at + 1] != ("}" if of_object else "]"):
        if not empty:
            if text[at : at + 1] != ",":
                raise ValueError(f"a comma is missing at character {at}")
            at = _skip(text, at + 1)
        empty = False
        name = key
        if of_object:
            name, at = _decode(text, at)
            at = _skip(text, at)
            if not isinstance(name, str) or text[at : at + 1] != ":":
                raise ValueError(f"an object has no name at character {at}")
            at = _skip(text, at + 1)
        if at - begin > WHOLE:
            yield key, held
            held = {} if of_object else []
            begin = at
        inner, stop = _held(text, at, name, depth)
        if stop is None:  # longer than a piece: it comes by itself
            at = yield from _cut(text, at, name, depth + 1)
            begin = at
        else:
            at = stop
            if of_object:
                held[name] = inner
            else:
                held.append(inner)
        at = _skip(text, at)
    yield key, held
    return at + 1


def _held(text: str, at: int, name: str, depth: int) -> tuple[Any, int | None]:
    """A value and where it ends; None for the end of one that is too long for a piece."""
    if depth + 1 >= OUTER or text[at : at + 1] not in ("[", "{"):
        return _decode(text, at)
    try:
        # What is cut off isn't JSON: then the value is longer
        value, length = _decode(text[at : at + WHOLE // 64], 0)
    except ValueError:
        if len(text) - at <= WHOLE // 64:
            raise
    else:
        return value, at + length
    try:
        value, length = _decode(text[at : at + WHOLE], 0)
    except ValueError:
        if len(text) - at <= WHOLE:
            raise
        return None, None
    return value, at + length
