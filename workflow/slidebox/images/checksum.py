"""The tree checksum of a Zarr store in DANDI's form (https://github.com/dandi/zarr_checksum).

A folder's digest is the MD5 of a JSON text of its files' and folders' digests, with the number of
files and bytes under it: ``<md5>-<files>--<bytes>``.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path


def tree_checksum(folder: Path, known: Mapping[str, str] | None = None) -> tuple[str, int, int]:
    """DANDI's checksum of a folder, the number of files and their bytes.

    ``known`` is what needn't be read again: MD5s of files (relative path with ``/`` -> hex), and
    checksums of folders (path ending in ``/`` -> ``<md5>-<files>--<bytes>``).
    """
    digest, files, size = _folder(folder, "", known or {})
    return f"{digest}-{files}--{size}", files, size


def _folder(folder: Path, prefix: str, known: Mapping[str, str]) -> tuple[str, int, int]:
    files, folders, count, total = [], [], 0, 0
    for entry in sorted(os.scandir(folder), key=lambda e: e.name):
        path = f"{prefix}{entry.name}"
        if entry.is_dir(follow_symlinks=False):
            if path + "/" in known:
                digest, n, size = _parts(known[path + "/"])
            else:
                digest, n, size = _folder(Path(entry.path), path + "/", known)
            if n == 0:
                continue
            folders.append({"digest": f"{digest}-{n}--{size}", "name": entry.name, "size": size})
            count, total = count + n, total + size
        else:
            size = entry.stat().st_size
            digest = known.get(path) or md5(Path(entry.path))
            files.append({"digest": digest, "name": entry.name, "size": size})
            count, total = count + 1, total + size
    text = json.dumps({"directories": folders, "files": files}, separators=(",", ":"))
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest(), count, total


def _parts(checksum: str) -> tuple[str, int, int]:
    digest, _, rest = checksum.partition("-")
    files, _, size = rest.partition("--")
    return digest, int(files), int(size)


def md5(path: Path) -> str:
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
