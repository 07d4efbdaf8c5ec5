"""Where the configuration publishes to: its buckets and folders, each with a ledger."""

from __future__ import annotations

import hashlib
from pathlib import Path

from slidebox.config import Config
from slidebox.publish.target import FolderTarget, PublishError, Target

# What publishing must not write over, or tidy up
OWN = (
    "public", "vault", "embargoed", "private", "results", "inbox", "curation", "challenges",
    "entries",
)  # fmt: skip


def target_of(config: Config, to: str) -> Target:
    """The target at ``s3://bucket/prefix`` or at a folder; PublishError when it can't be used."""
    settings = config.publish
    if to.startswith("s3://"):
        from slidebox.publish.bucket import BucketTarget

        return BucketTarget(
            to,
            endpoint=settings.endpoint,
            region=settings.region,
            profile=settings.profile,
            acl=settings.acl,
            threads=settings.threads,
        )
    folder = Path(to).resolve()
    kept = {name: getattr(config, name) for name in OWN}
    if config.mirror and not config.mirror.startswith("s3://"):
        kept["mirror"] = Path(config.mirror)
    for name, path in kept.items():
        own = path.resolve()
        if folder.is_relative_to(own) or own.is_relative_to(folder):
            raise PublishError(f"{to} and `{name}` ({own}) lie in one another; publish elsewhere")
    return FolderTarget(folder)


def ledger_of(config: Config, to: str) -> Path:
    """Where the ledger of a target lies."""
    place = to.rstrip("/") if to.startswith("s3://") else str(Path(to).resolve())
    where = f"{config.publish.endpoint or ''} {place}"
    name = hashlib.sha256(where.encode()).hexdigest()[:12]
    return config.results / "publish" / f"{name}.sqlite"
