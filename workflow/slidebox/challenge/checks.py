"""What must hold before a release takes its name: its number, leakage, controls, hidden truth."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from ..atomic import write_text
from ..findings import Finding, has_errors
from . import controls, leakage, reach, versions
from .init import DESCRIPTION, ORGANISER, README
from .model import Challenge
from .writer import Writer

Progress = Callable[[str, int, int], None]


def before_release(writer: Writer, folder: Path, private: Path, tell: Progress) -> list[Finding]:
    """All findings on a release whose files are written but not yet in their place.

    Parameters
    ----------
    folder : the challenge's public folder with its earlier versions.
    """
    findings = [*_placeholders(writer.challenge, writer.folder)]
    findings += versions.check(writer, folder, private)
    if writer.challenge.leakage.check:
        findings += leakage.check(writer, tell)
    else:
        findings.append(
            Finding("LEAKAGE_UNCHECKED", "warning", "images weren't compared between splits",
                    "challenge.yaml", field="leakage.check", mend="switch it on")
        )  # fmt: skip
    findings += reach.check(writer, tell)
    if not has_errors(findings):
        findings += controls.check(writer, tell)
        # Only now it's known whether another scorer gives other values
        findings += versions.check(writer, folder, private)
        write_text(writer.staging / "CHANGELOG.md", versions.changelog(writer, folder, private))
    return findings


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
                "challenge.yaml" if field != "README.md" else field, field=field,
                mend="say it in your words before others read it",
            )  # fmt: skip
