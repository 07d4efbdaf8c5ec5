"""What the vault raises, each with findings that say what is wrong and how to mend it."""

from __future__ import annotations

from collections.abc import Sequence

from slidebox.findings import Finding


class VaultError(Exception):
    """The vault refuses or cannot do it; ``findings`` has every reason."""

    def __init__(self, findings: Finding | Sequence[Finding]) -> None:
        self.findings: list[Finding] = (
            [findings] if isinstance(findings, Finding) else list(findings)
        )
        first = self.findings[0].message if self.findings else "the vault refuses"
        more = f" (and {len(self.findings) - 1} more)" if len(self.findings) > 1 else ""
        super().__init__(first + more)


class Refused(VaultError):
    """What was given can't be archived, or asked for can't be done: nothing was changed."""


class Locked(VaultError):
    """Another process is writing this object."""


class Damaged(VaultError):
    """What the vault holds isn't what it recorded."""


class NotFound(VaultError):
    """No such vault, object, version or file."""


def error(code: str, message: str, *, file: str | None = None, mend: str | None = None) -> Finding:
    """A finding of severity error, as short as most of them are."""
    return Finding(code, "error", message, file=file, mend=mend)
