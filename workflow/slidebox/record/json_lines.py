"""JSON with line numbers: dicts and lists that know where their values begin.

``json`` itself says no lines, and findings need them. Made for records (at most a few MB); long
file lists are read with :func:`elements`, which is as fast as ``json``.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from collections.abc import Iterator
from json.decoder import scanstring
from typing import Any

MAX_DEPTH = 60
_SPACE = re.compile(r"[ \t\n\r]*")
_NUMBER = re.compile(r"-?(?:0|[1-9]\d*)(\.\d+)?([eE][-+]?\d+)?")
_WORDS = {"true": True, "false": False, "null": None}


class Object(dict):
    """A JSON object; ``lines`` has the line of each name, ``line`` its own."""

    __slots__ = ("line", "lines")

    def __init__(self, line: int = 0) -> None:
        super().__init__()
        self.line = line
        self.lines: dict[str, int] = {}


class Array(list):
    """A JSON array; ``lines`` has the line of each element, ``line`` its own."""

    __slots__ = ("line", "lines")

    def __init__(self, line: int = 0) -> None:
        super().__init__()
        self.line = line
        self.lines: list[int] = []


class BadJson(ValueError):
    """Not JSON, or more than is taken; ``line`` says where."""

    def __init__(self, message: str, line: int) -> None:
        super().__init__(message)
        self.line = line


class _Parser:
    def __init__(self, text: str) -> None:
        self.text = text
        self.breaks = [m.start() for m in re.finditer("\n", text)]
        self.twice: list[tuple[str, int]] = []

    def line(self, at: int) -> int:
        return bisect_right(self.breaks, at - 1) + 1

    def skip(self, at: int) -> int:
        return _SPACE.match(self.text, at).end()

    def fail(self, message: str, at: int) -> None:
        raise BadJson(message, self.line(at))

    def value(self, at: int, depth: int) -> tuple[Any, int]:
        if depth > MAX_DEPTH:
            self.fail(f"values are nested more than {MAX_DEPTH} deep", at)
        text = self.text
        first = text[at : at + 1]
        if first == '"':
            return self.string(at)
        if first == "{":
            return self.object(at, depth)
        if first == "[":
            return self.array(at, depth)
        for word, value in _WORDS.items():
            if text.startswith(word, at):
                return value, at + len(word)
        if number := _NUMBER.match(text, at):
            whole = not (number[1] or number[2])
            if len(number[0]) > 400:
                self.fail("a number has more than 400 digits", at)
            return (int if whole else float)(number[0]), number.end()
        self.fail("a value is missing or not JSON", at)
        raise AssertionError

    def string(self, at: int) -> tuple[str, int]:
        try:
            return scanstring(self.text, at + 1, False)
        except json.JSONDecodeError as error:
            self.fail(error.msg.lower(), error.pos)
            raise

    def object(self, at: int, depth: int) -> tuple[Object, int]:
        out = Object(self.line(at))
        at = self.skip(at + 1)
        if self.text[at : at + 1] == "}":
            return out, at + 1
        while True:
            if self.text[at : at + 1] != '"':
                self.fail("a name in quotes is missing (or a comma is too many)", at)
            line = self.line(at)
            name, at = self.string(at)
            at = self.skip(at)
            if self.text[at : at + 1] != ":":
                self.fail("a colon is missing", at)
            value, at = self.value(self.skip(at + 1), depth + 1)
            if name in out:
                self.twice.append((name, line))
            out[name] = value
            out.lines[name] = line
            at = self.skip(at)
            sign = self.text[at : at + 1]
            if sign == "}":
                return out, at + 1
            if sign != ",":
                self.fail("a comma or } is missing", at)
            at = self.skip(at + 1)

    def array(self, at: int, depth: int) -> tuple[Array, int]:
        out = Array(self.line(at))
        at = self.skip(at + 1)
        if self.text[at : at + 1] == "]":
            return out, at + 1
        while True:
            out.lines.append(self.line(at))
            value, at = self.value(at, depth + 1)
            out.append(value)
            at = self.skip(at)
            sign = self.text[at : at + 1]
            if sign == "]":
                return out, at + 1
            if sign != ",":
                self.fail("a comma or ] is missing", at)
            at = self.skip(at + 1)


def loads(text: str) -> tuple[Any, list[tuple[str, int]]]:
    """(value, names given twice with their line).

    Raises
    ------
    BadJson : with the line.
    """
    parser = _Parser(text)
    value, at = parser.value(parser.skip(0), 0)
    at = parser.skip(at)
    if at != len(text):
        parser.fail("something follows the end", at)
    return value, parser.twice


def elements(text: str) -> Iterator[tuple[int, Any]]:
    """(line, value) of each element of a top-level array, read by ``json`` one after another."""
    decoder = json.JSONDecoder()
    at = _SPACE.match(text).end()
    line, counted = 1, 0
    if text[at : at + 1] != "[":
        raise BadJson("the list is no JSON array", 1)
    at = _SPACE.match(text, at + 1).end()
    if text[at : at + 1] == "]":
        return
    while True:
        line += text.count("\n", counted, at)
        counted = at
        try:
            value, at = decoder.raw_decode(text, at)
        except (json.JSONDecodeError, RecursionError) as error:
            raise BadJson(getattr(error, "msg", "nested too deep").lower(), line) from None
        yield line, value
        at = _SPACE.match(text, at).end()
        sign = text[at : at + 1]
        if sign == "]":
            return
        if sign != ",":
            raise BadJson("a comma or ] is missing", line)
        at = _SPACE.match(text, at + 1).end()


def plain(value: Any) -> Any:
    """Ordinary dicts and lists of the same values."""
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    if isinstance(value, list):
        return [plain(v) for v in value]
    return value
