"""The originals: OCFL write path, versions, restore, audit (docs/reference/vault.md)."""

from slidebox.vault.commit import VOLATILE_META, Commit, CommittedFile
from slidebox.vault.errors import Damaged, Locked, NotFound, Refused, VaultError
from slidebox.vault.restore import Restored
from slidebox.vault.vault import Vault, VaultFile, Version

__all__ = [
    "VOLATILE_META",
    "Commit",
    "CommittedFile",
    "Damaged",
    "Locked",
    "NotFound",
    "Refused",
    "Restored",
    "Vault",
    "VaultError",
    "VaultFile",
    "Version",
]
