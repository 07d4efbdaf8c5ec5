"""Publication: what is public goes to a bucket or a folder, and what is withdrawn goes from it.

``publish`` brings the targets of the configuration up to date, ``evict`` frees the local disk of
images that a bucket is proven to hold, ``bring_back`` undoes that.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from slidebox.config import Config
from slidebox.publish.run import Outcome, Progress
from slidebox.publish.run import publish as _publish
from slidebox.publish.target import FolderTarget, PublishError, Target

__all__ = ["Outcome", "PublishError", "ledger_of", "publish", "target_of"]


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
    for name in ("public", "vault", "embargoed", "private", "results", "inbox"):
        own = getattr(config, name).resolve()
        if folder == own or own in folder.parents or folder in own.parents:
            raise PublishError(f"{to} and `{name}` ({own}) lie in one another; publish elsewhere")
    return FolderTarget(folder)


def ledger_of(config: Config, to: str) -> Path:
    """Where the ledger of a target lies."""
    place = to.rstrip("/") if to.startswith("s3://") else str(Path(to).resolve())
    where = f"{config.publish.endpoint or ''} {place}"
    name = hashlib.sha256(where.encode()).hexdigest()[:12]
    return config.results / "publish" / f"{name}.sqlite"


def publish(
    config: Config,
    *,
    delete: bool = False,
    check: bool = False,
    takedowns: bool = False,
    progress: Progress | None = None,
) -> list[Outcome]:
    """Bring every target of the configuration up to date; see `slidebox.publish.run.publish`."""
    if not config.publish.to:
        raise PublishError(
            "there is nowhere to publish to: set `publish.to` in config/config.yaml to "
            "s3://bucket/prefix or a folder"
        )
    return [
        _publish(
            config,
            target_of(config, to),
            ledger_of(config, to),
            delete=delete or config.publish.delete,
            check=check,
            takedowns=takedowns,
            progress=progress,
        )
        for to in config.publish.to
    ]
