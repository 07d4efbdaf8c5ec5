"""Gather findings, so that a hundred thousand alike don't drown the others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from ..findings import Finding
from ..record.codes import finding

CAP = 1000


class Collector:
    """A list of findings that keeps at most ``CAP`` of a code and counts the rest."""

    def __init__(self) -> None:
        self.findings: list[Finding] = []
        self.counts: Counter[str] = Counter()
        self._last: dict[str, Finding] = {}

    def add(self, code: str, message: str, file: str | None = None, **where) -> None:
        """Add a finding of this code, with its default severity and mend."""
        self.counts[code] += 1
        if self.counts[code] <= CAP:
            self.findings.append(finding(code, message, file, **where))

    def extend(self, findings: Iterable[Finding]) -> None:
        for one in findings:
            self.counts[one.code] += 1
            if self.counts[one.code] <= CAP:
                self.findings.append(one)
            else:
                self._last[one.code] = one

    def all(self) -> list[Finding]:
        """The findings, and for each code that has more than ``CAP`` one that says how many."""
        rest = []
        for code, n in self.counts.items():
            if n > CAP:
                first = next(f for f in self.findings if f.code == code)
                rest.append(
                    Finding(
                        code,
                        first.severity,
                        f"and {n - CAP:,} more of this kind, which are not listed",
                        None,
                        None,
                        None,
                        first.mend,
                    )
                )
        return [*self.findings, *rest]
