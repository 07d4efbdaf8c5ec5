"""The end of a challenge: publish the key of the commitment, and the hidden truth if wanted."""

from __future__ import annotations

import shutil
from pathlib import Path

from ..atomic import owner, sweep, write_text
from ..findings import Finding
from ..scoring.opening import open_release
from ..scoring.release import MANIFEST, NotARelease, find_private
from . import versions
from .integrity import against_commitment, read_table, verify_folder, verify_private


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
    if damaged := verify_private(release, secret, opened.slug, opened.version):
        raise NotARelease("; ".join(f"{f.file}: {f.message}" for f in damaged[:5]))
    if held := _still_hidden(release, secret, opened.version):
        raise NotARelease(f"{held} hides some of this truth too: reveal it first")
    target = release / "revealed"
    sweep(release)  # what a killed run left
    staging = release / f".revealed.{owner()}.tmp"
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


def _still_hidden(release: Path, secret: Path, version: str) -> str | None:
    """A later release of the same challenge with the same hidden truth that isn't revealed; it goes
    by versions, whatever the folder of this one is called."""

    def truth(folder: Path) -> set[tuple[str, str]]:
        try:
            return {(r["id"], r["sha256"]) for r in read_table(folder / "truth.csv")}
        except ValueError as bad:
            raise NotARelease(f"hidden truth of {folder.name}: {bad}; restore it first") from None

    here = release.resolve().parent
    known = [p.parent for p in secret.parent.glob("*/truth.csv")]
    numbered = [p for p in known if versions.is_version(p.name)]
    for other in sorted(numbered, key=lambda p: versions.parse(p.name)):
        if (
            versions.parse(other.name) > versions.parse(version)
            and not (here / other.name / "revealed").is_dir()
            and truth(secret) & truth(other)
        ):
            return other.name
    return None


def verify(release: Path | str) -> list[Finding]:
    """Check revealed truth against the commitment that the release was published with.

    Findings with COMMITMENT_BROKEN for each truth that isn't what was committed to; none if all is
    well.
    """
    release = Path(release)
    folder = release / "revealed"
    if not folder.is_dir():
        raise NotARelease(f"{release} isn't revealed yet")
    opened = open_release(release)
    labels = (folder / "labels").is_dir()
    wrong = against_commitment(release, folder, opened.slug, opened.version, labels)
    parts = {"truth.csv", "commitment.key", "labels"}
    wrong += [(p.name, "never had it") for p in sorted(folder.iterdir()) if p.name not in parts]
    return [
        Finding("COMMITMENT_BROKEN", "error", f"the revealed truth {what}", f"revealed/{name}",
                mend="ask the organisers; scores against this truth aren't comparable")
        for name, what in wrong
    ]  # fmt: skip


def check_release(
    release: Path | str, private: Path | str | None = None
) -> tuple[list[Finding], list[str]]:
    """Everything that can be checked of a release: its files against SHA256SUMS, revealed truth
    against the commitment, and for organisers the private folder.

    Returns
    -------
    What is wrong, and a line for each check that found nothing.

    Raises
    ------
    NotARelease
        There is nothing that looks like a release.
    """
    release = Path(release).resolve()  # findings go by its name
    if not any((release / name).is_file() for name in (MANIFEST, "challenge.yaml", "splits.csv")):
        raise NotARelease(f"{release} is no release of a challenge: it has no {MANIFEST}")
    findings = verify_folder(release)
    try:
        opened = open_release(release)
    except NotARelease as bad:
        return [*findings, Finding("RELEASE_DAMAGED", "error", str(bad), release.name,
                                   mend="restore it from a copy")], []  # fmt: skip
    if versions.is_version(release.name) and release.name != opened.version:
        findings.append(
            Finding("RELEASE_DAMAGED", "error", f"says that it is version {opened.version}",
                    f"{release.name}/challenge.yaml", mend="give the folder the name that it had")
        )  # fmt: skip
    said = [] if findings else [f"{opened.slug} {opened.version}: all files are as released"]
    if (release / "revealed").is_dir():
        found = verify(release)
        findings += found
        what = "truth is" if (release / "revealed" / "labels").is_dir() else "digests are"
        said += [] if found else [f"the revealed {what} what was committed to"]
    elif (release / "commitment.json").is_file() and private is None:
        said.append("its hidden truth isn't revealed: the commitment can't be checked yet")
    if private is not None:
        secret = find_private(Path(private), opened.slug, opened.version)
        found = verify_private(release, secret, opened.slug, opened.version)
        findings += found
        said += [] if found else ["the hidden truth in private is what was committed to"]
    return findings, said
