"""What must hold before a release takes its name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ..findings import Finding
from . import versions
from .release import Writer


def before_release(
    writer: Writer, folder: Path, private: Path, tell: Callable[[str, int, int], None]
) -> list[Finding]:
    """Findings on the version's number."""
    return versions.check(writer, folder, private)
