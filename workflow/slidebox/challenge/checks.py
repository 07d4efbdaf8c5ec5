"""What must hold before a release takes its name: its number, leakage, controls, hidden truth."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ..atomic import write_text
from ..findings import Finding, has_errors
from . import changes, controls, leakage, reach, versions
from .init import DESCRIPTION, ORGANISER, README
from .model import Challenge
from .versions import History
from .writer import Progress, Writer


def readme(folder: Path) -> Iterator[Finding]:
    """Whether the organiser's README.md, which goes into that of the release, is text."""
    try:
        (folder / "README.md").read_text("utf-8")
    except FileNotFoundError:
        pass
    except (UnicodeDecodeError, OSError) as bad:
        yield Finding("CHALLENGE_README", "error", f"can't be read as UTF-8: {bad}", "README.md",
                      mend="save it as UTF-8")  # fmt: skip


def before_release(writer: Writer, history: History, tell: Progress) -> list[Finding]:
    """All findings on a release whose files are written but not yet in their place; when there is
    no error, its CHANGELOG.md too."""
    findings = [*_placeholders(writer.challenge, writer.folder)]
    old = changes.of_release(history.old, history.secret) if history.old else None
    new, found = changes.of_writer(writer), []
    if old:
        found = changes.between(old, new)
        findings += versions.check(history, found)
    if writer.challenge.leakage.check:
        findings += leakage.check(writer, tell)
    else:
        findings.append(
            Finding("LEAKAGE_UNCHECKED", "warning", "images weren't compared between splits",
                    "challenge.yaml", field="leakage.check", mend="switch it on")
        )  # fmt: skip
    if not (history.again and _revealed(writer)):
        findings += reach.check(writer, tell)
    if not has_errors(findings):
        findings += controls.check(writer, tell)
        if old:  # only now it's known whether another scorer gives other values
            new.controls = changes.controls_in(writer.staging, writer.hidden)
            found = changes.between(old, new)
            findings += versions.check(history, found)
        text = changes.changelog(history, writer.challenge.changes, found)
        write_text(writer.staging / "CHANGELOG.md", text)
    return findings


def _revealed(writer: Writer) -> bool:
    """Whether the version has ended: then its truth is public because the organiser wanted it."""
    slug, version = writer.challenge.slug, writer.challenge.version
    places = (writer.staging.parent, writer.public / "challenges" / slug)
    return any((place / version / "revealed").is_dir() for place in places)


def _placeholders(challenge: Challenge, folder: Path) -> Iterator[Finding]:
    """Words of `slidebox challenge init` that nobody replaced: a release keeps them for ever."""
    readme = folder / "README.md"
    left = {
        "description": challenge.description.strip() == DESCRIPTION,
        "organisers": any(p.name == ORGANISER for p in challenge.organisers),
        "README.md": readme.is_file() and readme.read_text("utf-8").strip() == README,
    }
    for field, is_left in left.items():
        if is_left:
            yield Finding(
                "CHALLENGE_PLACEHOLDER", "warning", "is still what `slidebox challenge init` wrote",
                *("challenge.yaml", None, field) if field != "README.md" else (field,),
                mend="say it in your words before others read it",
            )  # fmt: skip
