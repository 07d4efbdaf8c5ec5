"""Which challenges and leaderboards are due: their folders and the archive's state, digested.

Imported while the Snakefile is parsed: standard library only.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from pathlib import Path

from slidebox.config import Config

SLUG = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")


def slugs(config: Config) -> list[str]:
    """Challenges: the folders that hold a challenge.yaml."""
    if not config.challenges.is_dir():
        return []
    return sorted(
        entry.name
        for entry in os.scandir(config.challenges)
        if SLUG.fullmatch(entry.name) and (Path(entry.path) / "challenge.yaml").is_file()
    )


def _tree(folder: Path) -> Iterator[str]:
    for parent, folders, files in os.walk(folder):
        folders.sort()
        for name in sorted(files):
            status = os.lstat(os.path.join(parent, name))
            where = os.path.relpath(os.path.join(parent, name), folder)
            yield f"{where}\0{status.st_size}\0{status.st_mtime_ns}\n"


def _digest(*parts: str) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part.encode("utf-8", "surrogateescape") + b"\0")
    return digest.hexdigest()[:12]


def release_state(config: Config, slug: str, archive: str) -> str:
    """Digest of a challenge's folder and of the archive's state it is assembled from."""
    return _digest(archive, *_tree(config.challenges / slug))


def leaderboard_state(config: Config, slug: str, archive: str) -> str:
    """Digest of a release's state and of all entries (names, sizes, times)."""
    return _digest(release_state(config, slug, archive), *_tree(config.entries / slug))
