"""Taking a study back: a tombstone that keeps the bytes, and a purge that deletes them.

Withdrawing is a version like any other: ``meta/withdrawal.json`` says why. Purging is something
else: it rewrites or removes the object, which no other command does, and leaves a record of who
asked for it that outlives the object.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from slidebox.vault import disk, inventory, ledger
from slidebox.vault.errors import NotFound, Refused, error
from slidebox.vault.inventory import Inventory
from slidebox.vault.mirror import Mirror, log
from slidebox.vault.root import Root, decide, forget, replay

NAME = "withdrawal.json"


def tombstone(
    accession: str, *, reason: str, contact: str, by: str, version: int, now: datetime | None = None
) -> dict:
    """What is said of a withdrawn study, to people and to machines."""
    if not reason.strip() or not contact.strip():
        raise Refused(
            error(
                "WITHDRAWAL_INCOMPLETE",
                "a withdrawal says why, and whom to ask",
                mend="give --reason and --contact",
            )
        )
    return {
        "accession": accession,
        "status": "withdrawn",
        "reason": reason,
        "contact": contact,
        "withdrawn_by": by,
        "date": _date(now),
        "last_version": version,
    }


@dataclass(frozen=True, slots=True)
class Purged:
    """What a purge deleted: logical paths (all when the whole study), content files and bytes."""

    accession: str
    whole: bool
    paths: list[str]
    files: int
    bytes: int


def purge(
    root: Root,
    accession: str,
    paths: Iterable[str] | None,
    *,
    reason: str,
    by: str,
    mirror: Mirror | None,
    now: datetime | None,
) -> Purged:
    """See `Vault.purge`; the object's lock is held and nothing of it is unfinished."""
    if not reason.strip() or not by.strip():
        raise Refused(
            error("PURGE_INCOMPLETE", "a purge says why, and who decided it", mend="give both")
        )
    folder = root.object(accession)
    inv = inventory.load(folder)
    paths = None if paths is None else set(paths)
    if paths is not None:
        _check_paths(accession, inv, paths)
    entry = {
        "accession": accession, "state": "begun", "date": _date(now), "reason": reason, "by": by,
        "paths": "all" if paths is None else sorted(paths),
        "mirror": str(mirror) if mirror is not None else None,
    }  # fmt: skip
    log(root, "purges", entry)  # first: no byte goes without a word of who wanted it
    if paths is None:
        done = _purge_object(root, accession, folder, inv, reason=reason, by=by, now=now)
        contents = None
    else:
        done, contents = _purge_paths(root, accession, folder, inv, paths)
    log(root, "purges", {**entry, "state": "done", "files": done.files, "bytes": done.bytes})
    if mirror is not None:
        mirror.remove(accession, contents)
        if contents is not None:
            mirror.push_inventories(root, accession)
    return done


def _purge_object(
    root: Root,
    accession: str,
    folder: Path,
    inv: Inventory,
    *,
    reason: str,
    by: str,
    now: datetime | None,
) -> Purged:
    """Delete a whole object; what is left is who decided it, and that the name is taken."""
    sizes = [
        (folder / path).stat().st_size
        for group in inv.manifest.values()
        for path in group
        if (folder / path).exists()
    ]
    record = {
        "accession": accession,
        "status": "deleted",
        "reason": reason,
        "by": by,
        "date": _date(now),
        "versions": inv.head,
    }
    key = root.key(accession)
    staged = root.staging / key
    disk.mkdir(staged)
    text = json.dumps(record, indent=2, ensure_ascii=False) + "\n"
    disk.put(staged / "record", text.encode())
    disk.fsync_dir(staged)
    # The object's folder goes into staging by one rename: what staging holds is removed at the end.
    record_place = str((root.purged / f"{key}.json").relative_to(root.path))
    grave = str((staged / "object").relative_to(root.path))
    decision = {
        "accession": accession,
        "what": "its deletion",
        "renames": [
            ["record", record_place],
            [f"../../../../{folder.name}", grave],
        ],
    }
    decide(root, key, decision)
    replay(root, decision)
    forget(root, key)
    ledger.forget(root.ledger, accession)
    return Purged(accession, True, [], len(sizes), sum(sizes))


def _states(inv: Inventory) -> Iterator[tuple[str, str]]:
    """(logical path, sha512) of all versions."""
    for number in range(1, inv.head + 1):
        yield from inv.paths(number).items()


def _digests(inv: Inventory, logical: set[str]) -> set[str]:
    return {digest for path, digest in _states(inv) if path in logical}


def _check_paths(accession: str, inv: Inventory, paths: set[str]) -> None:
    """Refuse names that no version has, and bytes that another name would keep."""
    logical = {f"data/{path}" for path in paths}
    if unknown := sorted(logical - {path for path, _ in _states(inv)}):
        raise NotFound(
            [
                error("NO_SUCH_FILE", f"no version of {accession} has {path[5:]!r}", file=path[5:])
                for path in unknown
            ]
        )
    digests = _digests(inv, logical)
    shared = {path for path, digest in _states(inv) if digest in digests and path not in logical}
    if shared:
        raise Refused(
            [
                error(
                    "PURGE_SHARED",
                    f"{path!r} has the same bytes as a file to delete",
                    file=path,
                    mend="name it too: the bytes are deleted, or they aren't",
                )
                for path in sorted(shared)
            ]
        )


def _purge_paths(
    root: Root, accession: str, folder: Path, inv: Inventory, paths: set[str]
) -> tuple[Purged, list[str]]:
    """Delete the bytes of some files from all versions, and their names from all inventories."""
    digests = _digests(inv, {f"data/{path}" for path in paths})
    contents = sorted(path for digest in digests for path in inv.manifest.get(digest, ()))
    size = sum((folder / p).stat().st_size for p in contents if (folder / p).exists())
    key = root.key(accession)
    staged = root.staging / key
    disk.mkdir(staged)
    renames: list[list[str]] = []
    grave = staged.relative_to(root.path)
    # Content first: from then on the object is damaged until the inventories follow, which the
    # journal makes sure of.
    for number, path in enumerate(contents):
        renames.append([f"../../../../{folder.name}/{path}", f"{grave}/gone-{number}"])
    for number in range(1, inv.head + 1):
        place = staged / f"v{number}"
        disk.mkdir(place)
        _without(inventory.load(folder / f"v{number}"), digests).write(place)
        for name in (inventory.SIDECAR, inventory.NAME):
            renames.append([f"v{number}/{name}", f"{folder.name}/v{number}/{name}"])
    _without(inv, digests).write(staged)
    for name in (inventory.SIDECAR, inventory.NAME):
        renames.append([name, f"{folder.name}/{name}"])
    disk.fsync_dir(staged)
    decision = {
        "accession": accession,
        "what": f"the deletion of {len(paths)} files",
        "renames": renames,
        "prune": [f"{folder.name}/{path}" for path in contents],
    }
    decide(root, key, decision)
    replay(root, decision)
    forget(root, key)
    return Purged(accession, False, sorted(paths), len(contents), size), contents


def _without(inv: Inventory, digests: set[str]) -> Inventory:
    """An inventory that has never heard of some content."""
    gone = {path for digest in digests for path in inv.manifest.pop(digest, ())}
    for path in gone:
        inv.sha256.pop(path, None)
    for block in inv.versions.values():
        for digest in digests:
            block["state"].pop(digest, None)
    return inv


def _date(now: datetime | None) -> str:
    return (now or datetime.now(UTC)).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
