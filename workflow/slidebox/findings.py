"""The one form that every finding has, wherever it comes from.

A finding is plain data: checks return lists of them, edges print, count or store them.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Literal

Severity = Literal["error", "warning", "info"]


@dataclass(frozen=True, slots=True)
class Finding:
    """Something a person should know about a submission, an image or a prediction.

    Parameters
    ----------
    code : stable, documented name such as ``FILE_MISSING``; scripts and waivers refer to it.
    severity : ``error`` refuses, ``warning`` asks, ``info`` tells.
    message : what is wrong, in one sentence, with the offending value.
    file, line, field : where it is wrong, as precisely as known (paths as submitted).
    mend : what to do about it, in one sentence.
    """

    code: str
    severity: Severity
    message: str
    file: str | None = None
    line: int | None = None
    field: str | None = None
    mend: str | None = None

    @property
    def where(self) -> str:
        """``file:line field``, as far as it is known."""
        place = ":".join(str(p) for p in (self.file, self.line) if p is not None)
        return " ".join(p for p in (place, self.field) if p)

    def to_dict(self) -> dict:
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict) -> Finding:
        return cls(**data)


def has_errors(findings: Iterable[Finding]) -> bool:
    """Whether any finding refuses."""
    return any(f.severity == "error" for f in findings)


def lines(findings: Iterable[Finding]) -> Iterator[str]:
    """A line a finding as compilers do it; the mend below, once for all that follow each other."""
    listed = list(findings)
    for f, after in itertools.zip_longest(listed, listed[1:]):
        yield f"{f.severity}: {f.code}: {f.where + ': ' if f.where else ''}{f.message}"
        if f.mend and f.mend != (after and after.mend):
            yield f"    {f.mend}"
