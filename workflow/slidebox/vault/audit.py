"""Reading the vault back: what has waited longest first, within a budget.

A visit to an object judges its structure, then reads content files in the order of their last
reading. It goes on to the next object where that one's files have waited longer, so that any
budget, spent again and again, reads everything.
"""

from __future__ import annotations

import heapq
import os
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from slidebox.findings import Finding
from slidebox.vault import inventory, ledger, names, root, structure
from slidebox.vault.errors import Damaged, error
from slidebox.vault.inventory import Inventory, whole_inventory
from slidebox.vault.mirror import Mirror
from slidebox.vault.parallel import each
from slidebox.vault.restore import sha512_of
from slidebox.vault.root import Root

Progress = Callable[[int, int], None]
_DAY = 86_400


@dataclass(frozen=True, slots=True)
class Damage:
    """Bytes that aren't what was archived: of which accession, version and logical path.

    ``where`` is "vault" or "mirror"; ``problem`` is "missing", "damaged" or "unreadable".
    ``path`` begins with ``data/`` or ``meta/``.
    """

    accession: str
    version: int
    path: str
    content: str
    where: str
    problem: str


@dataclass
class AuditReport:
    """What an audit read and found. ``oldest``: since when everything has been read, RFC 3339."""

    objects: int = 0
    files: int = 0
    bytes: int = 0
    seconds: float = 0.0
    complete: bool = False
    oldest: str | None = None
    damage: list[Damage] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)

    def to_json(self) -> dict:
        """Plain data."""
        return {
            "objects": self.objects,
            "files": self.files,
            "bytes": self.bytes,
            "seconds": round(self.seconds, 3),
            "complete": self.complete,
            "oldest": self.oldest,
            "damage": [
                {key: getattr(item, key) for key in Damage.__slots__} for item in self.damage
            ],
            "findings": [finding.to_dict() for finding in self.findings],
        }


class Budget:
    """What may still be spent; no limit counts as endless."""

    def __init__(self, seconds: float | None, size: int | None) -> None:
        self._end = None if seconds is None else time.monotonic() + seconds
        self._left = size

    @property
    def limited(self) -> bool:
        return self._end is not None or self._left is not None

    def spend(self, size: int) -> None:
        if self._left is not None:
            self._left -= size

    @property
    def spent(self) -> bool:
        late = self._end is not None and time.monotonic() >= self._end
        return late or (self._left is not None and self._left <= 0)


