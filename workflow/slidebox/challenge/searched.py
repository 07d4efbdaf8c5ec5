"""What has been searched for hidden truth and had none: it isn't searched again while it, the
hidden truth and the search itself stay the same.

Kept beside the private folders of a challenge. A folder of ``public/`` is known by the names, sizes
and times of its files (those of a Zarr array all together), a study in the vault by its digests.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from importlib import metadata
from pathlib import Path

from ..atomic import write_json
from . import containers

NAME = "searched.json"
SETTLED = 2  # seconds after which a change shows in a file's times, also where these are coarse


class Searched:
    """Places without findings, for one set of hidden truth.

    Parameters
    ----------
    folder : where the file is kept. key : digest of what is looked for.
    """

    def __init__(self, folder: Path, key: str) -> None:
        self._path = folder / NAME
        self._key = hashlib.sha256(f"{key}\n{_software()}".encode()).hexdigest()
        self._before: dict[str, str] = {}
        self._now: dict[str, str] = {}
        try:
            data = json.loads(self._path.read_text("utf-8"))
            self._before = data["places"] if data["key"] == self._key else {}
        except (OSError, ValueError, KeyError, TypeError):
            pass  # searched anew

    def is_known(self, place: str, state: str) -> bool:
        """Whether a place had no findings in this state; it is remembered if so."""
        known = bool(state) and self._before.get(place) == state
        if known:
            self._now[place] = state
        return known

    def add(self, place: str, state: str) -> None:
        """A place that was searched and had none; a state that says nothing isn't remembered."""
        if state:
            self._now[place] = state

    def write(self) -> None:
        write_json(self._path, {"key": self._key, "places": self._now})


def _software() -> str:
    """Digest of all of this library, whose readers see what is searched, and of what it uses."""
    total = hashlib.sha256()
    for path in sorted(Path(__file__).parents[1].rglob("*.py")):
        total.update(path.read_bytes())
    used = sorted(f"{d.name} {d.version}" for d in metadata.distributions())
    total.update("\n".join(used).encode())
    return total.hexdigest()


def places(root: Path, files: Iterable[Path]) -> Iterator[tuple[str, str, list[Path]]]:
    """(name, state, files) of the folders of a tree; a Zarr is one with all that is below it."""
    files = list(files)
    arrays = {p.parent for p in files if p.name in containers.ZARR}
    of: dict[Path, list[Path]] = defaultdict(list)
    top: dict[Path, Path] = {}
    for path in files:
        folder = path.parent
        if folder not in top:
            above = [p for p in (folder, *folder.parents) if p in arrays and p != root]
            top[folder] = above[-1] if above else folder
        of[top[folder]].append(path)
    for folder, members in of.items():
        lines = []
        newest = 0.0
        try:
            for path in members:
                about = path.stat()
                times = f"{about.st_size} {about.st_mtime_ns} {about.st_ctime_ns}"
                newest = max(newest, about.st_ctime)
                lines.append(f"{path.relative_to(folder)}\0{times}\n")
            state = hashlib.sha256("".join(lines).encode("utf-8", "surrogateescape")).hexdigest()
        except FileNotFoundError:  # another release or study was being renamed
            state = ""
        if newest > time.time() - SETTLED:
            state = ""
        yield folder.relative_to(root).as_posix(), state, members
