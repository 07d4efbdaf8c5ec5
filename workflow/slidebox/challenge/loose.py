"""Numbers in texts that are no tables: logs, YAML, TOML, LaTeX, SQL, scripts of pages, prose."""

from __future__ import annotations

import re
from collections import defaultdict

import numpy as np

LARGEST = 16 << 20  # characters that are looked at
MOST_NUMBERS = 12  # of a place in a text
FEWEST = 3  # rows
LONGEST = 400  # characters of a line that tells a number of an image
_NUMBER = re.compile(r"(?<![\w.])[-+]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?(?!\w)")
_END = re.compile(r"[\n)}\]]+")
_FIELD = re.compile(
    r"^[ \t]*(?:-[ \t]+)?[\"']?([A-Za-z_][\w -]{0,40}?)[\"']?[ \t]*[:=][ \t]*"
    r"([-+]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?)[ \t]*,?\r?$",
    re.M,
)
_WORDS = re.compile(r"[\s:;,|&()\[\]{}\"'`=<>*]+")


def places(text: str) -> list[np.ndarray]:
    """(N, numbers) Numbers that stand alike: with the same words between them, up to a line's end
    or a closing bracket."""
    found: dict[str, list[list[float]]] = defaultdict(list)
    for piece in _END.split(text[:LARGEST]):
        numbers = _NUMBER.findall(piece) if len(piece) <= LONGEST else []
        if 2 <= len(numbers) <= MOST_NUMBERS:
            found[_NUMBER.sub("#", piece).strip()].append([float(n) for n in numbers])
    return [np.array(rows) for rows in found.values() if len(rows) >= FEWEST]


def fields(text: str) -> tuple[list[str], list[list[str]]]:
    """(names, rows) of what is written as a line a number: `x: 1`, `y: 2`, `x: 3`, ..."""
    columns: dict[str, list[str]] = defaultdict(list)
    for name, number in _FIELD.findall(text[:LARGEST]):
        columns[name].append(number)
    most = max(map(len, columns.values()), default=0)
    full = {name: column for name, column in columns.items() if len(column) == most}
    if most < FEWEST or len(full) < 2:
        return [], []
    return list(full), [list(row) for row in zip(*full.values(), strict=True)]


def lines(text: str) -> list[list[str]]:
    """Words and numbers of each line that has both."""
    rows = []
    for line in text[:LARGEST].splitlines():
        if len(line) <= LONGEST:
            words = [w.rstrip(".") for w in _WORDS.split(line) if w]
            if len(words) > 1 and any(w[:1].isdigit() for w in words):
                rows.append(words)
    return rows
