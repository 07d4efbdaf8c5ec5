"""What must hold before a release takes its name: its number, leakage, controls, hidden truth."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ..findings import Finding, has_errors
from . import controls, leakage, reach, versions
from .release import Writer

Progress = Callable[[str, int, int], None]


def before_release(writer: Writer, folder: Path, private: Path, tell: Progress) -> list[Finding]:
    """All findings on a release whose files are written but not yet in their place.

    Parameters
    ----------
    folder : the challenge's public folder with its earlier versions.
    """
    findings = versions.check(writer, folder, private)
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
    return findings
