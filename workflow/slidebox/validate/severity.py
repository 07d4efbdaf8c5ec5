"""The archive's own severities: raise, lower or ignore a code, with a reason that is kept."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from ..findings import Finding
from .settings import Settings, matches


def apply_settings(
    findings: Iterable[Finding], settings: Settings
) -> tuple[list[Finding], list[dict[str, Any]]]:
    """(findings with the archive's severities, what was ignored or changed and why)."""
    kept, changed = [], []
    for one in findings:
        override = settings.codes.get(one.code)
        if override is None or (override.path and not matches(one.file, [override.path])):
            kept.append(one)
            continue
        changed.append({**one.to_dict(), "set_to": override.severity, "reason": override.reason})
        if override.severity != "ignore":
            kept.append(replace(one, severity=override.severity))
    return kept, changed
