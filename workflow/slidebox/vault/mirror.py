"""The second copy: the same storage root once more, elsewhere, which repairs and is repaired.

What goes to the mirror has been read and compared with the inventory on its way; an object's
sidecar goes last, so that a mirror object whose sidecar equals the vault's has everything. What
comes back is compared likewise: a bad copy is never taken, in either direction.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from slidebox.findings import Finding
from slidebox.vault import disk, inventory, names, root
from slidebox.vault.errors import error
from slidebox.vault.intake import BUFFER
from slidebox.vault.inventory import BadInventory, Inventory
from slidebox.vault.root import Root
from slidebox.vault.store import Store

Progress = Callable[[int, int], None]


class BadCopy(Exception):
    """Bytes that don't have the digest that they should have; nothing was kept of them."""


@dataclass
class Mirrored:
    """What a mirroring copied, and what it wouldn't."""

    objects: int = 0
    files: int = 0
    bytes: int = 0
    findings: list[Finding] = field(default_factory=list)


class Mirror:
    """A storage root in a store."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def __str__(self) -> str:
        return str(self.store)

    # Looking

    def text(self, key: str) -> bytes | None:
        """A small file of the mirror, None when there is none."""
        try:
            with self.store.open(key) as handle:
                return handle.read()
        except FileNotFoundError:
            return None

    def accessions(self) -> list[str]:
        """The accessions of which the mirror has something."""
        found = (names.accession_of(name) for name in self.store.folders())
        return sorted(name for name in found if name)

    def inventory(self, accession: str, place: str = "") -> tuple[Inventory, bytes] | None:
        """An inventory of the mirror and its bytes, when it is what its sidecar promises."""
        prefix = "/".join(filter(None, (names.object_folder(accession), place)))
        sidecar = self.text(f"{prefix}/{inventory.SIDECAR}")
        raw = self.text(f"{prefix}/{inventory.NAME}")
        if sidecar is None or raw is None:
            return None
        if sidecar.split()[:1] != [hashlib.sha512(raw).hexdigest().encode()]:
            return None
        with contextlib.suppress(BadInventory):
            return inventory.parse(raw, prefix), raw
        return None

    def problem(self, accession: str, content: str, digest: str) -> str | None:
        """What is wrong with the mirror's copy of a content file; None when it is whole."""
        key = f"{names.object_folder(accession)}/{content}"
        try:
            with self.store.open(key) as handle:
                return None if _sha512(handle) == digest else "damaged"
        except FileNotFoundError:
            return "missing"
        except OSError:
            return "unreadable"

    def behind(self, accession: str, local: bytes) -> list[Finding]:
        """A finding when the mirror's object isn't the vault's last version."""
        key = f"{names.object_folder(accession)}/{inventory.SIDECAR}"
        have = self.text(key)
        if have is not None and have == local:
            return []
        state = "lacks" if have is None else "has another version of"
        return [
            Finding(
                "MIRROR_BEHIND",
                "warning",
                f"the mirror {self} {state} {accession}",
                file=accession,
                mend="slidebox mirror copies what is new",
            )
        ]

    # Copying

    def push(self, vault: Root, accession: str, result: Mirrored) -> None:
        """Bring the mirror's object to the vault's last version."""
        folder = vault.object(accession)
        prefix = names.object_folder(accession)
        inv = inventory.load(folder)
        if self.text(f"{prefix}/{inventory.SIDECAR}") == (folder / inventory.SIDECAR).read_bytes():
            return
        have = self.store.sizes(prefix)
        result.objects += 1
        whole = True
        for digest, paths in inv.manifest.items():
            for path in paths:
                key, source = f"{prefix}/{path}", folder / path
                try:
                    if have.get(key) == source.stat().st_size:
                        continue
                    with source.open("rb") as handle, self.store.writing(key) as out:
                        size = _copy(handle, out, digest)
                except (BadCopy, FileNotFoundError):
                    whole = False
                    result.findings.append(
                        error(
                            "CONTENT_DAMAGED",
                            f"{accession}: {path} is damaged in the vault and was not mirrored",
                            file=path,
                            mend=f"slidebox repair {accession}",
                        )
                    )
                    continue
                result.files += 1
                result.bytes += size
        if not whole:
            return
        for number in range(1, inv.head + 1):
            for name in (inventory.NAME, inventory.SIDECAR):
                self._put(folder / f"v{number}" / name, f"{prefix}/v{number}/{name}", have)
        for name in (inventory.DECLARATION, inventory.NAME, inventory.SIDECAR):
            self._put(folder / name, f"{prefix}/{name}", {})

    def push_root(self, vault: Root) -> None:
        """The declarations of the storage root, and what was deleted on purpose."""
        layout = f"extensions/{root.LAYOUT}/config.json"
        for key in (layout, "ocfl_layout.json", root.DECLARATION):
            if self.text(key) != (vault.path / key).read_bytes():
                self._put(vault.path / key, key, {})

    def _put(self, source: Path, key: str, have: dict[str, int]) -> None:
        data = source.read_bytes()
        if have.get(key) != len(data):
            with self.store.writing(key) as out:
                out.write(data)

    def push_inventories(self, vault: Root, accession: str) -> list[str]:
        """The inventories alone, when the content is there already, or is to be no more.

        Returns what differed and was written.
        """
        folder, prefix = vault.object(accession), names.object_folder(accession)
        places = [f"v{number}/" for number in range(1, inventory.load(folder).head + 1)]
        files = [
            f"{p}{name}" for p in [*places, ""] for name in (inventory.NAME, inventory.SIDECAR)
        ]
        written = []
        for path in [inventory.DECLARATION, *files]:
            if (folder / path).read_bytes() != self.text(f"{prefix}/{path}"):
                self._put(folder / path, f"{prefix}/{path}", {})
                written.append(path)
        return written

    def push_file(self, source: Path, accession: str, content: str, digest: str) -> int:
        """One verified content file; BadCopy when the vault's isn't whole."""
        key = f"{names.object_folder(accession)}/{content}"
        with source.open("rb") as handle, self.store.writing(key) as out:
            return _copy(handle, out, digest)

    def pull_file(self, accession: str, content: str, digest: str, target: Path) -> int:
        """One verified content file into a new file, durable; BadCopy when it isn't whole."""
        key = f"{names.object_folder(accession)}/{content}"
        with self.store.open(key) as handle:
            fd = disk.create(target)
            try:
                size = _copy(handle, _Out(fd), digest)
                disk.fsync(fd)
            except BaseException:
                disk.unlink(target)
                raise
            finally:
                os.close(fd)
        return size

    def remove(self, accession: str, content: list[str] | None = None) -> None:
        """Delete an object, or some content files of it, from the mirror."""
        prefix = names.object_folder(accession)
        keys = [f"{prefix}/{path}" for path in content or []]
        for key in keys if content is not None else sorted(self.store.sizes(prefix)):
            self.store.delete(key)


class _Out:
    def __init__(self, fd: int) -> None:
        self._fd = fd

    def write(self, data: bytes | memoryview) -> None:
        disk.write(self._fd, data)


def _sha512(handle) -> str:
    digest = hashlib.sha512()
    while piece := handle.read(BUFFER):
        digest.update(piece)
    return digest.hexdigest()


def _copy(handle, out, wanted: str) -> int:
    digest, size = hashlib.sha512(), 0
    while piece := handle.read(BUFFER):
        digest.update(piece)
        out.write(piece)
        size += len(piece)
    if digest.hexdigest() != wanted:
        raise BadCopy
    return size


def log(vault: Root, name: str, entry: dict) -> None:
    """Append a line to a log of the vault, durably."""
    path = vault.log / f"{name}.jsonl"
    lines = path.read_bytes() if path.exists() else b""
    lines += json.dumps(entry, ensure_ascii=False).encode() + b"\n"
    disk.put_whole(path, lines, vault.log / f".{name}.tmp")
