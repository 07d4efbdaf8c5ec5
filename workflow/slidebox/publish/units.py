"""The units that publication goes by, each with a stamp that changes when its files may have.

A study, a challenge, a reviewer's copy, the shared assets, and the site's own pages are one unit
each. A stamp costs some `stat` calls, no file is opened: so a run with nothing new costs a look at
the receipts' names and times and one request.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from slidebox.config import Config
from slidebox.ingest import queue, review

# Raised when what is sent for the same files changes (their headers, say).
FORM = 1

ASSETS, SITE = "assets", "site"


@dataclass(slots=True)
class Survey:
    """Stamps by unit, in the order of publication; what was deleted for good in each study."""

    stamps: dict[str, str] = field(default_factory=dict)
    purged: dict[str, set[str] | None] = field(default_factory=dict)  # None: the whole study

    @property
    def state(self) -> str:
        """One digest over all stamps."""
        return _digest(sorted(self.stamps.items()))


def prefix_of(unit: str) -> str:
    """What the addresses of a unit begin with; for the site's own pages, of its tables."""
    kind, _, name = unit.partition("/")
    return {
        "study": f"{name}/",
        "challenge": f"challenges/{name}/",
        "review": f"review/{name}/",
        ASSETS: "assets/",
        SITE: "catalogue/",
    }[kind]


def survey(config: Config) -> Survey:
    """Look at everything that may be published."""
    found = Survey(purged=_purged(config))
    public = config.public
    common = [FORM, config.publish.originals]
    found.stamps[ASSETS] = _digest([common, _below(public / "assets", 2)])
    for accession, receipts in sorted(_receipts(config).items()):
        gone = found.purged.get(accession, ())
        facts = [common, receipts, _stat(public / accession), sorted(gone or ["all"])]
        found.stamps[f"study/{accession}"] = _digest(facts)
    challenges = public / "challenges"
    for slug in sorted(_folders(challenges)):
        found.stamps[f"challenge/{slug}"] = _digest([common, _below(challenges / slug, 3)])
    if config.publish.review:
        given = {r["token"] for r in review.reviews(config) if not r.get("ended")}
        pages = public / "review"
        for token in sorted(given.intersection(_folders(pages))):
            found.stamps[f"review/{token}"] = _digest([common, _below(pages / token, 2)])
    own = [_below(public / "catalogue", 2), _files(public), _files(challenges)]
    found.stamps[SITE] = _digest([common, own])
    return found


def _receipts(config: Config) -> dict[str, list[tuple]]:
    """Accession -> names and times of its receipts."""
    found: dict[str, list[tuple]] = {}
    try:
        with os.scandir(config.results / "receipts") as scan:
            for entry in scan:
                accession, tilde, key = entry.name.partition("~")
                if tilde and key.endswith(".json") and not accession.startswith("."):
                    status = entry.stat()
                    # Not the size: eviction writes an address into it and keeps its time.
                    found.setdefault(accession, []).append((key, status.st_mtime_ns))
    except FileNotFoundError:
        pass
    return {accession: sorted(facts) for accession, facts in found.items()}


def _purged(config: Config) -> dict[str, set[str] | None]:
    """Accession -> the paths that were deleted from the vault for good (None: all of them)."""
    from slidebox.vault import Vault

    found: dict[str, set[str] | None] = {}
    try:
        lines = (Vault(config.vault).root.log / "purges.jsonl").read_text("utf-8").splitlines()
    except OSError:
        return {}
    for line in lines:
        entry: dict[str, Any] = json.loads(line)
        accession, paths = entry["accession"], entry["paths"]
        held = found.setdefault(accession, set())
        found[accession] = None if paths == "all" or held is None else held | set(paths)
    return found


def _stat(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size


def _files(folder: Path) -> list[tuple]:
    """Names, times and sizes of the files right in a folder."""
    try:
        with os.scandir(folder) as scan:
            entries = [e for e in scan if e.is_file(follow_symlinks=False) and e.name[0] != "."]
            return sorted((e.name, *(_stat(Path(e.path)) or ())) for e in entries)
    except FileNotFoundError:
        return []


def _folders(folder: Path) -> list[str]:
    try:
        with os.scandir(folder) as scan:
            return [e.name for e in scan if e.is_dir(follow_symlinks=False) and e.name[0] != "."]
    except FileNotFoundError:
        return []


def _below(folder: Path, depth: int) -> list:
    """Times of a folder, its files and, to a depth, its folders: whole files are put there by
    renaming, which a folder's own time tells."""
    own = [_stat(folder), _files(folder)]
    if depth > 1:
        own += [[name, _below(folder / name, depth - 1)] for name in sorted(_folders(folder))]
    return own


def _digest(facts: Any) -> str:
    return queue.digest(hashlib.sha256(json.dumps(facts).encode()).hexdigest())
