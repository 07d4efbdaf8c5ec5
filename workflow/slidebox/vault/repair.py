"""What is damaged gets its bytes back from a copy that is whole.

Content is whole when it has the digest of the inventory; an inventory when it has that of its
sidecar. The vault's own copies (each version keeps its inventory) come first, then the mirror's.
Whatever is damaged in the mirror gets the vault's copy in the same way.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from slidebox.findings import Finding
from slidebox.vault import disk, inventory, ledger, structure
from slidebox.vault.errors import error
from slidebox.vault.inventory import BadInventory
from slidebox.vault.mirror import BadCopy, Mirror, log
from slidebox.vault.restore import sha512_of
from slidebox.vault.root import Root

Progress = Callable[[int, int], None]


@dataclass
class Repaired:
    """What was put right, each as (where, path in the object); what couldn't be."""

    files: list[tuple[str, str]] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)


def repair(
    vault: Root, accession: str, mirror: Mirror | None, progress: Progress | None
) -> Repaired:
    """Read all of an object, in vault and mirror, and mend it; the object's lock is held."""
    result = Repaired()
    folder = vault.object(accession)
    staged = vault.staging / vault.key(accession)
    disk.mkdir(staged)
    try:
        if not folder.is_dir():
            _whole_object(vault, accession, mirror, staged, result, progress)
            return result
        if not _inventories(folder, accession, mirror, staged, result):
            return result
        inv = inventory.load(folder)
        contents = [(path, digest) for digest, paths in inv.manifest.items() for path in paths]
        checked = ledger.load(vault.ledger, accession)
        for number, (path, digest) in enumerate(sorted(contents)):
            _content(folder, accession, path, digest, mirror, staged, result, checked)
            if progress is not None:
                progress(number + 1, len(contents))
        with contextlib.suppress(OSError):
            ledger.save(vault.ledger, accession, checked)
        result.findings += [
            finding
            for finding in structure.validate_object(folder, digests=False)
            if finding.severity == "error"
        ]
        if mirror is not None and not result.findings:
            result.files += [("mirror", path) for path in mirror.push_inventories(vault, accession)]
    finally:
        with contextlib.suppress(OSError):
            disk.remove_tree(staged)
        if result.files:
            log(vault, "repairs", {
                "accession": accession,
                "date": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
                "mirror": str(mirror) if mirror is not None else None,
                "repaired": [f"{where}: {path}" for where, path in result.files],
            })  # fmt: skip
    return result


def _good(path: Path, digest: str) -> bool:
    try:
        return sha512_of(path) == digest
    except OSError:
        return False


def _content(
    folder: Path,
    accession: str,
    path: str,
    digest: str,
    mirror: Mirror | None,
    staged: Path,
    result: Repaired,
    checked: ledger.Ledger,
) -> None:
    """One content file, here and in the mirror."""
    here = _good(folder / path, digest)
    there = mirror is not None and mirror.problem(accession, path, digest) is None
    if not here and there:
        fresh = staged / "file"
        try:
            mirror.pull_file(accession, path, digest, fresh)
        except (BadCopy, OSError):
            there = False
        else:
            _into_place(fresh, folder / path)
            result.files.append(("vault", path))
            here = True
    elif here and not there and mirror is not None:
        try:
            mirror.push_file(folder / path, accession, path, digest)
            result.files.append(("mirror", path))
        except (BadCopy, OSError) as reason:
            result.findings.append(
                error("MIRROR_FAILS", f"{accession}: {path} can't be mirrored: {reason}", file=path)
            )
    checked.checked[path] = int(datetime.now(UTC).timestamp())
    if here:
        checked.bad.discard(path)
        return
    checked.bad.add(path)
    copies = "there is no mirror" if mirror is None else "the mirror has no whole copy either"
    result.findings.append(
        error(
            "UNREPAIRABLE",
            f"{accession}: {path} is damaged, and {copies}",
            file=path,
            mend="keep what there is, and ask the submitter for the file",
        )
    )


def _into_place(fresh: Path, target: Path) -> None:
    """Put a whole file where a damaged or missing one is: by one rename."""
    if target.is_dir() and not target.is_symlink():
        disk.remove_tree(target)
    disk.mkdirs(target.parent)
    disk.rename(fresh, target)
    disk.fsync_dir(target.parent)


