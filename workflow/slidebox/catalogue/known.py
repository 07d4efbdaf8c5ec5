"""What the archive's index remembers of the last time: a line a study, and what it wrote from what.

So that one more study costs reading its card, and writing what shows it, and nothing of the other
thousands but a look at their files' times. ``catalogue/.parts/known.json`` may be deleted: the next
index then reads every card and writes every page.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from slidebox import atomic
from slidebox.catalogue.entry import Entry
from slidebox.catalogue.search import read_card

FORM = 1


class Known:
    """What the last index knew. Nothing is kept before :meth:`save`."""

    def __init__(self, site_root: Path) -> None:
        self._root = site_root
        self._path = site_root / "catalogue" / ".parts" / "known.json"
        try:
            held = json.loads(self._path.read_bytes())
            same = held["form"] == FORM
        except (OSError, ValueError, KeyError, TypeError):
            same = False
        self._was: dict[str, list[Any]] = held["studies"] if same else {}
        self._wrote: dict[str, list[Any]] = held["files"] if same else {}
        self._studies: dict[str, list[Any]] = {}
        self._files: dict[str, list[Any]] = {}

    def studies(self, paths: Iterable[Path | str]) -> Iterator[Entry]:
        """The studies, each by the path of its ``study.json``."""
        for path in paths:
            folder = os.path.dirname(path)  # no Path: there are many
            place, card = os.path.basename(folder), f"{folder}/card.json"
            times = [_times(card), _times(path)]
            held = self._was.get(place)
            if held is None or held[0] != times:
                told = read_card(Path(path))  # it may write the card anew
                versions = [[v["version"], v.get("created")] for v in told["versions"]]
                own = hashlib.sha256(Path(card).read_bytes()).hexdigest()[:16]
                facts = [told[key] for key in ("accession", "date", "images", "bytes")]
                held = [[_times(card), _times(path)], [*facts, versions, own]]
            self._studies[place] = held
            yield Entry(*held[1], card)

    def same(self, path: Path, state: str) -> bool:
        """Whether a file is there as it was written, from the same as now.

        ``state``: the digest of all that decides what is in it. When False, the caller writes the
        file and calls :meth:`wrote`.
        """
        name = path.relative_to(self._root).as_posix()
        held = self._wrote.get(name)
        if held is None or held != [state, _times(path)]:
            return False
        self._files[name] = held
        return True

    def wrote(self, path: Path, state: str) -> None:
        """The file has just been written."""
        name = path.relative_to(self._root).as_posix()
        self._files[name] = [state, _times(path)]

    def save(self) -> None:
        """Remember it for the next time, once all is written."""
        held = {"form": FORM, "studies": self._studies, "files": self._files}
        with atomic.replacing(self._path) as out:
            out.write(json.dumps(held, separators=(",", ":")))


def _times(path: Path | str) -> list[int] | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return [status.st_mtime_ns, status.st_size]


def digest(*facts: Any) -> str:
    """Sixteen hex digits that are others when the facts (for JSON) are."""
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]
