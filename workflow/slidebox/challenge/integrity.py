"""Whether a released folder, and its hidden truth, are still what SHA256SUMS lists."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

from ..findings import Finding
from ..scoring.release import MANIFEST, rows_of, sha256_file
from .commitment import commitment, truth_digest

FILE = re.compile(r"labels/[^/\0]*[^/\0.][^/\0]*")  # of a truth, from truth.csv
MEND = "restore it from a copy, or remove the release's folder and release it once more as it was"
# Made later or by others; no part of what is immutable
OUTSIDE_MANIFEST = {MANIFEST, "leaderboard", "revealed", "bridges", "index.html"}


def read_manifest(folder: Path) -> dict[str, str]:
    path = folder / MANIFEST
    if not path.is_file():
        return {}
    # A byte that is no UTF-8 makes a name that is nowhere, which is found as damage
    lines = path.read_text("utf-8", errors="replace").splitlines()
    return {name: digest for digest, _, name in (line.partition("  ") for line in lines)}


def differing(a: dict[str, str], b: dict[str, str]) -> list[str]:
    """Names whose digests differ, or that are on one side alone."""
    return sorted(n for n in a.keys() | b.keys() if a.get(n) != b.get(n))


def released_files(folder: Path) -> list[Path]:
    return sorted(
        p for p in folder.rglob("*")
        if (p.is_symlink() or not p.is_dir())
        and p.relative_to(folder).parts[0] not in OUTSIDE_MANIFEST
    )  # fmt: skip


def verify_folder(folder: Path) -> list[Finding]:
    """Compare a released folder with its SHA256SUMS."""
    if not (folder / MANIFEST).is_file():
        return [Finding("RELEASE_DAMAGED", "error", "is missing", f"{folder.name}/{MANIFEST}",
                        mend=MEND)]  # fmt: skip
    manifest, findings = read_manifest(folder), []
    written = "".join(f"{digest}  {name}\n" for name, digest in manifest.items())
    if (folder / MANIFEST).read_bytes() != written.encode():
        findings.append(Finding("RELEASE_DAMAGED", "error", "isn't as it was written",
                                f"{folder.name}/{MANIFEST}", mend=MEND))  # fmt: skip
    present = {p.relative_to(folder).as_posix(): p for p in released_files(folder)}
    findings += [
        Finding("RELEASE_DAMAGED", "error",
                "has changed since it was released, or its line of SHA256SUMS has"
                if name in present else "is missing", f"{folder.name}/{name}", mend=MEND)
        for name, digest in sorted(manifest.items())
        if name not in present or _digest(present[name]) != digest
    ]  # fmt: skip
    findings += [
        Finding("RELEASE_DAMAGED", "error", "was added after the release", f"{folder.name}/{name}",
                mend="remove it")
        for name in sorted(present.keys() - manifest.keys())
    ]  # fmt: skip
    return findings


def _digest(path: Path) -> str | None:
    """Digest of a file; None of what is none. A link isn't what was released, whatever it shows."""
    return sha256_file(path) if path.is_file() and not path.is_symlink() else None


def verify_private(public: Path, private: Path, slug: str, version: str) -> list[Finding]:
    """What the private folder remembers of a release against the public one, and hidden truth
    against its digests and the commitment."""

    def damaged(name: str, what: str) -> Finding:
        return Finding("RELEASE_DAMAGED", "error", what, f"{version}/{name}",
                       mend=MEND)  # fmt: skip

    findings = []
    if (private / MANIFEST).is_file():  # older software kept none
        findings = [
            damaged(name, "isn't what was released: private/ has another digest of it")
            for name in differing(read_manifest(private), read_manifest(public))
        ]
    if not (private / "truth.csv").is_file():
        return findings  # a release that is built again writes it
    told = against_commitment(public, private, slug, version)
    return findings + [
        damaged(f"private/{name}", f"the hidden truth {what}") for name, what in told
    ]


def against_commitment(
    public: Path, folder: Path, slug: str, version: str, labels: bool = True
) -> list[tuple[str, str]]:
    """(file in `folder`, what is wrong) of hidden or revealed truth against its digests, and of
    those against the commitment in `public`.

    Parameters
    ----------
    folder : has truth.csv, commitment.key and the files that truth.csv names.
    labels : whether those files have to be there.
    """
    try:
        rows = {row["id"]: row for row in read_table(folder / "truth.csv")}
    except ValueError as bad:
        return [("truth.csv", f"can't be told: {bad}")]
    made, key = {}, b""
    if rows or (public / "commitment.json").is_file():
        try:
            made = dict(json.loads((public / "commitment.json").read_text("utf-8"))["truth"])
        except (OSError, ValueError, KeyError, TypeError):
            return [("commitment.json", "can't be checked: the release's commitment is no more")]
        try:
            key = bytes.fromhex((folder / "commitment.key").read_text("ascii").strip())
        except (OSError, ValueError):
            return [("commitment.key", "can't be checked: this isn't the commitment's key")]
    found = []
    for which in sorted(made.keys() | rows.keys()):
        if which not in rows or which not in made:
            what = "was committed to and isn't there" if which in made else "wasn't committed to"
            found.append(("truth.csv", f"of {which} {what}"))
            continue
        name = rows[which]["truth"]
        path = folder / name
        if commitment(key, slug, version, rows[which]) != made[which]:
            found.append((name, f"of {which} isn't what was committed to"))
        elif not FILE.fullmatch(name):
            found.append(("truth.csv", f"of {which} is said to be elsewhere: {name!r}"))
        elif labels and not path.exists():
            found.append((name, f"of {which} is missing"))
        elif path.exists() and truth_digest(path) != rows[which]["sha256"]:
            found.append((name, f"of {which} has changed"))
    known = {row["truth"].rpartition("/")[2] for row in rows.values()}
    there = sorted(p.name for p in folder.glob("labels/*"))
    return found + [(f"labels/{n}", "is in no line of truth.csv") for n in there if n not in known]


def read_table(path: Path) -> list[dict[str, str]]:
    """Rows of a table of hidden truth.

    Raises
    ------
    ValueError
        It isn't there, or isn't one.
    """
    try:
        rows = rows_of(path)
    except (OSError, UnicodeDecodeError, csv.Error) as bad:
        raise ValueError(f"{path.name} can't be read") from bad
    if len({row.get("id") for row in rows}) < len(rows):
        raise ValueError(f"{path.name} names an image twice")
    if any(not row.get(k) for row in rows for k in ("id", "truth", "sha256")):
        raise ValueError(f"{path.name} has other columns than id, split, truth, sha256")
    return rows
