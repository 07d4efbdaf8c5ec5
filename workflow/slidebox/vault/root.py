"""The storage root: what stands beside the objects, and how an unfinished change is ended.

Every change to an object is prepared whole in ``staging`` on the same file system. A new object is
published by one rename. A new version needs three (its folder, the sidecar, the inventory): a
journal entry, written when all is prepared and durable, is the decision; whoever comes next, the
writer or the first command after a crash, does the renames that are left. Without an entry, what
is staged was never decided on and is removed.
"""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path

from slidebox.vault import disk, inventory, names
from slidebox.vault.errors import Locked, NotFound, Refused, error
from slidebox.vault.lock import lock

DECLARATION = "0=ocfl_1.1"
LAYOUT = "0003-hash-and-id-n-tuple-storage-layout"
LAYOUT_CONFIG = {
    "extensionName": LAYOUT,
    "digestAlgorithm": "sha256",
    "tupleSize": 0,
    "numberOfTuples": 0,
}
LAYOUT_FILE = {
    "extension": LAYOUT,
    "description": (
        "The object with the id urn:slidebox:ACCESSION lies in the folder "
        "urn%3aslidebox%3aACCESSION of this root: the percent-encoded id, without tuples."
    ),
}
OWN = "slidebox-vault"
README = """# slidebox-vault

What Slidebox keeps in this OCFL storage root beside the objects. Nothing here is needed to read
them; every object is complete by itself.

- `staging/`: a change that is being prepared. After a crash the next command removes or ends it.
- `journal/`: changes that are decided on and not yet ended; the next command ends them.
- `locks/`: who is writing which object now.
- `ledger/`: when each file was last read back and found whole.
- `log/`: what was repaired and what was deleted on purpose, a JSON object a line.
- `purged/`: accessions that were deleted on purpose, and why. They are not given out again.

The objects: ids are `urn:slidebox:ACCESSION`. In the state of a version `data/` holds the files as
submitted under their true names, `meta/` what the archive knows of them. `meta/times.tsv` has the
times (nanoseconds since 1970, UTC) and the empty folders (they end in `/`); in its paths tab,
newline, carriage return and backslash are written `\\t`, `\\n`, `\\r`, `\\\\`.
"""


