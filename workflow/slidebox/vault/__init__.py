"""The originals: OCFL write path, versions, restore, audit (docs/reference/vault.md)."""

from slidebox.vault.audit import AuditReport, Damage
from slidebox.vault.commit import VOLATILE_META, Commit, CommittedFile
from slidebox.vault.errors import Damaged, Locked, NotFound, Refused, VaultError
from slidebox.vault.mirror import Mirror, Mirrored
from slidebox.vault.repair import Repaired
from slidebox.vault.restore import Restored
from slidebox.vault.store import BucketStore, FolderStore, Store, store_at
from slidebox.vault.structure import validate_object
from slidebox.vault.vault import Vault, VaultFile, Version
from slidebox.vault.withdrawal import Purged

__all__ = [
    "VOLATILE_META",
    "AuditReport",
    "BucketStore",
    "Commit",
    "CommittedFile",
    "Damage",
    "Damaged",
    "FolderStore",
    "Locked",
    "Mirror",
    "Mirrored",
    "NotFound",
    "Purged",
    "Refused",
    "Repaired",
    "Restored",
    "Store",
    "Vault",
    "VaultError",
    "VaultFile",
    "Version",
    "store_at",
    "validate_object",
]
