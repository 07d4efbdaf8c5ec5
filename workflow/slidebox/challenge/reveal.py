"""The end of a challenge: publish the key of the commitment, and the hidden truth if wanted."""

from __future__ import annotations

import csv
import json
import os
import shutil
from pathlib import Path

from ..atomic import write_text
from ..findings import Finding
from ..scoring.opening import open_release
from ..scoring.release import MANIFEST, NotARelease, find_private
from . import versions
from .commitment import commitment, truth_digest
from .integrity import verify_folder, verify_private


def reveal(
    release: Path | str, private: Path | str, *, truth: bool = True
) -> Path:  # fmt: skip
    """Write ``<release>/revealed/`` with the key, the table of digests, and the truth itself.

    The release isn't changed: ``revealed/`` stands beside what SHA256SUMS lists.

    Raises
    ------
    NotARelease
        There is no hidden truth of this release in `private`, or it isn't what was committed to,
        or a later release still hides some of it.
    """
    release = Path(release)
    opened = open_release(release)
    if not (release / "commitment.json").is_file():
        raise NotARelease(f"{release} has no hidden truth to reveal")
    secret = find_private(Path(private), opened.slug, opened.version)
    if (secret / MANIFEST).is_file() and (damaged := verify_private(release, secret)):
        raise NotARelease("; ".join(f"{f.file} {f.message}" for f in damaged[:5]))
    if held := _still_hidden(release, secret):
        raise NotARelease(f"{held} hides some of this truth too: reveal it first")
    target = release / "revealed"
    staging = release / f".revealed.{os.getpid()}.tmp"
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir()
    try:
        for name in ("truth.csv", "commitment.key"):
            write_text(staging / name, (secret / name).read_text("ascii"))
        if truth:
            shutil.copytree(secret / "labels", staging / "labels")
        shutil.rmtree(target, ignore_errors=True)
        staging.rename(target)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return target


def _still_hidden(release: Path, secret: Path) -> str | None:
    """A later release of the same challenge with the same hidden truth that isn't revealed."""

    def truth(folder: Path) -> set[tuple[str, str]]:
        with (folder / "truth.csv").open(encoding="utf-8", newline="") as handle:
            return {(r["id"], r["sha256"]) for r in csv.DictReader(handle)}

    here = versions.released(release.parent)
    for later in here[here.index(release.name) + 1 :] if release.name in here else []:
        other = secret.parent / later
        if (
            (other / "truth.csv").is_file()
            and not (release.parent / later / "revealed").is_dir()
            and truth(secret) & truth(other)
        ):
            return later
    return None


def verify(release: Path | str) -> list[Finding]:
    """Check revealed truth against the commitment that the release was published with.

    Findings with COMMITMENT_BROKEN for each truth that isn't what was committed to; none if all is
    well.
    """
    release = Path(release)
    opened = open_release(release)
    promised = json.loads((release / "commitment.json").read_text("utf-8"))["truth"]
    folder = release / "revealed"
    if not (folder / "commitment.key").is_file():
        raise NotARelease(f"{release} isn't revealed yet")
    key = bytes.fromhex((folder / "commitment.key").read_text("ascii").strip())
    with (folder / "truth.csv").open(encoding="utf-8", newline="") as handle:
        rows = {r["id"]: r for r in csv.DictReader(handle)}
    findings = []

    def broken(which: str, what: str) -> None:
        findings.append(
            Finding("COMMITMENT_BROKEN", "error", what, which,
                    mend="ask the organisers; scores against this truth aren't comparable")
        )  # fmt: skip

    for which in sorted(promised.keys() | rows.keys()):
        if which not in rows or which not in promised:
            broken(which, "was committed to and isn't revealed" if which in promised else
                   "is revealed and wasn't committed to")  # fmt: skip
            continue
        row = rows[which]
        if commitment(key, opened.slug, opened.version, row) != promised[which]:
            broken(which, "isn't the truth that was committed to")
            continue
        path = folder / row["truth"]
        if path.exists() and truth_digest(path) != row["sha256"]:
            broken(which, "has other pixels than its digest says")
    return findings


def check_release(
    release: Path | str, private: Path | str | None = None
) -> tuple[list[Finding], list[str]]:
    """Everything that can be checked of a release: its files against SHA256SUMS, revealed truth
    against the commitment, and for organisers the private folder.

    Returns
    -------
    What is wrong, and a line for each check that found nothing.
    """
    release = Path(release)
    opened = open_release(release)
    findings = verify_folder(release)
    said = [] if findings else [f"{opened.slug} {opened.version}: all files are as released"]
    if (release / "revealed").is_dir():
        found = verify(release)
        findings += found
        said += [] if found else ["the revealed truth is what was committed to"]
    elif (release / "commitment.json").is_file() and private is None:
        said.append("its hidden truth isn't revealed: the commitment can't be checked yet")
    if private is not None:
        found = verify_private(release, find_private(Path(private), opened.slug, opened.version))
        findings += found
        said += [] if found else ["the hidden truth in private is what was committed to"]
    return findings, said
