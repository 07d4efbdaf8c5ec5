"""Patterns of paths: ``*`` and ``?`` within a name, ``**`` over any number of folders."""

from __future__ import annotations

import re
from functools import lru_cache


@lru_cache(maxsize=512)
def _compiled(pattern: str) -> re.Pattern[str]:
    out = ""
    steps = pattern.split("/")
    for i, step in enumerate(steps):
        last = i == len(steps) - 1
        if step == "**":
            out += "(?:.+)" if last else "(?:[^/]+/)*"
            continue
        for char in step:
            out += {"*": "[^/]*", "?": "[^/]"}.get(char) or re.escape(char)
        out += "" if last else "/"
    return re.compile(out + r"\Z", re.S)


def fits(path: str, pattern: str) -> bool:
    """Whether a whole path fits a pattern.

    >>> fits("raw/x/a.txt", "raw/**"), fits("a.txt", "**/*.txt"), fits("raw/a.txt", "*.txt")
    (True, True, False)
    """
    return _compiled(pattern).match(path) is not None
