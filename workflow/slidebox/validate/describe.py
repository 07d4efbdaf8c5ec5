"""A line about an image, for the file that ``slidebox init`` writes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .opening import Children
from .settings import Settings


def describe(path: Path) -> str | None:
    """What an image says of itself, as ``ome-tiff, tczyx 2 x 3 x 5 x 512 x 512 uint16, ...``.

    Opened in a child with limits, as validation does it; None when it is no readable image.
    """
    from ..images import can_read

    if path.is_symlink() or not path.is_file() or can_read(path) is None:
        return None
    with Children(path.parent, Settings(seconds=30)) as children:
        answer = next(children.inspect([(path.name, path.stat().st_size)]))[1]
    if not answer.get("series"):
        return None
    return line(answer["format"], answer["series"])


def line(fmt: str, series: list[dict[str, Any]]) -> str:
    """The line for one file."""
    one = series[0]
    said = f"{fmt}, {one['axes']} {' x '.join(map(str, one['shape']))} {one['dtype']}"
    sizes = {a: v for a, v in (one.get("pixel_size") or {}).items() if v}
    if sizes:
        said += ", " + " ".join(f"{a} {v:.4g}" for a, v in sizes.items()) + " µm"
    if one.get("time_step"):
        said += f", every {one['time_step']:.4g} s"
    names = [c["name"] for c in one.get("channels", []) if c.get("name")]
    if names:
        said += f", channels {', '.join(names[:8])}"
    if len(series) > 1:
        said += f"; {len(series)} series"
    return " ".join(said.split())
