"""A release: assembled, divided, checked, written beside its place and renamed; then immutable."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from ..atomic import fsync_dir, owner, sweep
from ..findings import Finding, has_errors
from ..scoring.release import MANIFEST, rows_of
from . import documents, metrics, splits, versions
from .alone import alone
from .archive import Archive
from .assemble import assemble
from .checks import before_release, readme
from .commitment import KeyDamaged
from .differences import what_changed
from .model import Challenge
from .reading import Invalid, load
from .writer import Progress, Writer

SCORES = ("scores", "leaderboard")  # what leaderboards keep in a release's private folder


@dataclass
class Release:
    """What became of a release.

    Attributes
    ----------
    folder : the public folder (None when refused); private : that of the hidden truth.
    new : written now; False when the very same release was there.
    """

    slug: str
    version: str
    findings: list[Finding] = field(default_factory=list)
    folder: Path | None = None
    private: Path | None = None
    new: bool = False

    @property
    def ok(self) -> bool:
        return self.folder is not None and not has_errors(self.findings)

    def to_json(self) -> dict[str, Any]:
        return {
            "slug": self.slug, "version": self.version, "new": self.new, "ok": self.ok,
            "folder": str(self.folder) if self.folder else None,
            "findings": [f.to_dict() for f in self.findings],
        }  # fmt: skip


def release(
    folder: Path | str,
    *,
    public: Path | str,
    vault: Path | str,
    private: Path | str,
    out: Path | str | None = None,
    progress: Progress | None = None,
    threads: int = 1,
) -> Release:
    """Write ``<out>/<slug>/<version>/`` and ``<private>/challenges/<slug>/<version>/``.

    Parameters
    ----------
    folder : the challenge's folder with challenge.yaml.
    public, vault, private : the archive's folders.
    out : default ``<public>/challenges``.

    Nothing is written when there is an error. A version that exists is never changed: the same
    bytes are fine, others are refused with RELEASE_IMMUTABLE.
    """
    folder, public, private = Path(folder), Path(public), Path(private)
    out = Path(out) if out is not None else public / "challenges"
    tell = progress or (lambda *_: None)
    try:
        challenge = load(folder)
    except Invalid as bad:
        return Release(folder.name, "", bad.findings)
    result = Release(challenge.slug, challenge.version)
    memory = private / "challenges" / challenge.slug
    with alone(memory):
        return _release(result, challenge, folder, Archive(public, Path(vault)), out, memory, tell,
                        threads)  # fmt: skip


def _release(
    result: Release, challenge: Challenge, folder: Path, archive: Archive, out: Path, memory: Path,
    tell: Progress, threads: int,
) -> Release:  # fmt: skip
    target, secret = out / challenge.slug / challenge.version, memory / challenge.version
    history, result.findings = versions.look_back(
        challenge.version, target.parent, archive.public / "challenges" / challenge.slug, memory
    )
    if has_errors(result.findings):
        return result
    pinned = released_studies(target) or released_studies(secret)
    pairs, found = assemble(challenge, archive, pinned)
    result.findings += found
    result.findings += [*metrics.problems(challenge, folder), *readme(folder)]
    if has_errors(result.findings):
        return result
    split_of, found = splits.divide(challenge, pairs, splits_before(history))
    result.findings += found
    if has_errors(result.findings):
        return result
    staging, hidden = (p.with_name(f".{p.name}.{owner()}.tmp") for p in (target, secret))
    for path in (staging, hidden):
        sweep(path.parent)  # what killed runs left
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir(parents=True)
    hidden.chmod(0o700)
    try:
        writer = Writer(
            challenge, folder, archive, pairs, split_of, staging, hidden, archive.public
        )
        writer.pinned, writer.threads = pinned, threads
        writer.images(tell, result.findings)
        if has_errors(result.findings):
            return result
        documents.write(writer, secret)
        result.findings += before_release(writer, history, tell)
        if has_errors(result.findings):
            _keep_pictures(hidden, secret)
            return result
        documents.seal(writer)
        return _settle(result, staging, hidden, target, secret)
    except KeyDamaged as bad:
        result.findings.append(
            Finding("RELEASE_DAMAGED", "error", str(bad), str(secret.parent / "secret.key"),
                    mend="restore it from a copy: releases can't be built again without it; for "
                    "a new challenge, remove it")
        )  # fmt: skip
        return result
    finally:
        for path in (staging, hidden):
            shutil.rmtree(path, ignore_errors=True)


def _keep_pictures(hidden: Path, secret: Path) -> None:
    """Pictures of leakage outlive a refused release: the organiser has to look at them."""
    if (hidden / "leakage").is_dir():
        kept = secret.with_name(f"{secret.name}.refused")
        shutil.rmtree(kept, ignore_errors=True)
        kept.mkdir(parents=True)
        (hidden / "leakage").rename(kept / "leakage")


def _settle(result: Release, staging: Path, hidden: Path, target: Path, secret: Path) -> Release:
    """Give both folders their names, the private one first; or refuse."""
    if target.exists():
        changed = what_changed(target, staging)
        if changed:
            mend = "give the change a new version"
            follow = {"commitment.json", "CHANGELOG.md", "ro-crate-metadata.json"}
            if "commitment.json" in changed and follow.issuperset(changed):
                key = secret.parent / "secret.key"
                mend = f"it looks as if {key} were another than then: restore it from a copy"
            result.findings.append(
                Finding("RELEASE_IMMUTABLE", "error",
                        f"{result.slug} {result.version} is released with other content: "
                        + ", ".join(changed[:10]) + (" ..." if len(changed) > 10 else ""),
                        "challenge.yaml", field="version", mend=mend)
            )  # fmt: skip
            return result
        if not (secret / "truth.csv").is_file():
            _durable(hidden)
            _replace(hidden, secret)
    else:
        if secret.exists():  # the public folder was removed, or a run stopped between the renames
            changed = what_changed(secret, staging) if (secret / MANIFEST).is_file() else []
            if changed:
                result.findings.append(
                    Finding("RELEASE_IMMUTABLE", "error",
                            f"{result.slug} {result.version} was released with other content and "
                            "its folder is gone: " + ", ".join(changed[:10]), "challenge.yaml",
                            field="version", mend="restore the folder, or take a new version")
                )  # fmt: skip
                return result
        # All bytes first: between the two names is the one moment at which a release is half there
        _durable(hidden)
        _durable(staging)
        _replace(hidden, secret)
        _replace(staging, target)
        result.new = True
    result.folder, result.private = target, secret
    return result


def released_studies(target: Path) -> dict[str, int] | None:
    """Accession and version of each study a release was made from; None when there is none."""
    path = target / "challenge.yaml"
    if not path.is_file():
        return None
    sources = yaml.safe_load(path.read_text("utf-8"))["data"]["sources"]
    return {s["accession"]: s["version"] for s in sources}


def splits_before(history: versions.History) -> dict[str, str]:
    """Split of each id in the release before, if that is of the same MAJOR."""
    if history.old is None or versions.taken(history.old.name, history.version) == "MAJOR":
        return {}
    return {row["id"]: row["split"] for row in rows_of(history.old / "splits.csv")}


def _durable(folder: Path) -> None:
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as handle:
                os.fsync(handle.fileno())


def _replace(source: Path, target: Path) -> None:
    """Give a folder its name; one that has it goes aside as a whole first, but for scores."""
    if target.exists():
        aside = source.with_name(f".{target.name}.old.{owner()}.tmp")
        target.rename(aside)
        source.rename(target)
        for name in SCORES:
            if (aside / name).exists():
                (aside / name).rename(target / name)
        shutil.rmtree(aside)
    else:
        source.rename(target)
    fsync_dir(target.parent)
