"""Submissions on disk and the outside judge, for all tests of the vault."""

from __future__ import annotations

import os
from pathlib import Path

import ocfl

from slidebox.vault import Vault

USER = ("An Archivist", "archivist@example.org")
OLD = 1_600_000_000_123_456_789


def deposit(folder: Path, files: dict[str, bytes], empty: tuple[str, ...] = (), mtime=OLD) -> list:
    """Write a submission; its list of (path, size, mtime_ns)."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for path, data in files.items():
        place = folder / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
        os.utime(place, ns=(mtime, mtime))
        rows.append((path, len(data), mtime))
    for path in empty:
        (folder / path).mkdir(parents=True, exist_ok=True)
        os.utime(folder / path, ns=(mtime, mtime))
        rows.append((path + "/", 0, mtime))
    return rows


def listing(folder: Path) -> list[tuple[str, int, int]]:
    """(path, size, mtime_ns) of all files, and of empty folders, as ``.ready`` would list them."""
    rows = []
    for top, folders, files in os.walk(folder):
        for name in files:
            info = os.lstat(Path(top) / name)
            rows.append((os.path.relpath(Path(top) / name, folder), info.st_size, info.st_mtime_ns))
        if not folders and not files and Path(top) != folder:
            info = os.lstat(top)
            rows.append((os.path.relpath(top, folder) + "/", 0, info.st_mtime_ns))
    return sorted(rows)


def put(vault: Vault, accession: str, folder: Path, files: dict[str, bytes], **more):
    """Deposit and commit."""
    rows = deposit(folder, files, more.pop("empty", ()))
    more.setdefault("meta", {"record.json": b"{}"})
    return vault.commit(accession, folder, rows, message="deposit", user=USER, **more)


def judge(root: Path) -> None:
    """ocfl-py has no complaint about root and objects, and no change is left unfinished."""
    storage = ocfl.StorageRoot(root=str(root))
    assert storage.validate(log_warnings=True), storage.log.status_str()
    assert storage.errors == [], storage.errors
    assert storage.good_objects == storage.num_objects
    own = root / "extensions" / "slidebox-vault"
    for folder in ("staging", "journal", "locks"):
        assert list((own / folder).iterdir()) == []


def contents(vault: Vault, accession: str, version: int | None = None) -> dict[str, bytes]:
    """path -> bytes of a version."""
    return {file.path: file.content.read_bytes() for file in vault.files(accession, version)}
