"""The vault: originals in an OCFL 1.1 storage root, kept as they came.

One object an accession, one version a deposit or a revision. Every method first ends what a crash
left unfinished. What can't be done raises a `VaultError` whose ``findings`` name every reason.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

from slidebox.vault import commit as writing
from slidebox.vault import disk, inventory, ledger, names, times, withdrawal
from slidebox.vault.audit import AuditReport, Budget, root_findings
from slidebox.vault.audit import audit as auditing
from slidebox.vault.commit import VOLATILE_META, Commit, Progress, disk_error
from slidebox.vault.errors import Damaged, NotFound, Refused, VaultError, error
from slidebox.vault.inventory import BadInventory, Inventory, whole_inventory
from slidebox.vault.lock import lock
from slidebox.vault.mirror import Mirror, Mirrored
from slidebox.vault.repair import Repaired
from slidebox.vault.repair import repair as repairing
from slidebox.vault.restore import Destination, Restored, Wanted
from slidebox.vault.restore import restore as restoring
from slidebox.vault.restore import select as choose
from slidebox.vault.root import Root
from slidebox.vault.withdrawal import Purged

_LARGE = 4 << 20  # bytes of an inventory


@dataclass(frozen=True, slots=True)
class VaultFile:
    """A file of a version: ``content`` is where its bytes lie, in version ``version``'s folder.

    ``size`` in bytes; ``sha256`` is empty for an object written without it.
    """

    path: str
    size: int
    sha256: str
    sha512: str
    content: Path
    version: int


@dataclass(frozen=True, slots=True)
class Version:
    """What the inventory says of a version; ``created`` is RFC 3339."""

    number: int
    created: str
    message: str
    user: dict


class Vault:
    """The storage root at ``root``, made by the first `commit` when there is none.

    Parameters
    ----------
    root : folder on a file system with atomic renames.
    wait : seconds to wait for another process that is writing the same object.
    """

    def __init__(self, root: Path | str, *, wait: float = 5.0) -> None:
        self.root = Root(Path(root))
        self.wait = wait
        self._last: tuple[tuple, Inventory] | None = None

    # Writing

    def commit(
        self,
        accession: str,
        source: Path | str | None,
        files: Iterable[tuple[str, int, int]],
        *,
        meta: Mapping[str, bytes | Path],
        message: str,
        user: tuple[str, str],
        mode: str = "replace",
        given: Mapping[str, str] | None = None,
        now: datetime | None = None,
        threads: int = 2,
        volatile_meta: frozenset[str] = VOLATILE_META,
        reread: bool = False,
        progress: Progress | None = None,
    ) -> Commit:
        """Archive a submission as the next version; no new one when nothing lasting differs.

        Parameters
        ----------
        source : the submission's folder (None when ``files`` is empty).
        files : (path, size in bytes, mtime in ns) as listed; an empty folder's path ends in ``/``.
            What isn't there as listed is refused by name, all of it at once.
        meta : name -> bytes, or a file to copy. ``times.tsv`` is always written by the vault.
        message, user : what the version says of itself; user is (name, address).
        mode : ``replace``: the version is what is listed. ``add``: it also has all that the last
            one had, under paths that aren't listed (and meta likewise).
        given : path -> sha256 in hex that a file must have.
        volatile_meta : names whose change alone makes no version.
        reread : read also files whose path, size and time are those of the last version.
        progress : called with (bytes done, bytes in all).

        Raises
        ------
        Refused : what was listed isn't so, or names or checksums are wrong.
        Locked : another process is writing this accession.
        VaultError : the disk is full or fails; the vault is as before, or the next command of any
            kind ends what was decided.
        """
        names.check_accession(accession)
        if mode not in ("replace", "add"):
            raise ValueError(f"mode is replace or add, not {mode!r}")
        self._last = None
        with self._writing(accession):
            self._check_spelling(accession)
            self._check_purged(accession)
            return writing.commit(
                self.root, accession, None if source is None else Path(source), files,
                meta=meta, message=message, user=user, mode=mode, given=given or {}, now=now,
                threads=threads, volatile_meta=volatile_meta, reread=reread, progress=progress,
            )  # fmt: skip

    @contextlib.contextmanager
    def _writing(self, accession: str) -> Iterator[None]:
        """Hold an object's lock, nothing of it unfinished; what goes wrong is a `VaultError`."""
        key = self.root.key(accession)
        try:
            self.root.prepare()
            self.root.recover()
            with lock(self.root.locks, key, wait=self.wait):
                self.root.settle(key)
                yield
        except OSError as reason:
            raise disk_error(reason, accession) from reason
        except BadInventory as reason:
            raise Damaged(
                error(
                    "INVENTORY_DAMAGED",
                    f"{accession}: {reason}",
                    mend=f"repair it first: slidebox repair {accession}",
                )
            ) from reason

    def _check_spelling(self, accession: str) -> None:
        there = self.root.spelling(accession)
        if there is not None and there != accession:
            raise Refused(
                error(
                    "ACCESSION_TAKEN",
                    f"{accession} differs from the archived {there} in case only",
                    mend=f"write {there}, or take another accession",
                )
            )

    def _check_purged(self, accession: str) -> None:
        if (self.root.purged / f"{self.root.key(accession)}.json").exists():
            raise Refused(
                error(
                    "ACCESSION_PURGED",
                    f"{accession} was deleted on purpose and is not given out again",
                    mend="take another accession",
                )
            )

    def recover(self) -> list[str]:
        """End or remove what a crash left; what was done, a line each."""
        return self.root.recover()

    # Reading

    def accessions(self) -> list[str]:
        """All accessions, sorted."""
        self._begin()
        return self.root.accessions()

    def versions(self, accession: str) -> list[Version]:
        """The versions of an object, oldest first."""
        inv = self._inventory(accession)
        return [
            Version(
                int(name[1:]), block["created"], block.get("message", ""), block.get("user", {})
            )
            for name, block in inv.versions.items()
        ]

    def head(self, accession: str) -> int:
        """The number of the last version."""
        return self._inventory(accession).head

    def exists(self, accession: str) -> bool:
        """Whether the vault has this accession (spelt so)."""
        self._settled()
        return self.root.exists() and self.root.object(names.check_accession(accession)).is_dir()

    def files(self, accession: str, version: int | None = None) -> Iterator[VaultFile]:
        """The submitted files of a version (the last one when None), sorted by path."""
        inv, state = self._state(accession, version)
        folder = self.root.object(accession)
        for logical in sorted(state):
            if logical.startswith("data/"):
                yield _file(folder, inv, logical.removeprefix("data/"), state[logical])

    def file(self, accession: str, path: str, version: int | None = None) -> VaultFile:
        """One submitted file."""
        inv, state = self._state(accession, version)
        digest = state.get(f"data/{path}")
        if digest is None:
            raise _no_file(accession, path, version)
        return _file(self.root.object(accession), inv, path, digest)

    def open(self, accession: str, path: str, version: int | None = None):
        """A submitted file, open for reading bytes."""
        return self.file(accession, path, version).content.open("rb")

    def meta(self, accession: str, version: int | None = None) -> list[str]:
        """The names of what ``meta/`` holds."""
        _, state = self._state(accession, version)
        return sorted(p.removeprefix("meta/") for p in state if p.startswith("meta/"))

    def read_meta(self, accession: str, name: str, version: int | None = None) -> bytes:
        """The bytes of ``meta/<name>``."""
        with self.open_meta(accession, name, version) as handle:
            return handle.read()

    def open_meta(self, accession: str, name: str, version: int | None = None) -> BinaryIO:
        """``meta/<name>``, open for reading bytes."""
        inv, state = self._state(accession, version)
        digest = state.get(f"meta/{name}")
        if digest is None:
            raise _no_file(accession, f"meta/{name}", version)
        return (self.root.object(accession) / inv.content(digest)).open("rb")

    def digests(self, accession: str, version: int | None = None) -> dict[str, str]:
        """path -> sha512 of the submitted files of a version; no file is looked at."""
        _, state = self._state(accession, version)
        return {p.removeprefix("data/"): d for p, d in state.items() if p.startswith("data/")}

    def times(self, accession: str, version: int | None = None) -> dict[str, int]:
        """path -> mtime in ns; empty folders end in ``/``."""
        try:
            return dict(times.parse(self.read_meta(accession, times.NAME, version)))
        except NotFound:
            return {}

    def restore(
        self,
        accession: str,
        dest: Path | str,
        version: int | None = None,
        select: str | Sequence[str] | None = None,
        progress: Progress | None = None,
        *,
        threads: int = 2,
    ) -> Restored:
        """Write the files of a version as they were submitted, each verified before it has a name.

        ``dest`` doesn't exist, is empty, or holds this same restore unfinished, which then goes on.
        ``select``: shell patterns (``*`` crosses ``/``) or folders. Empty folders come back when
        nothing is selected, or with their own name or parent.

        Damaged files are left out and are findings of the result (the restore then counts as
        unfinished); everything else raises before anything is overwritten.
        """
        inv, state = self._state(accession, version)
        folder = self.root.object(accession)
        number = inv.head if version is None else version
        recorded = self.times(accession, number)
        logical = sorted(p.removeprefix("data/") for p in state if p.startswith("data/"))
        chosen = choose(logical + [path for path in recorded if path.endswith("/")], select)
        folders = {path[:-1]: recorded[path] for path in chosen if path.endswith("/")}
        tops = {path.split("/", 1)[0] for path in logical}
        chosen = [path for path in chosen if not path.endswith("/")]
        sizes = [_size(f"{folder}/{inv.content(state[f'data/{path}'])}") for path in chosen]

        def wanted() -> Iterator[Wanted]:
            for path, size in zip(chosen, sizes, strict=True):
                digest = state[f"data/{path}"]
                content = f"{folder}/{inv.content(digest)}"
                yield Wanted(path, content, digest, size, recorded.get(path))

        purpose = {"accession": accession, "version": number, "select": select}
        try:
            destination = Destination(Path(dest), purpose, tops)
            return restoring(
                destination, wanted(), sum(sizes), folders, Restored(number),
                threads=threads, progress=progress,
            )  # fmt: skip
        except OSError as reason:
            raise VaultError(
                error(
                    "DEST_FAILS",
                    f"{dest}: {reason.strerror}",
                    file=str(reason.filename or dest),
                    mend="make room or name another folder; restoring again goes on where it ended",
                )
            ) from reason

    def view(
        self,
        accession: str,
        paths: Iterable[str],
        dest: Path | str,
        version: int | None = None,
    ) -> Path:
        """A folder of symbolic links with the true names, to read files where they lie.

        Links that are there already and lead to the same bytes are kept; anything else is refused.
        """
        inv, state = self._state(accession, version)
        dest = Path(dest)
        dest.mkdir(parents=True, exist_ok=True)
        folder = self.root.object(accession).resolve()
        for path in paths:
            digest = state.get(f"data/{path}")
            if digest is None:
                raise _no_file(accession, path, version)
            link, target = dest / path, str(folder / inv.content(digest))
            link.parent.mkdir(parents=True, exist_ok=True)
            try:
                disk.symlink(target, link)
            except FileExistsError:
                if not link.is_symlink() or os.readlink(link) != target:
                    raise Refused(
                        error(
                            "DEST_EXISTS",
                            f"{link} is there already and is something else",
                            file=str(link),
                            mend="name an empty folder",
                        )
                    ) from None
        return dest

    # Keeping

    def audit(
        self,
        accessions: Iterable[str] | None = None,
        *,
        seconds: float | None = None,
        size: int | None = None,
        everything: bool = False,
        mirror: Mirror | None = None,
        period_days: float = 90,
        threads: int = 2,
        progress: Progress | None = None,
    ) -> AuditReport:
        """Read the vault back, what has waited longest first; note what was read in the ledger.

        Parameters
        ----------
        accessions : only these (all when None).
        seconds, size : the budget, in time and in bytes; without either, all is read.
        everything : read all, whatever the budget.
        mirror : also read and compare the second copy of what is read.
        period_days : within how many days all should be read; a warning when that isn't so.
        progress : called with (objects done, objects in all).
        """
        self._begin()
        chosen = self.root.accessions()
        if accessions is not None:
            chosen = list(accessions)
            for accession in chosen:
                self._inventory(accession)
        budget = Budget(None, None) if everything else Budget(seconds, size)
        report = auditing(
            self.root, chosen, budget=budget, mirror=mirror, period_days=period_days,
            threads=threads, now=time.time(), progress=progress,
        )  # fmt: skip
        if accessions is None:
            report.findings = root_findings(self.root) + report.findings
        return report

    def mirror(
        self,
        mirror: Mirror,
        accessions: Iterable[str] | None = None,
        progress: Progress | None = None,
    ) -> Mirrored:
        """Bring the second copy up to date; damaged files aren't copied and are findings."""
        self._begin()
        result = Mirrored()
        mirror.push_root(self.root)
        chosen = self.root.accessions() if accessions is None else list(accessions)
        for number, accession in enumerate(chosen):
            try:
                mirror.push(self.root, accession, result)
            except BadInventory as reason:
                result.findings.append(
                    error(
                        "INVENTORY_DAMAGED",
                        f"{accession}: {reason}; it was not mirrored",
                        mend=f"slidebox repair {accession}",
                    )
                )
            if progress is not None:
                progress(number + 1, len(chosen))
        return result

    def repair(
        self, accession: str, mirror: Mirror | None = None, progress: Progress | None = None
    ) -> Repaired:
        """Read an object, here and in the mirror, and mend what is damaged from the whole copy.

        An object that is missing altogether comes back from the mirror. Without a mirror, damaged
        inventories are still mended from the copies that each version keeps.
        """
        names.check_accession(accession)
        with self._writing(accession):
            self._check_purged(accession)
            return repairing(self.root, accession, mirror, progress)

    def withdraw(
        self,
        accession: str,
        *,
        reason: str,
        contact: str,
        user: tuple[str, str],
        now: datetime | None = None,
    ) -> dict:
        """Say in a new version that a study is withdrawn; the vault keeps all bytes.

        Returns the tombstone: accession, status, reason, contact, withdrawn_by, date, last_version.
        """
        entry = withdrawal.tombstone(
            accession, reason=reason, contact=contact, by=user[0], version=self.head(accession),
            now=now,
        )  # fmt: skip
        text = json.dumps(entry, indent=2, ensure_ascii=False) + "\n"
        self.commit(
            accession, None, [], meta={withdrawal.NAME: text.encode()}, mode="add",
            message=f"withdrawn: {reason}", user=user, now=now,
        )  # fmt: skip
        return entry

    def tombstone(self, accession: str) -> dict | None:
        """What is said of a withdrawn or deleted study; None when it is neither."""
        self._begin()
        record = self.root.purged / f"{self.root.key(accession)}.json"
        if record.exists():
            return json.loads(record.read_bytes())
        try:
            return json.loads(self.read_meta(accession, withdrawal.NAME))
        except NotFound:
            return None

    def purge(
        self,
        accession: str,
        paths: Iterable[str] | None = None,
        *,
        reason: str,
        by: str,
        mirror: Mirror | None = None,
        now: datetime | None = None,
    ) -> Purged:
        """Delete bytes for good: a whole study (``paths`` None), or files from all its versions.

        The one command that does so. It is logged in the vault with who and why; the accession of a
        deleted study isn't given out again. Without ``mirror`` the second copy keeps the bytes.
        """
        self.head(accession)  # NotFound in the usual words
        with self._writing(accession):
            return withdrawal.purge(
                self.root, accession, paths, reason=reason, by=by, mirror=mirror, now=now
            )

    def damaged(self) -> list[str]:
        """The accessions of which the last audit found files that weren't whole."""
        self._begin()
        rows = ((acc, ledger.summary(self.root.ledger, acc)) for acc in self.root.accessions())
        return [accession for accession, row in rows if row and row["bad"]]

    def _begin(self) -> None:
        self._settled()
        self.root.require()

    def _settled(self) -> None:
        """`recover`, as far as a reader can.

        Whoever may only read, or meets a failing disk, leaves it as it is: of a change that is
        decided but unfinished, the last whole version is read.
        """
        with contextlib.suppress(OSError):
            self.root.recover()

    def _inventory(self, accession: str) -> Inventory:
        """The inventory of an object, from its root, or else from its last whole version."""
        self._begin()
        folder = self.root.object(names.check_accession(accession))
        if not folder.is_dir():
            other = self.root.spelling(accession)
            raise NotFound(
                error(
                    "NO_SUCH_ACCESSION",
                    f"the vault has no {accession}",
                    mend=f"did you mean {other}?" if other else "slidebox status lists them",
                )
            )
        # A large one takes seconds to read, and is asked for several times: it is kept as long as
        # the file that was verified is the one that stands there.
        with contextlib.suppress(OSError):
            info = os.stat(folder / inventory.NAME)
            if info.st_size >= _LARGE:
                state = (accession, info.st_ino, info.st_size, info.st_mtime_ns, info.st_ctime_ns)
                if self._last is None or self._last[0] != state:
                    self._last = None
                    self._last = (state, whole_inventory(folder, accession))
                return self._last[1]
        return whole_inventory(folder, accession)

    def _state(self, accession: str, version: int | None) -> tuple[Inventory, dict[str, str]]:
        inv = self._inventory(accession)
        try:
            return inv, inv.paths(version)
        except KeyError:
            raise NotFound(
                error(
                    "NO_SUCH_VERSION",
                    f"{accession} has no version {version}",
                    mend=f"its versions are 1 to {inv.head}",
                )
            ) from None


def _file(folder: Path, inv: Inventory, path: str, digest: str) -> VaultFile:
    content = inv.content(digest)
    place = folder / content
    try:
        size = os.stat(place).st_size
    except OSError as reason:
        raise Damaged(
            error(
                "CONTENT_MISSING",
                f"{path!r}: {content} can't be read: {reason.strerror}",
                file=path,
                mend="slidebox repair takes the mirror's copy",
            )
        ) from reason
    version = int(content[1 : content.index("/")])
    return VaultFile(path, size, inv.sha256.get(content, ""), digest, place, version)


def _size(content: str) -> int:
    """Bytes of a content file, 0 when it is missing: restoring it says so."""
    try:
        return os.stat(content).st_size
    except OSError:
        return 0


def _no_file(accession: str, path: str, version: int | None) -> NotFound:
    which = "the last version" if version is None else f"version {version}"
    return NotFound(error("NO_SUCH_FILE", f"{which} of {accession} has no {path!r}", file=path))