def audit(
    vault: Root,
    accessions: Iterable[str],
    *,
    budget: Budget,
    mirror: Mirror | None,
    period_days: float,
    threads: int,
    now: float,
    progress: Progress | None,
) -> AuditReport:
    """See `Vault.audit`."""
    report = AuditReport()
    started = time.monotonic()
    accessions = list(accessions)
    waiting = [(_rank(vault, accession), accession) for accession in accessions]
    heapq.heapify(waiting)
    total = len(waiting)
    visited: dict[str, set[str]] = {}  # what this audit has read, of objects that it returns to
    while waiting and not budget.spent:
        _, accession = heapq.heappop(waiting)
        limit = waiting[0][0] + _DAY if waiting and budget.limited else None
        visit = Visit(vault, accession, report, mirror, threads, now)
        visit.done = visited.get(accession, set())
        visit.run(budget, limit, first=accession not in visited)
        visited[accession] = visit.done if visit.left else set()
        if visit.left:
            heapq.heappush(waiting, (visit.oldest, accession))
        if progress is not None:
            progress(total - len(waiting), total)
    report.objects = len(visited)
    report.complete = not waiting
    oldest = min((_rank(vault, accession) for accession in accessions), default=now)
    report.oldest = datetime.fromtimestamp(oldest, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    if oldest < now - period_days * _DAY:
        report.findings.append(
            Finding(
                "AUDIT_BEHIND",
                "warning",
                f"some files were last read on {report.oldest[:10]}, more than "
                f"{period_days:g} days ago",
                mend="give the audit a larger budget, or run it more often",
            )
        )
    report.seconds = time.monotonic() - started
    return report


def _rank(vault: Root, accession: str) -> int:
    """Since when something of an object waits to be read: what was never, since it was written."""
    known = ledger.summary(vault.ledger, accession)
    if known is not None:
        return known["oldest"]
    try:
        return int(os.stat(vault.object(accession) / inventory.NAME).st_mtime)
    except OSError:
        return 0


class Visit:
    """One object under audit."""

    def __init__(
        self,
        vault: Root,
        accession: str,
        report: AuditReport,
        mirror: Mirror | None,
        threads: int,
        now: float,
    ) -> None:
        self.vault = vault
        self.accession = accession
        self.folder = vault.object(accession)
        self.report = report
        self.mirror = mirror
        self.threads = max(1, threads)
        self.now = int(now)
        self.ledger = ledger.load(vault.ledger, accession)
        self.done: set[str] = set()
        self.left = 0
        self.oldest = self.now
        self._guard = threading.Lock()

    def run(self, budget: Budget, limit: float | None, *, first: bool) -> None:
        """Judge the structure, read what has waited since before ``limit``, keep the ledger."""
        if first:
            self.report.findings += structure.validate_object(self.folder, digests=False)
        try:
            inv = whole_inventory(self.folder, self.accession)
        except Damaged as damaged:
            self.report.findings += damaged.findings
            return
        if first and self.mirror is not None:
            local = (self.folder / inventory.SIDECAR).read_bytes()
            self.report.findings += self.mirror.behind(self.accession, local)
        contents = {path: digest for digest, paths in inv.manifest.items() for path in paths}
        before = self.ledger.checked
        created = {name: _created(block) for name, block in inv.versions.items()}
        known = {  # what was never read is as old as the version that brought it
            path: before.get(path) or created.get(path.split("/", 1)[0], 0) for path in contents
        }
        del before
        order = sorted(contents, key=lambda path: (known[path], path))
        chosen = [path for path in order if path not in self.done]
        chosen = [path for path in chosen if limit is None or known[path] <= limit]
        self.ledger.checked = known
        self.ledger.bad &= set(contents)
        try:
            each(self.threads, lambda p: self._one(p, contents[p], inv, budget), chosen)
        finally:
            self._keep()
        self.left = len(contents.keys() - self.done)
        self.oldest = self.ledger.oldest

    def _one(self, path: str, digest: str, inv: Inventory, budget: Budget) -> None:
        if budget.spent:
            return
        problem, size = None, 0
        try:
            size = os.stat(f"{self.folder}/{path}").st_size
            if sha512_of(f"{self.folder}/{path}") != digest:
                problem = "damaged"
        except FileNotFoundError:
            problem = "missing"
        except OSError:
            problem = "unreadable"
        mirrored = (
            None if self.mirror is None else self.mirror.problem(self.accession, path, digest)
        )
        with self._guard:
            budget.spend(size)
            self.report.files += 1
            self.report.bytes += size
            self.done.add(path)
            self.ledger.checked[path] = self.now
            self.ledger.bad.discard(path)
            if problem is not None:
                self.ledger.bad.add(path)
                self._name(path, _uses(inv, digest), "vault", problem)
            if mirrored is not None:
                self._name(path, _uses(inv, digest), "mirror", mirrored)

    def _name(self, content: str, uses: dict[str, list[int]], where: str, problem: str) -> None:
        """Damage is named by every logical path that has these bytes, in the first such version."""
        code = "CONTENT" if where == "vault" else "MIRROR"
        for path, versions in sorted(uses.items()):
            self.report.damage.append(
                Damage(self.accession, versions[0], path, content, where, problem)
            )
            many = f"versions {versions[0]} to {versions[-1]}" if len(versions) > 1 else (
                f"version {versions[0]}"
            )  # fmt: skip
            self.report.findings.append(
                error(
                    f"{code}_{problem.upper()}",
                    f"{self.accession}, {many}, {path!r}: the {where}'s bytes ({content}) "
                    f"are {problem}",
                    file=path,
                    mend=f"slidebox repair {self.accession}",
                )
            )

    def _keep(self) -> None:
        try:
            ledger.save(self.vault.ledger, self.accession, self.ledger)
        except OSError as reason:
            self.report.findings.append(
                Finding(
                    "LEDGER_NOT_KEPT",
                    "warning",
                    f"what was read of {self.accession} can't be noted: {reason.strerror}",
                    file=str(self.vault.ledger),
                    mend="make the ledger's folder writable for who audits",
                )
            )


def _uses(inv: Inventory, digest: str) -> dict[str, list[int]]:
    """logical path -> the versions that have these bytes there."""
    found: dict[str, list[int]] = {}
    for name, block in inv.versions.items():
        for path in block["state"].get(digest, ()):
            found.setdefault(path, []).append(int(name[1:]))
    return found


def _created(block: dict) -> int:
    try:
        return int(datetime.fromisoformat(block["created"]).timestamp())
    except (KeyError, ValueError):
        return 0


def root_findings(vault: Root) -> list[Finding]:
    """What is wrong with the storage root itself, and what lies in it that isn't the vault's.

    Objects of other tools are judged whole, with all their digests.
    """
    findings = []
    try:
        declared = (vault.path / root.DECLARATION).read_bytes()
    except OSError:
        declared = b""
    if declared != b"ocfl_1.1\n":
        findings.append(
            error("OCFL_E069", f"{vault.path} does not declare itself an OCFL 1.1 root")
        )
    ours = {"extensions", "ocfl_layout.json", root.DECLARATION, "lost+found"}
    for name in sorted(set(os.listdir(vault.path)) - ours):
        path: Path = vault.path / name
        if names.accession_of(name) is not None and not path.is_symlink():
            continue
        if path.is_dir() and not path.is_symlink() and any(path.glob("0=ocfl_object_*")):
            findings += structure.validate_object(path)
        else:
            findings.append(
                Finding(
                    "ROOT_UNKNOWN",
                    "warning",
                    f"{name!r} in the vault isn't Slidebox's",
                    file=str(path),
                    mend="move it elsewhere",
                )
            )
    return findings
