"""Long lists in pages that are numbered from the oldest: what is new changes the first page alone.

The first page, which has no number, holds the newest, a full page or nearly two.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path


def pages[Item](
    newest_first: Sequence[Item], size: int
) -> Iterator[tuple[int | None, Sequence[Item]]]:
    """The first page as (None, its items), then the others from the newest, each with its number.

    The number of the second is how many others there are.
    """
    kept = max(0, len(newest_first) // size - 1)
    full = len(newest_first) - kept * size
    yield None, newest_first[:full]
    for page in range(kept, 0, -1):
        first = full + (kept - page) * size
        yield page, newest_first[first : first + size]


def name(stem: str, page: int | None, suffix: str) -> str:
    """``stem.suffix``, or ``stem-<page>.suffix``."""
    return f"{stem}-{page}{suffix}" if page else f"{stem}{suffix}"


def tidy(folder: Path, stem: str, kept: int, suffix: str) -> None:
    """Remove pages of a number beyond ``kept``, of a list that has become shorter."""
    for old in folder.glob(f"{stem}-*{suffix}"):
        number = old.name.removeprefix(f"{stem}-").removesuffix(suffix)
        if number.isdecimal() and int(number) > kept:
            old.unlink()