def _inventories(
    folder: Path, accession: str, mirror: Mirror | None, staged: Path, result: Repaired
) -> bool:
    """Make the object's inventories whole; whether they are."""

    def put(place: str, name: str, data: bytes) -> None:
        target = folder / place / name
        try:
            if target.read_bytes() == data:
                return
        except OSError:
            pass
        disk.put(staged / "inventory", data)
        _into_place(staged / "inventory", target)
        result.files.append(("vault", f"{place}/{name}" if place else name))

    good: dict[str, bytes] = {}
    heads: dict[str, int] = {}
    numbers = sorted(
        (int(n[1:]) for n in os.listdir(folder) if n[:1] == "v" and n[1:].isdigit()), reverse=True
    )
    for place in ["", *(f"v{number}" for number in numbers)]:
        try:
            heads[place] = inventory.load(folder / place).head
            good[place] = (folder / place / inventory.NAME).read_bytes()
        except BadInventory:
            continue
    mirrored = mirror.inventory(accession) if mirror is not None else None
    head = max([*heads.values(), *([mirrored[0].head] if mirrored else [])], default=0)
    for number in range(1, head + 1):
        place = f"v{number}"
        candidates = [good.get(place), good.get("") if heads.get("") == number else None]
        if mirror is not None and not any(candidates):
            copy = mirror.inventory(accession, place)
            candidates.append(copy[1] if copy else None)
        data = next((candidate for candidate in candidates if candidate), None)
        if data is None:
            result.findings.append(
                error(
                    "UNREPAIRABLE",
                    f"{accession}: no whole copy of the inventory of version {number}",
                    file=f"{place}/{inventory.NAME}",
                    mend="connect the mirror that has this version",
                )
            )
            continue
        good[place] = data
        put(place, inventory.NAME, data)
        put(place, inventory.SIDECAR, _sidecar(data))
    if f"v{head}" not in good:
        return False
    put("", inventory.DECLARATION, inventory.DECLARATION_TEXT)
    put("", inventory.NAME, good[f"v{head}"])
    put("", inventory.SIDECAR, _sidecar(good[f"v{head}"]))
    return True


def _sidecar(data: bytes) -> bytes:
    import hashlib

    return inventory.sidecar(hashlib.sha512(data).hexdigest())


def _whole_object(
    vault: Root,
    accession: str,
    mirror: Mirror | None,
    staged: Path,
    result: Repaired,
    progress: Progress | None,
) -> None:
    """An object that the vault has lost altogether, from the mirror."""
    copy = mirror.inventory(accession) if mirror is not None else None
    if mirror is None or copy is None:
        result.findings.append(
            error(
                "NO_SUCH_ACCESSION",
                f"neither the vault nor the mirror has {accession} whole",
                mend="check the accession, and the mirror",
            )
        )
        return
    inv, raw = copy
    base = staged / "object"
    contents = [(path, digest) for digest, paths in inv.manifest.items() for path in paths]
    for number, (path, digest) in enumerate(sorted(contents)):
        disk.mkdirs((base / path).parent)
        try:
            mirror.pull_file(accession, path, digest, base / path)
        except (BadCopy, OSError):
            result.findings.append(
                error(
                    "UNREPAIRABLE",
                    f"{accession}: the mirror's copy of {path} is not whole either",
                    file=path,
                )
            )
        if progress is not None:
            progress(number + 1, len(contents))
    for number in range(1, inv.head + 1):
        version = mirror.inventory(accession, f"v{number}")
        if version is None:
            result.findings.append(
                error("UNREPAIRABLE", f"{accession}: the mirror lacks version {number}'s inventory")
            )
            continue
        disk.mkdirs(base / f"v{number}")
        disk.put(base / f"v{number}" / inventory.NAME, version[1])
        disk.put(base / f"v{number}" / inventory.SIDECAR, _sidecar(version[1]))
    if result.findings:
        return
    disk.put(base / inventory.NAME, raw)
    disk.put(base / inventory.SIDECAR, _sidecar(raw))
    disk.put(base / inventory.DECLARATION, inventory.DECLARATION_TEXT)
    for top, _, _ in os.walk(base, topdown=False):
        disk.fsync_dir(Path(top))
    disk.rename_new(base, vault.object(accession))
    disk.fsync_dir(vault.path)
    result.files += [("vault", path) for path, _ in sorted(contents)]