class Root:
    """Where things are in the storage root ``path``."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.own = path / "extensions" / OWN
        self.staging = self.own / "staging"
        self.journal = self.own / "journal"
        self.locks = self.own / "locks"
        self.ledger = self.own / "ledger"
        self.log = self.own / "log"
        self.purged = self.own / "purged"

    def object(self, accession: str) -> Path:
        """The folder of an object, there or not."""
        return self.path / names.object_folder(accession)

    def key(self, accession: str) -> str:
        """What locks, staging and journal are called by: accessions are unique without case."""
        return accession.lower()

    def spelling(self, accession: str) -> str | None:
        """The accession as the vault spells it, None when it has none of that name."""
        names.check_accession(accession)
        if self.object(accession).is_dir():
            return accession
        folded = accession.lower()
        return next((other for other in self.accessions() if other.lower() == folded), None)

    def accessions(self) -> list[str]:
        """All accessions, sorted."""
        found = (names.accession_of(name) for name in os.listdir(self.path))
        return sorted(name for name in found if name is not None)

    def exists(self) -> bool:
        """Whether this is a storage root, finished or begun."""
        return (self.path / DECLARATION).exists() or self.own.is_dir()

    def prepare(self) -> None:
        """Make the storage root, or finish making it; refuses a folder that holds other things."""
        if (self.path / DECLARATION).exists():
            if not self.staging.is_dir():
                self._check_layout()
                self._folders()
            return
        if self.path.is_dir() and not self.own.is_dir():
            foreign = sorted(set(os.listdir(self.path)) - {"extensions", "lost+found"})
            if foreign:
                raise Refused(
                    error(
                        "NOT_A_VAULT",
                        f"{self.path} is neither empty nor a vault: it holds {foreign[0]!r}",
                        file=str(self.path),
                        mend="name an empty folder, or the vault",
                    )
                )
        disk.mkdirs(self.own)
        self._folders()
        # Of several that come first at the same time, one makes the root.
        with lock(self.locks, ".root", wait=60):
            if not (self.path / DECLARATION).exists():
                self._declare()

    def _declare(self) -> None:
        scratch = self.staging / ".root"
        layout = self.path / "extensions" / LAYOUT
        disk.mkdirs(layout)
        for path, text in (
            (self.own / "README.md", README),
            (layout / "config.json", _json(LAYOUT_CONFIG)),
            (self.path / "ocfl_layout.json", _json(LAYOUT_FILE)),
            (self.path / DECLARATION, "ocfl_1.1\n"),  # last: now it is a storage root
        ):
            disk.put_whole(path, text.encode(), scratch)

    def _folders(self) -> None:
        for folder in (self.staging, self.journal, self.locks, self.ledger, self.log, self.purged):
            disk.mkdirs(folder)

    def _check_layout(self) -> None:
        """Refuse a storage root that another tool laid out differently."""
        try:
            config = json.loads((self.path / "extensions" / LAYOUT / "config.json").read_text())
        except (OSError, ValueError):
            config = None
        if config != LAYOUT_CONFIG:
            raise Refused(
                error(
                    "NOT_A_VAULT",
                    f"{self.path} is an OCFL storage root with another layout",
                    file=str(self.path),
                    mend="name a vault that Slidebox made, or an empty folder",
                )
            )

    def require(self) -> None:
        """NotFound unless there is a vault."""
        if not self.exists():
            raise NotFound(
                error(
                    "NO_VAULT",
                    f"there is no vault at {self.path}",
                    file=str(self.path),
                    mend="check the key 'vault' of the config",
                )
            )

    def recover(self, *, wait: float = 0.0) -> list[str]:
        """End or remove what a crash left, for all objects; what was done, a line each.

        Objects that a living process is writing are left to it.
        """
        if not self.exists():
            return []
        if not (self.path / DECLARATION).exists():
            self.prepare()
        if (self.locks / ".root.lock").exists():  # of one killed right after it made the root
            with contextlib.suppress(Locked), lock(self.locks, ".root"):
                pass
        done: list[str] = []
        for key in self.unfinished():
            try:
                with lock(self.locks, key, wait=wait):
                    done += self.settle(key)
            except Locked:
                continue
        return done

    def unfinished(self) -> list[str]:
        """The keys of objects with something staged or decided, or with a lock."""
        keys: set[str] = set()
        for folder in (self.staging, self.journal, self.locks):
            with contextlib.suppress(FileNotFoundError):
                keys |= {name.partition(".")[0] for name in os.listdir(folder)}
        return sorted(keys - {""})

    def settle(self, key: str) -> list[str]:
        """End or remove what is unfinished of one object, whose lock is held."""
        entry = self.journal / f"{key}.json"
        staged = self.staging / key
        done = []
        if entry.exists():
            decision = json.loads(entry.read_bytes())
            replay(self, decision)
            done.append(f"{decision['accession']}: finished {decision['what']}")
            forget(self, key)
        elif staged.exists():
            disk.remove_tree(staged)
            done.append(f"{key}: removed what an interrupted change had prepared")
        return done


def decide(root: Root, key: str, decision: dict) -> None:
    """Write the journal entry: from here on the change will happen."""
    disk.put_whole(
        root.journal / f"{key}.json", _json(decision).encode(), root.staging / key / "journal"
    )


def replay(root: Root, decision: dict) -> None:
    """Do what is left of a decided change; doing it twice does no more.

    ``decision``: ``renames``, pairs of a path below the change's staging folder and a path below
    the root, in order. A source that is gone has been renamed already. ``prune``: paths below the
    root that are gone, whose folders may be empty now, which OCFL doesn't allow.
    """
    staged = root.staging / root.key(decision["accession"])
    for source, target in decision["renames"]:
        if os.path.lexists(staged / source):
            disk.rename(staged / source, root.path / target)
            disk.fsync_dir((root.path / target).parent)
    for path in decision.get("prune", ()):
        for folder in (root.path / path).parents:
            if not folder.is_dir():
                continue
            if any(folder.iterdir()):
                break
            disk.rmdir(folder)
            disk.fsync_dir(folder.parent)


def forget(root: Root, key: str) -> None:
    """Remove the journal entry of an ended change, then what it staged."""
    disk.unlink(root.journal / f"{key}.json")
    disk.fsync_dir(root.journal)
    disk.remove_tree(root.staging / key)


def version_decision(root: Root, accession: str, number: int) -> dict:
    """The decision for a new version: its folder, then the sidecar, the root inventory last."""
    folder = root.object(accession).name
    return {
        "accession": accession,
        "what": f"version {number}",
        "renames": [
            [f"v{number}", f"{folder}/v{number}"],
            [inventory.SIDECAR, f"{folder}/{inventory.SIDECAR}"],
            [inventory.NAME, f"{folder}/{inventory.NAME}"],
        ],
    }


def _json(value: object) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"
