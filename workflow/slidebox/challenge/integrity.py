"""Whether a released folder, and its hidden truth, are still what SHA256SUMS lists."""

from __future__ import annotations

import csv
import json
from pathlib import Path

from ..findings import Finding
from ..scoring.release import MANIFEST, sha256_file
from .commitment import commitment, truth_digest

# Made later or by others; no part of what is immutable
OUTSIDE_MANIFEST = {MANIFEST, "leaderboard", "revealed", "bridges", "index.html"}


def read_manifest(folder: Path) -> dict[str, str]:
    path = folder / MANIFEST
    if not path.is_file():
        return {}
    lines = path.read_text("utf-8").splitlines()
    return {name: digest for digest, _, name in (line.partition("  ") for line in lines)}


def differing(a: dict[str, str], b: dict[str, str]) -> list[str]:
    """Names whose digests differ, or that are on one side alone."""
    return sorted(n for n in a.keys() | b.keys() if a.get(n) != b.get(n))


def released_files(folder: Path) -> list[Path]:
    return sorted(
        p for p in folder.rglob("*")
        if p.is_file() and p.relative_to(folder).parts[0] not in OUTSIDE_MANIFEST
    )  # fmt: skip


def verify_folder(folder: Path) -> list[Finding]:
    """Compare a released folder with its SHA256SUMS."""
    manifest = read_manifest(folder)
    present = {p.relative_to(folder).as_posix(): p for p in released_files(folder)}
    findings = [
        Finding("RELEASE_DAMAGED", "error",
                "is missing" if name not in present else "has changed since it was released",
                f"{folder.name}/{name}", mend="restore it from a copy, or release a new version")
        for name, digest in sorted(manifest.items())
        if name not in present or sha256_file(present[name]) != digest
    ]  # fmt: skip
    findings += [
        Finding("RELEASE_DAMAGED", "error", "was added after the release", f"{folder.name}/{name}",
                mend="remove it")
        for name in sorted(present.keys() - manifest.keys())
    ]  # fmt: skip
    return findings


def verify_private(public: Path, private: Path) -> list[Finding]:
    """What the private folder remembers of a release against the public one, and hidden truth
    against its digests and the commitment."""
    version = public.name

    def damaged(name: str, what: str) -> Finding:
        return Finding("RELEASE_DAMAGED", "error", what, f"{version}/{name}",
                       mend="restore it from a copy, or release a new version")  # fmt: skip

    findings = [
        damaged(name, "isn't what was released: private/ has another digest of it")
        for name in differing(read_manifest(private), read_manifest(public))
    ]
    table = private / "truth.csv"
    if not table.is_file():
        return findings
    made, key = {}, b""
    if (public / "commitment.json").is_file():
        made = json.loads((public / "commitment.json").read_text("utf-8"))["truth"]
        key = bytes.fromhex((private / "commitment.key").read_text("ascii").strip())
    with table.open(encoding="utf-8", newline="") as handle:
        rows = list(csv.DictReader(handle))
    for which in sorted(made.keys() - {row["id"] for row in rows}):
        findings.append(damaged("truth.csv", f"the hidden truth of {which} is missing"))
    for row in rows:
        path = private / row["truth"]
        if not path.exists():
            findings.append(damaged(row["truth"], "the hidden truth is missing"))
        elif truth_digest(path) != row["sha256"]:
            findings.append(damaged(row["truth"], "the hidden truth has changed"))
        elif made.get(row["id"]) != commitment(key, public.parent.name, version, row):
            findings.append(damaged(row["truth"], "isn't the hidden truth that was committed to"))
    return findings
